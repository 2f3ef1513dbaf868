import re

import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import scaled_dot_product_attention

from hf_scratch import MultiHeadAttention, SelfAttention
from hf_scratch.model.attention import attend
from tests import reference
from tests.reference import B, D, H, K, S, T, assert_same, random, random_mask, randomize

SIZES = [(D, 1, D), (D, H, K), (D, 3, 2), (2 * K, H, K), (K, 1, 1)]  # (dim, heads, dim_head)
MASKS = {
    "none": None,
    "keys": random_mask(B, T),
    "pairs": random_mask(B, 1, T, T),
    "heads": random_mask(1, 1, T, T, seed=3),
    "zeros and ones": random_mask(B, T).long(),
}


def attention_and_input(dim=D, heads=H, dim_head=K, **options):
    return randomize(MultiHeadAttention(dim, heads, dim_head, **options)), random(B, T, dim)


def full(mask, heads, S=T):
    """Any mask as `(B, heads, T, S)`, True = may attend."""
    if mask is None:
        return torch.ones(B, heads, T, S, dtype=torch.bool)
    mask = mask[:, None, None, :] if mask.ndim == 2 else mask
    return mask.bool().expand(B, heads, T, S)


def test_the_cells_of_the_course_run():
    x = torch.randn(16, 32, 64)
    head, score = SelfAttention(input_dim=64, dim_head=16)(x)
    assert head.shape == (16, 32, 16)
    assert score.shape == (16, 32, 32)
    out, scores = MultiHeadAttention(64, 8, 64)(x)
    assert out.shape == (16, 32, 64)
    assert scores.shape == (16, 8, 32, 32)


