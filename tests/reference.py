"""Each formula once more as plain loops, and PyTorch's own modules with our weights: two oracles, none of our code.

The loops take the numbers of one row at a time, so that no broadcasting rule can hide a mistake.
"""

import math

import torch
from torch import nn
from torch.nn.functional import pad

# Distinct primes, so that two axes that are taken for one another cannot pass for right.
B, T, S, D, H, K, F, V = 3, 5, 7, 11, 2, 13, 17, 19


def attend(query, key, value, may_attend):
    """softmax(q · k / √K) v for each query; `may_attend(t, s)` says which keys count. `(T, K)`, `(S, K)`, `(S, K)`."""
    head, weights = query.new_zeros(len(query), value.shape[1]), query.new_zeros(len(query), len(key))
    for t in range(len(query)):
        exponentials = {}
        for s in range(len(key)):
            if may_attend(t, s):
                product = sum(float(query[t, k] * key[s, k]) for k in range(query.shape[1]))
                exponentials[s] = math.exp(product / math.sqrt(query.shape[1]))
        for s, exponential in exponentials.items():
            weights[t, s] = exponential / sum(exponentials.values())
            head[t] += weights[t, s] * value[s]
    return head, weights


def project(linear, vectors, rows=slice(None)):
    """W x + b for each vector x, of the given rows of W only."""
    weight = linear.weight.detach()[rows]
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()[rows]
    return torch.stack([torch.stack([(row * vector).sum() for row in weight]) + bias for vector in vectors])


def multi_head(attention, x, memory, may_attend):
    """Each head with its own rows of W^Q, W^K, W^V; their outputs side by side; W^O. `(T, D)`, `(S, D)`."""
    heads, all_weights = [], []
    for h in range(attention.heads):
        rows = slice(h * attention.dim_head, (h + 1) * attention.dim_head)
        query, key = project(attention.query, x, rows), project(attention.key, memory, rows)
        head, weights = attend(query, key, project(attention.value, memory, rows), may_attend)
        heads.append(head)
        all_weights.append(weights)
    return project(attention.output, torch.cat(heads, dim=1)), torch.stack(all_weights)


def layer_norm(norm, vectors):
    """(x - mean) / √(variance + ε) · γ + β, over the features of each vector."""
    rows = []
    for vector in vectors:
        mean = sum(vector) / len(vector)
        variance = sum((feature - mean) ** 2 for feature in vector) / len(vector)
        rows.append((vector - mean) / math.sqrt(variance + norm.eps) * norm.weight.detach() + norm.bias.detach())
    return torch.stack(rows)


def feed_forward(block, vectors):
    """W₂ gelu(W₁ x + b₁) + b₂, gelu(z) = z Φ(z)."""
    wide = project(block.widen, vectors)
    for row in wide:
        for i in range(len(row)):
            row[i] = row[i] * (1 + math.erf(row[i] / math.sqrt(2))) / 2
    return project(block.narrow, wide)


def residual(x, norm, sublayer, norm_first):
    return x + sublayer(layer_norm(norm, x)) if norm_first else layer_norm(norm, x + sublayer(x))


def encoder_block(block, x, may_attend):
    x = residual(x, block.attention_norm, lambda y: multi_head(block.attention, y, y, may_attend)[0], block.norm_first)
    return residual(x, block.feed_forward_norm, lambda y: feed_forward(block.feed_forward, y), block.norm_first)


def decoder_block(block, x, memory, may_attend, may_read):
    first = block.norm_first
    x = residual(
        x,
        block.attention_norm,
        lambda y: multi_head(block.attention, y, y, lambda t, s: s <= t and may_attend(t, s))[0],
        first,
    )
    x = residual(x, block.cross_attention_norm, lambda y: multi_head(block.cross_attention, y, memory, may_read)[0], first)
    return residual(x, block.feed_forward_norm, lambda y: feed_forward(block.feed_forward, y), first)


def sinusoid(position, feature, dim):
    angle = position / 10000 ** ((feature - feature % 2) / dim)
    return math.cos(angle) if feature % 2 else math.sin(angle)


