"""Scaled dot-product attention, with one head and with several (Vaswani et al. 2017, sections 3.2.1 and 3.2.2)."""

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .positional import rotate_by_position


def allowed_positions(mask: torch.Tensor | None, ndim: int) -> torch.Tensor | None:
    """Turn a user's mask into a boolean one that broadcasts against scores of `ndim` dimensions; True = may attend.

    The one place where a 0/1 `attention_mask` becomes the mask that the formula needs.

    Args:
        mask: `(B, S)`, 1 or True where a token may be attended; or boolean, broadcastable to the scores; or None.
        ndim: 3 for the scores `(B, T, S)` of one head, 4 for `(B, H, T, S)`.

    Raises:
        ValueError: if the mask is additive (floating point, more than two dimensions).
    """
    if mask is None:
        return None
    if mask.ndim == 2:  # one flag a key: the same for every head and every query
        return mask.bool().view(mask.shape[0], *[1] * (ndim - 2), mask.shape[1])
    if mask.is_floating_point():
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} has dtype {mask.dtype}, but a block takes a boolean mask, True where a "
            "position may be attended; pass `mask == 0` for an additive mask that holds 0 and a large negative number"
        )
    return mask.bool()


def attend(query, key, value, mask=None, scale=None, dropout=0.0):
    r"""Attention(Q, K, V) = softmax(Q Kᵀ / √d_k) V (section 3.2.1, equation 1).

    Args:
        query: `(..., T, K)`. The scale is applied before the softmax.
        key, value: `(..., S, K)`.
        mask: boolean, True = may attend, or additive; broadcastable to `(..., T, S)`.
        scale: defaults to 1/√K.
        dropout: probability of dropping an attention weight.

    Returns:
        `(..., T, K)` and the weights `(..., T, S)`. A query that may attend nowhere under a boolean mask gets weights and an
        output of zero, as in `torch.nn.functional.scaled_dot_product_attention`.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = query @ key.transpose(-2, -1) * scale  # (..., T, S)
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    weights = scores.softmax(dim=-1)
    if mask is not None and mask.dtype == torch.bool:
        weights = weights.masked_fill(~mask, 0.0)  # changes only a row without any True, which would be uniform
    return nn.functional.dropout(weights, dropout) @ value, weights


def eager_attention_forward(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    """`attend` with the signature of `transformers.AttentionInterface`: takes `(B, H, T, K)`, returns `(B, T, H, K)`."""
    out, weights = attend(query, key, value, attention_mask, scaling, dropout)
    return out.transpose(1, 2), weights


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
        """
        query, key, value = self.query(sequence), self.key(sequence), self.value(sequence)  # each (B, T, K)
        return attend(query, key, value, allowed_positions(attention_mask, ndim=3))


class MultiHeadAttention(nn.Module):
    r"""Several heads side by side, joined by a projection back to the width of the input.

    MultiHead(Q, K, V) = Concat(head_1, ..., head_h) W^O (section 3.2.2).

    Built by hand it computes eagerly and returns its scores. Inside a model it is given the model's `config`, and runs the
    attention function that the config names (`sdpa`, `flash_attention_2`, ... or any registered one); those that compute no
    scores return None in their place.

    Args:
        dim: size D of the vectors that come in and go out (d_model).
        heads: number H of heads.
        dim_head: size K of each head's queries, keys and values (d_k); H·K need not equal D.
        dropout: probability of dropping an attention weight in training.
        bias: whether the four projections have one.
        config: the model's config, which names the attention function.

    Raises:
        ValueError: if a size is below 1.
    """

    # PyTorch's SDPA backends read it from the module: without it, an encoder that passes no mask would be causal.
    is_causal = False

    def __init__(self, dim: int, heads: int = 8, dim_head: int = 64, *, dropout=0.0, bias=True, config=None):
        super().__init__()
        require_positive(dim=dim, heads=heads, dim_head=dim_head)
        self.heads, self.dim_head, self.dropout = heads, dim_head, dropout
        self.config = config
        self.query = nn.Linear(dim, heads * dim_head, bias=bias)
        self.key = nn.Linear(dim, heads * dim_head, bias=bias)
        self.value = nn.Linear(dim, heads * dim_head, bias=bias)
        self.output = nn.Linear(heads * dim_head, dim, bias=bias)

    def forward(self, x, mask=None, memory=None, rotary=None, **kwargs):
        """
        Args:
            x: `(B, T, D)`, the positions that ask.
            mask: `(B, S)`, 1 or True = may be attended; or boolean, broadcastable to `(B, H, T, S)`. Inside a model: as the
                chosen attention function wants it (`transformers.masking_utils`).
            memory: `(B, S, D)`, the positions that are asked; `x` itself by default (self-attention, S = T).
            rotary: the pair (cos, sin) of `RotaryPositionEmbedding`, if positions enter here.

        Returns:
            `out` `(B, T, D)` and `attention_scores`, the weights after softmax, `(B, H, T, S)` or None.
        """
        memory = x if memory is None else memory
        query = self.split_heads(self.query(x))  # (B, H, T, K)
        key = self.split_heads(self.key(memory))  # (B, H, S, K)
        value = self.split_heads(self.value(memory))  # (B, H, S, K)
        if rotary is not None:
            query, key = rotate_by_position(query, *rotary), rotate_by_position(key, *rotary)

        attention_function = eager_attention_forward
        if self.config is None:
            mask = allowed_positions(mask, ndim=4)
        else:
            attention_function = ALL_ATTENTION_FUNCTIONS.get_interface(
                self.config._attn_implementation, eager_attention_forward
            )
        out, attention_scores = attention_function(
            self,
            query,
            key,
            value,
            mask,
            dropout=self.dropout if self.training else 0.0,
            scaling=self.dim_head**-0.5,
            **kwargs,
        )  # (B, T, H, K)
        return self.output(out.flatten(2)), attention_scores

    def split_heads(self, x):
        return x.unflatten(-1, (self.heads, self.dim_head)).transpose(1, 2)  # (B, T, H·K) -> (B, H, T, K)


def require_positive(**sizes):
    """Raise a ValueError that names the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"{name} is {size}, but it must be at least 1; pass the number of features or heads wanted"
            )
