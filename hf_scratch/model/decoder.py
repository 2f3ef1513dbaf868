"""The decoder: what it has written so far, and what the encoder has read (Vaswani et al. 2017, section 3.1)."""

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import MultiHeadAttention
from .checks import require_positive, require_width
from .feed_forward import FeedForward


class TransformerDecoderBlock(GradientCheckpointingLayer):
    r"""Causal self-attention, attention to the encoder's output, and a feed-forward network, each added to its input.

    Pre-norm: x + Sublayer(LayerNorm(x)) (Xiong et al. 2020). Post-norm, the paper's: LayerNorm(x + Sublayer(x))
    (section 3.1).

    Args:
        dim: size D of the vectors that come in and go out (d_model).
        heads: number H of attention heads.
        dim_head: size K of a head.
        intermediate_size, hidden_act, dropout, attention_dropout, norm_first, layer_norm_eps, bias, config: as for
            `TransformerEncoderBlock`.
        layer_idx: which layer of a key/value cache is this block's own.

    Raises:
        ValueError: if a size is below 1, or the activation is unknown.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 8,
        dim_head: int = 64,
        *,
        intermediate_size: int | None = None,
        hidden_act: str = "gelu",
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        norm_first: bool = True,
        layer_norm_eps: float = 1e-5,
        bias: bool = True,
        config=None,
        layer_idx: int | None = None,
    ):
        super().__init__()
        require_positive(dim=dim)
        self.dim, self.norm_first = dim, norm_first
        options = {"dropout": attention_dropout, "bias": bias, "config": config, "layer_idx": layer_idx}
        self.attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias)
        self.attention = MultiHeadAttention(dim, heads, dim_head, is_causal=True, **options)
        self.cross_attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias)
        self.cross_attention = MultiHeadAttention(dim, heads, dim_head, **options)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias)
        self.feed_forward = FeedForward(dim, intermediate_size, hidden_act, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, memory, mask=None, memory_mask=None, rotary=None, past_key_values=None, **kwargs):
        """
        Args:
            x: `(B, T, D)`.
            memory: `(B, S, D)`, the encoder's output.
            mask: over x, memory_mask: over the memory, both as for `MultiHeadAttention`.
            rotary, past_key_values: as for `MultiHeadAttention`.

        Returns:
            `(B, T, D)`.

        Raises:
            ValueError: if a sequence has another width than D, or a mask does not fit.
        """
        require_width("x", x, self.dim)

        def look_back(x):
            return self.dropout(self.attention(x, mask, None, rotary, past_key_values, **kwargs)[0])

        def look_across(x):
            return self.dropout(self.cross_attention(x, memory_mask, memory, None, past_key_values, **kwargs)[0])

        def think(x):
            return self.dropout(self.feed_forward(x))

        if self.norm_first:
            x = x + look_back(self.attention_norm(x))
            x = x + look_across(self.cross_attention_norm(x))
            x = x + think(self.feed_forward_norm(x))
        else:
            x = self.attention_norm(x + look_back(x))
            x = self.cross_attention_norm(x + look_across(x))
            x = self.feed_forward_norm(x + think(x))
        return x


class TransformerDecoder(nn.Module):
    r"""A stack of decoder blocks; position t sees target positions up to t, and the whole memory.

    Pre-norm blocks leave their sum unnormalised, so there the stack ends in a layer norm.

    Args:
        dim: size D of the vectors that come in and go out (d_model).
        depth: number of blocks (N).
        heads: number H of attention heads.
        dim_head: size K of a head.
        norm_first: pre-norm or post-norm.
        layer_norm_eps: added to the variance under the root.
        bias: whether linear layers and norms have one.
        options: the other keywords of `TransformerDecoderBlock`.

    Raises:
        ValueError: if a size is below 1, or the activation is unknown.
    """

    def __init__(self, dim, depth, heads=8, dim_head=64, *, norm_first=True, layer_norm_eps=1e-5, bias=True, **options):
        super().__init__()
        require_positive(depth=depth)
        options |= {"norm_first": norm_first, "layer_norm_eps": layer_norm_eps, "bias": bias}
        self.layers = nn.ModuleList(
            TransformerDecoderBlock(dim, heads, dim_head, layer_idx=layer_idx, **options) for layer_idx in range(depth)
        )
        self.final_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias) if norm_first else None

    @classmethod
    def from_config(cls, config):
        """The decoder that a model with this `ScratchConfig` has: as deep as its encoder."""
        return cls(
            config.hidden_size,
            config.num_hidden_layers,
            config.num_attention_heads,
            config.attention_head_size,
            intermediate_size=config.intermediate_size,
            hidden_act=config.hidden_act,
            dropout=config.hidden_dropout_prob,
            attention_dropout=config.attention_probs_dropout_prob,
            norm_first=config.norm_first,
            layer_norm_eps=config.layer_norm_eps,
            config=config,
        )

    def forward(self, x, memory, mask=None, memory_mask=None, **kwargs):
        """
        Args:
            x: `(B, T, D)`, the target so far.
            memory: `(B, S, D)`, the encoder's output.
            mask: `(B, T)`, 1 or True = a real target token; or boolean, broadcastable to `(B, H, T, T)`. The future is
                hidden in any case.
            memory_mask: `(B, S)`, 1 or True = a real source token; or boolean, broadcastable to `(B, H, T, S)`.

        Returns:
            `(B, T, D)`.

        Raises:
            ValueError: if a sequence has another width than D, or a mask does not fit.
        """
        for layer in self.layers:
            x = layer(x, memory, mask, memory_mask, **kwargs)
        return x if self.final_norm is None else self.final_norm(x)
