"""Scaled dot-product attention, with one head and with several (Vaswani et al. 2017, sections 3.2.1 and 3.2.2)."""

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .checks import allowed_positions, require_positive, require_width
from .positional import rotate_by_position


def attend(query, key, value, mask=None, scale=None, dropout=0.0):
    r"""Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V (section 3.2.1, equation 1).

    Args:
        query: `(..., T, K)`. It is scaled before the product, so that half precision does not overflow there.
        key, value: `(..., S, K)`.
        mask: boolean, True = may attend, or additive; broadcastable to `(..., T, S)`.
        scale: defaults to 1/√K.
        dropout: probability of dropping an attention weight.

    Returns:
        `(..., T, K)` and the weights `(..., T, S)`. A query that may attend nowhere under a boolean mask gets weights
        and an output of zero, as in `torch.nn.functional.scaled_dot_product_attention`.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query * scale) @ key.transpose(-2, -1)  # (..., T, S)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    weights = scores.softmax(dim=-1)
    if mask is not None and mask.dtype == torch.bool:
        weights = weights.masked_fill(~mask, 0.0)  # changes only a row without any True, which would be uniform
    return nn.functional.dropout(weights, dropout) @ value, weights


def eager_attention_forward(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    """`attend` as `transformers.AttentionInterface` calls it: takes `(B, H, T, K)`, returns `(B, T, H, K)`."""
    out, weights = attend(query, key, value, attention_mask, scaling, dropout)
    return out.transpose(1, 2), weights  # (B, H, T, K) -> (B, T, H, K)


class SelfAttention(nn.Module):
    r"""One attention head: every position gathers values from all positions, weighted by query-key similarity.

    head = softmax(Q Kᵀ / √d_k) V with Q = X W^Q, K = X W^K, V = X W^V (section 3.2.1).

    Args:
        input_dim: size D of the vectors that come in (d_model).
        dim_head: size K of queries, keys and values (d_k = d_v).

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(self, input_dim: int, dim_head: int):
        super().__init__()
        require_positive(input_dim=input_dim, dim_head=dim_head)
        self.query = nn.Linear(input_dim, dim_head)
        self.key = nn.Linear(input_dim, dim_head)
        self.value = nn.Linear(input_dim, dim_head)

    def forward(self, sequence: torch.Tensor, attention_mask: torch.Tensor | None = None):
        """
        Args:
            sequence: `(B, T, D)`.
            attention_mask: `(B, T)`, 1 or True = may be attended; or boolean, broadcastable to `(B, T, T)`.

        Returns:
            `head` `(B, T, K)` and `attention_score`, the weights after softmax, `(B, T, T)`.

        Raises:
            ValueError: if the sequence has another width than D, or the mask does not fit it.
        """
        require_width("sequence", sequence, self.query.in_features)
        B, T, _ = sequence.shape
        query, key, value = self.query(sequence), self.key(sequence), self.value(sequence)  # each (B, T, K)
        return attend(query, key, value, allowed_positions(attention_mask, (B, T, T)))