@pytest.mark.parametrize("mask", [None, random_mask(B, T), random_mask(B, T, T)])
def test_one_head_equals_the_loops(mask):
    ours, x = randomize(SelfAttention(D, K)), random(B, T, D, requires_grad=False)
    head, score = ours(x, mask)
    for b in range(B):
        allowed = torch.ones(T, T).bool() if mask is None else mask[b].expand(T, T)
        projected = [reference.project(linear, x[b]) for linear in (ours.query, ours.key, ours.value)]
        their_head, their_score = reference.attend(*projected, lambda t, s, allowed=allowed: allowed[t, s])
        torch.testing.assert_close(head[b], their_head, rtol=0, atol=1e-12)
        torch.testing.assert_close(score[b], their_score, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mask", [None, random_mask(B, T), random_mask(B, T, T), random_mask(B, T).long()])
def test_one_head_equals_sdpa(mask):
    ours, x = randomize(SelfAttention(D, K)), random(B, T, D)
    allowed = None if mask is None else mask.bool()[:, None, :] if mask.ndim == 2 else mask
    theirs = scaled_dot_product_attention(ours.query(x), ours.key(x), ours.value(x), allowed)
    assert_same(ours(x, mask)[0], theirs, [x, *ours.parameters()])


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("mask", [None, random_mask(B, S)])
def test_heads_equal_the_loops(mask, is_causal):
    ours = randomize(MultiHeadAttention(D, H, K, is_causal=is_causal))
    x, memory = random(B, T, D, requires_grad=False), random(B, S, D, seed=4, requires_grad=False)
    memory = x if is_causal else memory
    mask = mask if mask is None else mask[:, : memory.shape[1]]
    out, scores = ours(x, mask, memory=memory)
    for b in range(B):
        theirs, their_scores = reference.multi_head(
            ours,
            x[b],
            memory[b],
            lambda t, s, b=b: (mask is None or mask[b, s]) and (s <= t or not is_causal),
        )
        torch.testing.assert_close(out[b], theirs, rtol=0, atol=1e-12)
        torch.testing.assert_close(scores[b], their_scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(("dim", "heads", "dim_head"), SIZES)
def test_heads_equal_pytorch(dim, heads, dim_head, mask, is_causal, bias):
    ours, x = attention_and_input(dim, heads, dim_head, bias=bias, is_causal=is_causal)
    theirs = reference.AnyHeadSize(dim, heads, dim_head, bias).double()
    allowed = full(mask, theirs.filled_heads)
    if is_causal:
        allowed = allowed & torch.ones(T, T, dtype=torch.bool).tril()
    weights = reference.attention_weights(ours, theirs, "")
    expected, expected_scores = functional_call(theirs, weights, (x, x, x), {"attn_mask": ~allowed.flatten(0, 1)})
    out, scores = ours(x, mask)
    torch.testing.assert_close(scores, expected_scores, rtol=0, atol=1e-10)
    assert_same(out, expected, [x, *ours.parameters()])


@pytest.mark.parametrize("mask", [None, random_mask(B, S)])
def test_attention_to_a_memory_equals_pytorch(mask):
    ours, x = attention_and_input()
    memory = random(B, S, D, seed=4)
    theirs = reference.AnyHeadSize(D, H, K).double()
    weights = reference.attention_weights(ours, theirs, "")
    padding = None if mask is None else ~mask
    expected, _ = functional_call(theirs, weights, (x, memory, memory), {"key_padding_mask": padding})
    assert_same(ours(x, mask, memory=memory)[0], expected, [x, memory, *ours.parameters()])


def test_the_scale_comes_before_the_softmax():
    # Dividing the weights afterwards leaves rows that sum to 1/√K.
    x = random(B, T, D)
    for scores in (randomize(SelfAttention(D, K))(x)[1], randomize(MultiHeadAttention(D, H, K))(x)[1]):
        torch.testing.assert_close(scores.sum(dim=-1), torch.ones_like(scores[..., 0]))


def test_the_output_can_be_added_to_the_input():
    for dim, heads, dim_head in SIZES:
        ours, x = attention_and_input(dim, heads, dim_head)
        assert (x + ours(x)[0]).shape == x.shape


@pytest.mark.parametrize("block", [SelfAttention(D, K), MultiHeadAttention(D, H, K)])
def test_a_mask_of_keys_hides_keys_even_where_batch_and_length_agree(block):
    # With B == T a (B, T) mask broadcasts against (T, S) without complaint, and hides the wrong positions.
    ours, x, mask = randomize(block), random(T, T, D), random_mask(T, T)
    scores = ours(x, mask)[1]
    hidden = ~mask.view(T, *[1] * (scores.ndim - 2), T).expand_as(scores)
    assert (scores[hidden] == 0).all()
    assert (scores[~hidden] > 0).all()


@pytest.mark.parametrize("block", [SelfAttention(D, K), MultiHeadAttention(D, H, K, is_causal=True)])
@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.float64])
def test_the_callers_tensors_stay_as_they_are(block, dtype):
    ours, x, mask = randomize(block), random(B, T, D, requires_grad=False), random_mask(B, T).to(dtype)
    before, versions = (x.clone(), mask.clone()), (x._version, mask._version)
    ours(x, mask)
    assert torch.equal(x, before[0])
    assert torch.equal(mask, before[1])
    assert (x._version, mask._version) == versions  # not even written with the same values


def test_a_query_that_may_attend_nowhere_gets_zeros():
    ours, x = attention_and_input()
    mask = random_mask(B, 1, T, T)
    mask[1, 0, 2] = False
    out, scores = ours(x, mask)
    assert (scores[1, :, 2] == 0).all()
    torch.testing.assert_close(out[1, 2], ours.output.bias)
    out.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in ours.parameters())
    head, score = randomize(SelfAttention(D, K))(x, torch.zeros(B, T))
    assert (head == 0).all()
    assert (score == 0).all()


