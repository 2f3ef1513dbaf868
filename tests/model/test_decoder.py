import re

import pytest
import torch
from torch import nn
from torch.func import functional_call

from hf_scratch import TransformerDecoder, TransformerDecoderBlock
from tests import reference
from tests.reference import B, D, F, H, K, S, T, assert_same, random, random_mask, randomize

SIZES = [(D, 1, D), (D, H, K), (2 * K, H, K), (D, 3, 2)]  # (dim, heads, dim_head)
MASKS = {"no mask": (None, None), "target": (random_mask(B, T), None), "both": (random_mask(B, T), random_mask(B, S))}


def decoder(dim=D, heads=H, dim_head=K, depth=2, **options):
    return randomize(TransformerDecoder(dim, depth, heads, dim_head, **{"intermediate_size": F} | options))


def sequences(dim=D):
    return random(B, T, dim), random(B, S, dim, seed=4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("sizes", SIZES)
def test_a_block_equals_pytorch(sizes, masks, norm_first, bias):
    ours = randomize(TransformerDecoderBlock(*sizes, intermediate_size=F, norm_first=norm_first, bias=bias))
    x, memory = sequences(sizes[0])
    theirs = reference.pytorch_layer(nn.TransformerDecoderLayer, ours, bias)
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    padding = [None if mask is None else ~mask for mask in masks]
    options = {"tgt_mask": future, "tgt_key_padding_mask": padding[0], "memory_key_padding_mask": padding[1]}
    expected = functional_call(theirs, reference.block_weights(ours, theirs), (x, memory), options)
    assert_same(ours(x, memory, *masks), expected, [x, memory, *ours.parameters()])


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_block_equals_the_loops(norm_first):
    ours = randomize(TransformerDecoderBlock(D, H, K, intermediate_size=F, norm_first=norm_first))
    x, memory = (sequence.detach()[:1] for sequence in sequences())
    mask, memory_mask = random_mask(1, T), random_mask(1, S)
    expected = reference.decoder_block(ours, x[0], memory[0], lambda t, s: mask[0, s], lambda t, s: memory_mask[0, s])
    torch.testing.assert_close(ours(x, memory, mask, memory_mask)[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_stack_equals_its_blocks(norm_first):
    ours, (x, memory) = decoder(depth=3, norm_first=norm_first), sequences()
    out = ours(x, memory)
    assert out.shape == (B, T, D)
    for layer in ours.layers:
        x = layer(x, memory)
    torch.testing.assert_close(out, ours.final_norm(x) if norm_first else x)


def test_a_changed_future_leaves_the_past_as_it_was():
    ours, (x, memory) = decoder(), sequences()
    changed = x.detach().clone()
    changed[:, 3:] = 7.0
    before, after = ours(x, memory), ours(changed, memory)
    assert torch.equal(before[:, :3], after[:, :3])
    assert (before[:, 3:] != after[:, 3:]).any(dim=-1).all()
    gradient = torch.autograd.grad(before[:, 2].sum(), x)[0]
    assert (gradient[:, 3:] == 0).all()
    assert (gradient[:, :3] != 0).any(dim=-1).all()


def test_every_position_reads_the_whole_memory():
    ours, (x, memory) = decoder(), sequences()
    for t in range(T):
        gradient = torch.autograd.grad(ours(x, memory)[:, t].sum(), memory)[0]
        assert (gradient != 0).any(dim=-1).all()


def test_padding_target_or_memory_changes_nothing():
    ours, (x, memory) = decoder(), sequences()
    noise = 100 * random(B, 2, D, seed=6)
    mask = torch.cat([torch.ones(B, T), torch.zeros(B, 2)], dim=1)
    memory_mask = torch.cat([torch.ones(B, S), torch.zeros(B, 2)], dim=1)
    out = ours(torch.cat([x, noise], dim=1), torch.cat([memory, noise], dim=1), mask, memory_mask)
    torch.testing.assert_close(out[:, :T], ours(x, memory), rtol=0, atol=1e-12)


def test_a_memory_of_padding_alone_stays_finite():
    ours, (x, memory) = decoder(), sequences()
    out = ours(x, memory, torch.zeros(B, T), torch.zeros(B, S))
    out.sum().backward()
    assert out.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())
    assert (memory.grad == 0).all()


def test_dropout_is_off_unless_asked_for_and_in_eval():
    x, memory = sequences()
    assert torch.equal(*(decoder()(x, memory) for _ in range(2)))
    dropping = decoder(dropout=0.5, attention_dropout=0.5)
    assert not torch.equal(dropping(x, memory), dropping(x, memory))
    assert torch.equal(dropping.eval()(x, memory), decoder()(x, memory))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near(dtype):
    ours, (x, memory) = decoder().float(), (sequence.float() for sequence in sequences())
    with torch.autocast("cpu", dtype=dtype):
        out = ours(x, memory, None, random_mask(B, S))
    torch.testing.assert_close(out.float(), ours(x, memory, None, random_mask(B, S)), rtol=0.05, atol=0.05)


def test_a_graph_captures_it_whole():
    ours, (x, memory) = decoder(depth=1), sequences()
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    masks = random_mask(B, T), random_mask(B, S)
    torch.testing.assert_close(compiled(x, memory, *masks), ours(x, memory, *masks))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TransformerDecoder(D, 0), "depth is 0, but it must be at least 1"),
        (lambda: TransformerDecoder(0, 1), "dim is 0, but it must be at least 1"),
        (lambda: TransformerDecoder(D, 1, 0), "heads is 0, but it must be at least 1"),
        (lambda: TransformerDecoder(D, 1, hidden_act="gleu"), "hidden_act 'gleu' is unknown; choose one of"),
        (lambda: decoder()(random(B, T, 7), random(B, S, D)), "x has shape (3, 5, 7), but this block takes"),
        (lambda: decoder()(random(B, T, D), random(B, S, 5)), "memory has shape (3, 7, 5), but this block takes"),
        (lambda: decoder()(*sequences(), None, torch.ones(B, T)), "a mask of shape (3, 5) does not fit scores of"),
    ],
)
def test_sizes_that_do_not_fit(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()