class MultiHeadAttention(nn.Module):
    r"""Several heads side by side, joined by a projection back to the width of the input.

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O (section 3.2.2), with Q = X W^Q, K = M W^K, V = M W^V: M is X
    itself (self-attention), or what `memory` holds (encoder-decoder attention, section 3.2.3).

    Built by hand it computes eagerly and returns its scores. Inside a model it is given the model's `config`, and runs
    the attention function that the config names (`sdpa`, `flash_attention_2`, ... or any registered one); those that
    compute no scores return None in their place.

    Args:
        dim: size D of the vectors that come in and go out (d_model).
        heads: number H of heads.
        dim_head: size K of each head's queries, keys and values (d_k); H·K need not equal D.
        dropout: probability of dropping an attention weight in training.
        bias: whether the four projections have one.
        is_causal: whether a position attends to itself and earlier ones only. Inside a model the mask must say so too.
        config: the model's config, which names the attention function.
        layer_idx: which layer of a key/value cache is this block's own.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        dim_head: int = 64,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        is_causal: bool = False,
        config=None,
        layer_idx: int | None = None,
    ):
        super().__init__()
        require_positive(dim=dim, heads=heads, dim_head=dim_head)
        self.dim, self.heads, self.dim_head, self.dropout = dim, heads, dim_head, dropout
        self.config, self.layer_idx = config, layer_idx
        # Backends read it from the module, and take True when it is missing: an encoder would be causal.
        self.is_causal = is_causal
        self.query = nn.Linear(dim, heads * dim_head, bias=bias)
        self.key = nn.Linear(dim, heads * dim_head, bias=bias)
        self.value = nn.Linear(dim, heads * dim_head, bias=bias)
        self.to_qkv = None  # the three above as one, after `fuse()`
        self.output = nn.Linear(heads * dim_head, dim, bias=bias)

    def forward(self, x, mask=None, memory=None, rotary=None, past_key_values=None, **kwargs):
        """
        Args:
            x: `(B, T, D)`, the positions that ask.
            mask: `(B, S)`, 1 or True = may be attended; or boolean, broadcastable to `(B, H, T, S)`. Inside a model:
                as the chosen attention function wants it (`transformers.masking_utils`).
            memory: `(B, S, D)`, the positions that are asked; `x` itself by default (self-attention, S = T).
            rotary: the pair (cos, sin) of `RotaryPositionEmbedding`, if positions enter here.
            past_key_values: a `transformers.EncoderDecoderCache` of earlier steps' keys and values, if there is one.

        Returns:
            `out` `(B, T, D)` and `attention_scores`, the weights after softmax, `(B, H, T, S)` or None.

        Raises:
            ValueError: if a sequence has another width than D, the mask does not fit, or `memory` meets a fused block.
        """
        require_width("x", x, self.dim)
        query, key, value = self.project(x, memory, rotary, past_key_values)
        if self.config is None:
            attention_function, mask = eager_attention_forward, self.complete_mask(mask, query, key)
        else:
            attention_function = ALL_ATTENTION_FUNCTIONS.get_interface(
                self.config._attn_implementation, eager_attention_forward
            )
        dropout = self.dropout if self.training else 0.0
        out, attention_scores = attention_function(
            self, query, key, value, mask, dropout=dropout, scaling=self.dim_head**-0.5, **kwargs
        )  # (B, T, H, K)
        return self.output(out.flatten(2)), attention_scores  # (B, T, H·K) -> (B, T, D)

    def project(self, x, memory, rotary, past_key_values):
        """Queries `(B, H, T, K)` of `x`; keys and values `(B, H, S, K)` of what is asked, earlier steps' included."""
        if memory is not None:
            return self.project_memory(x, memory, past_key_values)
        fused = self.to_qkv is not None
        projections = self.to_qkv(x).chunk(3, dim=-1) if fused else (self.query(x), self.key(x), self.value(x))
        query, key, value = map(self.split_heads, projections)  # each (B, T, H·K) -> (B, H, T, K)
        if rotary is not None:
            query, key = rotate_by_position(query, *rotary), rotate_by_position(key, *rotary)
        if past_key_values is not None:  # (B, H, T, K) -> (B, H, S, K)
            key, value = past_key_values.self_attention_cache.update(key, value, self.layer_idx)
        return query, key, value

    def project_memory(self, x, memory, past_key_values):
        if self.to_qkv is not None:
            raise ValueError("a fused block projects one sequence, but got x and memory; call split() on it first")
        require_width("memory", memory, self.dim)
        query = self.split_heads(self.query(x))  # (B, H, T, K)
        if past_key_values is not None and past_key_values.is_updated.get(self.layer_idx):
            # The memory is the same at every step: it was projected at the first.
            cached = past_key_values.cross_attention_cache.layers[self.layer_idx]
            return query, cached.keys, cached.values
        key, value = self.split_heads(self.key(memory)), self.split_heads(self.value(memory))  # (B, H, S, K)
        if past_key_values is not None:
            key, value = past_key_values.cross_attention_cache.update(key, value, self.layer_idx)
            past_key_values.is_updated[self.layer_idx] = True
        return query, key, value

    def split_heads(self, x):
        return x.unflatten(-1, (self.heads, self.dim_head)).transpose(1, 2)  # (B, T, H·K) -> (B, H, T, K)

    def complete_mask(self, mask, query, key):
        """What the caller allows, and of that the past only if the block is causal."""
        B, H, T, S = *query.shape[:3], key.shape[2]
        mask = allowed_positions(mask, (B, H, T, S))
        if not self.is_causal:
            return mask
        past = torch.ones(T, S, dtype=torch.bool, device=query.device).tril(S - T)
        return past if mask is None else mask & past

    def fuse(self):
        """Join W^Q, W^K and W^V into one matrix, `to_qkv`: one large product in place of three, and the same numbers.

        The weights are copied, so fuse before an optimizer is built. A fused block does self-attention only.

        Returns:
            the block itself.
        """
        if self.to_qkv is None:
            parts = self.query, self.key, self.value
            bias = None if self.query.bias is None else torch.cat([part.bias for part in parts])  # (3·H·K,)
            self.to_qkv = linear_of(torch.cat([part.weight for part in parts]), bias)  # (3·H·K, D)
            self.query = self.key = self.value = None
        return self

    def split(self):
        """Undo `fuse`: carry the weights of `to_qkv` back to `query`, `key` and `value`.

        Returns:
            the block itself.
        """
        if self.to_qkv is not None:
            weights = self.to_qkv.weight.chunk(3)  # (3·H·K, D) -> each (H·K, D)
            biases = [None] * 3 if self.to_qkv.bias is None else self.to_qkv.bias.chunk(3)
            self.query, self.key, self.value = map(linear_of, weights, biases)
            self.to_qkv = None
        return self


PARTS = ("query", "key", "value")


def linear_of(weight, bias):
    """A Linear that holds copies of these tensors."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return linear


def split_projections(state_dict):
    """Weights in the one form that checkpoints have: `to_qkv` of fused blocks as copies of query, key and value.

    Args:
        state_dict: of any model; it is only read.

    Returns:
        a new dict.
    """
    parted = {}
    for name, tensor in state_dict.items():
        block, fused, kind = name.rpartition("to_qkv.")
        if fused:  # (3·H·K, D) -> each (H·K, D)
            parted |= {f"{block}{part}.{kind}": piece.clone() for part, piece in zip(PARTS, tensor.chunk(3), strict=True)}
        else:
            parted[name] = tensor
    return parted