class AnyHeadSize(nn.Module):
    """`nn.MultiheadAttention` where heads · dim_head need not be dim: zeros fill vectors and heads up to one size E.

    Only shapes live here; the weights come from ours, through `attention_weights` and `torch.func.functional_call`.
    """

    batch_first, _qkv_same_embed_dim = True, False  # the layers that hold it ask

    def __init__(self, dim, heads, dim_head, bias=True):
        super().__init__()
        self.dim, self.heads = dim, heads
        self.filled_heads = max(heads, -(-dim // dim_head))
        self.E = self.filled_heads * dim_head
        self.inner = nn.MultiheadAttention(self.E, self.filled_heads, bias=bias, batch_first=True)

    def forward(self, query, key, value, need_weights=True, is_causal=False, **masks):
        query, key, value = (pad(x, (0, self.E - self.dim)) for x in (query, key, value))
        out, weights = self.inner(query, key, value, average_attn_weights=False, **masks)
        return out[..., : self.dim], weights[:, : self.heads]


def attention_weights(ours, theirs, name):
    """Our four projections under the names of `theirs.inner`, filled with zeros; gradients flow back to ours."""
    parts, E, out = (ours.query, ours.key, ours.value), theirs.E, ours.output
    state = {
        "in_proj_weight": torch.cat([pad(p.weight, (0, E - p.in_features, 0, E - p.out_features)) for p in parts]),
        "out_proj.weight": pad(out.weight, (0, E - out.in_features, 0, E - out.out_features)),
    }
    if out.bias is not None:
        state["in_proj_bias"] = torch.cat([pad(p.bias, (0, E - p.out_features)) for p in parts])
        state["out_proj.bias"] = pad(out.bias, (0, E - out.out_features))
    return {f"{name}inner.{key}": value for key, value in state.items()}


def prefixed(prefix, module):
    return {f"{prefix}.{name}": parameter for name, parameter in module.named_parameters()}


def block_weights(ours, theirs, name=""):
    """An encoder or decoder block of ours under the names of PyTorch's layer."""
    state = attention_weights(ours.attention, theirs.self_attn, f"{name}self_attn.")
    norms = [ours.attention_norm, ours.feed_forward_norm]
    if hasattr(ours, "cross_attention"):
        state |= attention_weights(ours.cross_attention, theirs.multihead_attn, f"{name}multihead_attn.")
        norms.insert(1, ours.cross_attention_norm)
    for i, norm in enumerate(norms, start=1):
        state |= prefixed(f"{name}norm{i}", norm)
    feed_forward = ours.feed_forward
    return state | prefixed(f"{name}linear1", feed_forward.widen) | prefixed(f"{name}linear2", feed_forward.narrow)


def pytorch_layer(kind, ours, bias=True):
    """`nn.TransformerEncoderLayer` or `nn.TransformerDecoderLayer` of the same sizes as our block."""
    attention, hidden = ours.attention, ours.feed_forward.widen.out_features
    options = {"dropout": 0.0, "activation": nn.functional.gelu, "norm_first": ours.norm_first, "bias": bias}
    layer = kind(ours.dim, 1, hidden, batch_first=True, **options)
    for name in ("self_attn", "multihead_attn"):
        if hasattr(layer, name):
            setattr(layer, name, AnyHeadSize(ours.dim, attention.heads, attention.dim_head, bias))
    return layer


def assert_same(ours, theirs, inputs, tolerance=1e-10):
    """Two results are equal, and so are their gradients with respect to every one of the inputs."""
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(ours.shape, generator=generator, dtype=ours.dtype)
    gradients = torch.autograd.grad((ours * direction).sum(), inputs)
    expected = torch.autograd.grad((theirs * direction).sum(), inputs)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=tolerance)


def randomize(module, seed=0):
    """Every parameter at random and in float64, norms and biases too: zeros and ones hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.double().parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 3)
    return module


def random(*shape, seed=1, requires_grad=True):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_(requires_grad)


def random_mask(*shape, seed=2):
    """True = may attend; at least the first key of each row is."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[..., 0] = True
    return mask