@pytest.mark.parametrize("bias", [True, False])
def test_fused_and_separate_projections_are_the_same_numbers(bias):
    ours, x = attention_and_input(bias=bias, is_causal=True)
    before, weights = ours(x, random_mask(B, T)), {name: p.clone() for name, p in ours.state_dict().items()}
    assert ours.fuse() is ours
    assert ours.to_qkv.weight.shape == (3 * H * K, D)
    assert {name.split(".")[0] for name, _ in ours.named_parameters()} == {"to_qkv", "output"}
    for one, other in zip(ours(x, random_mask(B, T)), before, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    ours.fuse().split().split()
    assert ours.state_dict().keys() == weights.keys()
    assert all(torch.equal(ours.state_dict()[name], weight) for name, weight in weights.items())


def test_a_fused_projection_learns_what_the_separate_ones_would():
    separate, x = attention_and_input()
    fused = attention_and_input()[0].fuse()
    for block in (separate, fused):
        block(x)[0].square().sum().backward()
    gradients = torch.cat([part.weight.grad for part in (separate.query, separate.key, separate.value)])
    torch.testing.assert_close(fused.to_qkv.weight.grad, gradients, rtol=0, atol=1e-10)


def test_dropout_is_off_unless_asked_for_and_in_eval():
    x = random(B, T, D)
    assert torch.equal(*(randomize(MultiHeadAttention(D, H, K))(x)[0] for _ in range(2)))
    dropping = randomize(MultiHeadAttention(D, H, K, dropout=0.5))
    assert not torch.equal(dropping(x)[0], dropping(x)[0])
    torch.testing.assert_close(dropping.eval()(x)[0], randomize(MultiHeadAttention(D, H, K))(x)[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("block", [SelfAttention(D, K), MultiHeadAttention(D, H, K, is_causal=True)])
def test_half_precision_stays_near(block, dtype):
    ours, x = randomize(block).float(), random(B, T, D).float()
    expected = ours(x, random_mask(B, T))[0]
    with torch.autocast("cpu", dtype=dtype):
        out = ours(x, random_mask(B, T))[0]
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.05)


def test_half_precision_does_not_overflow_in_the_product():
    # q·k is 32 · 32 · 101 = 103,424, beyond float16; q·k/√K is not.
    x = torch.full((T, 101), 32.0, dtype=torch.float16)
    torch.testing.assert_close(attend(x, x, x)[0], x)


@pytest.mark.parametrize("block", [SelfAttention(D, K), MultiHeadAttention(D, H, K, is_causal=True)])
def test_a_graph_captures_it_whole(block):
    ours, x, mask = randomize(block), random(B, T, D), random_mask(B, T)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    for given in (None, mask, mask.double()):
        torch.testing.assert_close(compiled(x, given), ours(x, given))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SelfAttention(0, K), "input_dim is 0, but it must be at least 1; pass"),
        (lambda: SelfAttention(D, -1), "dim_head is -1, but it must be at least 1"),
        (lambda: MultiHeadAttention(D, 0, K), "heads is 0, but it must be at least 1"),
        (lambda: MultiHeadAttention(D, H, K)(torch.randn(B, T, 5)), "x has shape (3, 5, 5), but this block takes"),
        (lambda: SelfAttention(D, K)(torch.randn(T, D)), "(batch, length, 11); reshape it, project its vectors"),
        (lambda: MultiHeadAttention(D, H, K).fuse()(*[torch.randn(B, T, D)] * 3), "call split() on it first"),
        (lambda: MultiHeadAttention(D, H, K)(torch.randn(B, T, D), None, torch.randn(B, T, 7)), "memory has shape"),
    ],
)
def test_sizes_that_do_not_fit(build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(B, S), "a mask of shape (3, 7) does not fit scores of shape (3, 2, 5, 5); pass one flag a key"),
        (random_mask(B, T, T), "a mask of shape (3, 5, 5) does not fit scores of shape (3, 2, 5, 5)"),
        (random_mask(1, B, H, T, T), "or a boolean mask that broadcasts to the scores"),
        (torch.zeros(B, 1, T, T), "has dtype torch.float32, but a block takes a boolean mask"),
        (torch.zeros(B, T).masked_fill(random_mask(B, T), -1e9), "pass `mask == 0` for an additive mask"),
    ],
)
def test_masks_that_do_not_fit(mask, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MultiHeadAttention(D, H, K)(torch.randn(B, T, D), mask)
