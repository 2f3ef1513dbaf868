import re

import pytest
import torch
from torch import nn
from torch.func import functional_call

from hf_scratch import PositionalEncoding, TransformerEncoderBlock
from tests import reference
from tests.reference import B, D, F, H, K, T, assert_same, random, random_mask, randomize

SIZES = [(D, 1, D), (D, H, K), (2 * K, H, K), (D, 3, 2)]  # (dim, heads, dim_head)
MASKS = {"none": None, "keys": random_mask(B, T), "causal": torch.ones(1, 1, T, T, dtype=torch.bool).tril()}


def block(dim=D, heads=H, dim_head=K, **options):
    return randomize(TransformerEncoderBlock(dim, heads, dim_head, **{"intermediate_size": F} | options))


def test_the_cell_of_the_course_runs():
    assert TransformerEncoderBlock(64, 8, 64)(torch.randn(16, 32, 64)).shape == (16, 32, 64)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("sizes", SIZES)
def test_it_equals_pytorch(sizes, mask, norm_first, bias):
    ours, x = block(*sizes, norm_first=norm_first, bias=bias), random(B, T, sizes[0])
    theirs = reference.pytorch_layer(nn.TransformerEncoderLayer, ours, bias)
    options = {}
    if mask is not None:  # PyTorch's True hides
        options = {"src_key_padding_mask": ~mask} if mask.ndim == 2 else {"src_mask": ~mask[0, 0]}
    expected = functional_call(theirs, reference.block_weights(ours, theirs), x, options)
    assert_same(ours(x, mask), expected, [x, *ours.parameters()])


@pytest.mark.parametrize("norm_first", [True, False])
def test_it_equals_the_loops(norm_first):
    ours, x, mask = block(norm_first=norm_first), random(1, T, D, requires_grad=False), random_mask(1, T)
    expected = reference.encoder_block(ours, x[0], lambda t, s: mask[0, s])
    torch.testing.assert_close(ours(x, mask)[0], expected, rtol=0, atol=1e-12)


def test_the_residual_adds_the_output_alone():
    # The attention returns a pair; without a feed-forward the block is x plus the first of it.
    ours, x = block(), random(B, T, D)
    nn.init.zeros_(ours.feed_forward.narrow.weight)
    nn.init.zeros_(ours.feed_forward.narrow.bias)
    out, scores = ours.attention(ours.attention_norm(x))
    assert isinstance(ours(x), torch.Tensor)
    torch.testing.assert_close(ours(x), x + out)
    assert scores.shape == (B, H, T, T)


def test_without_positions_order_means_nothing_and_with_them_it_does():
    ours, x, order = block(), random(B, T, D), torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(ours(x[:, order]), ours(x)[:, order], rtol=0, atol=1e-12)
    positions = PositionalEncoding(D)
    difference = ours(positions(x[:, order])) - ours(positions(x))[:, order]
    assert difference.abs().amax(dim=-1).min() > 1e-3


def test_padding_a_row_changes_nothing():
    ours, x = block(), random(B, T, D)
    padded = torch.cat([x, 100 * random(B, 2, D, seed=6)], dim=1)
    mask = torch.cat([torch.ones(B, T), torch.zeros(B, 2)], dim=1)
    torch.testing.assert_close(ours(padded, mask)[:, :T], ours(x), rtol=0, atol=1e-12)


def test_a_row_of_padding_alone_stays_finite():
    # Its queries find no key, so its attention is the output projection's bias; what follows is computed as ever.
    ours, x = block(), random(B, T, D)
    out = ours(x, torch.zeros(B, T))
    attended = x + ours.attention.output.bias
    torch.testing.assert_close(out, attended + ours.feed_forward(ours.feed_forward_norm(attended)))
    out.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())


def test_dropout_is_off_unless_asked_for_and_in_eval():
    x = random(B, T, D)
    assert torch.equal(*(block()(x) for _ in range(2)))
    dropping = block(dropout=0.5, attention_dropout=0.5)
    assert not torch.equal(dropping(x), dropping(x))
    assert torch.equal(dropping.eval()(x), block()(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near(dtype):
    ours, x, mask = block().float(), random(B, T, D).float(), random_mask(B, T)
    with torch.autocast("cpu", dtype=dtype):
        out = ours(x, mask)
        out.float().sum().backward()
    torch.testing.assert_close(out.float(), ours(x, mask), rtol=0.05, atol=0.05)
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_graph_captures_it_whole(norm_first):
    ours, x, mask = block(norm_first=norm_first), random(B, T, D), random_mask(B, T)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, mask), ours(x, mask))


def test_fused_attention_changes_nothing():
    ours, x, mask = block(), random(B, T, D), random_mask(B, T)
    before = ours(x, mask)
    ours.attention.fuse()
    torch.testing.assert_close(ours(x, mask), before, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TransformerEncoderBlock(0), "dim is 0, but it must be at least 1"),
        (lambda: TransformerEncoderBlock(D, -2), "heads is -2, but it must be at least 1"),
        (lambda: TransformerEncoderBlock(D, H, K, hidden_act="gleu"), "hidden_act 'gleu' is unknown; choose one of"),
        (lambda: block()(torch.randn(B, T, 7)), "x has shape (3, 5, 7), but this block takes (batch, length, 11)"),
        (lambda: block()(random(B, T, D), torch.ones(B, 7)), "a mask of shape (3, 7) does not fit scores of shape"),
    ],
)
def test_sizes_that_do_not_fit(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()
