"""The encoder block (Vaswani et al. 2017, section 3.1)."""

from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from .attention import MultiHeadAttention
from .checks import require_positive, require_width
from .feed_forward import FeedForward


class TransformerEncoderBlock(GradientCheckpointingLayer):
    r"""Self-attention and a feed-forward network, each with a residual connection and a layer norm.

    Pre-norm, the course's: x + Sublayer(LayerNorm(x)) (Xiong et al. 2020). Post-norm, the paper's and BERT's:
    LayerNorm(x + Sublayer(x)) (section 3.1).

    Args:
        dim: size D of the vectors that come in and go out (d_model).
        heads: number H of attention heads.
        dim_head: size K of a head.
        intermediate_size: size F of the feed-forward network; 4·D by default.
        hidden_act: its activation.
        dropout: probability of dropping a feature of a sublayer's output in training (section 5.4).
        attention_dropout: probability of dropping an attention weight in training.
        norm_first: pre-norm or post-norm.
        layer_norm_eps: added to the variance under the root.
        bias: whether linear layers and norms have one.
        config: the model's config, which names the attention function.

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
    ):
        super().__init__()
        require_positive(dim=dim)
        self.dim, self.norm_first = dim, norm_first
        self.attention_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias)
        self.attention = MultiHeadAttention(dim, heads, dim_head, dropout=attention_dropout, bias=bias, config=config)
        self.feed_forward_norm = nn.LayerNorm(dim, eps=layer_norm_eps, bias=bias)
        self.feed_forward = FeedForward(dim, intermediate_size, hidden_act, bias=bias)
        self.dropout = nn.Dropout(dropout)

    @classmethod
    def from_config(cls, config, **overrides):
        """The block that a model with this `ScratchConfig` stacks."""
        return cls(
            config.hidden_size,
            config.num_attention_heads,
            config.attention_head_size,
            intermediate_size=config.intermediate_size,
            hidden_act=config.hidden_act,
            dropout=config.hidden_dropout_prob,
            attention_dropout=config.attention_probs_dropout_prob,
            norm_first=config.norm_first,
            layer_norm_eps=config.layer_norm_eps,
            config=config,
            **overrides,
        )

    def forward(self, x, mask=None, **kwargs):
        """
        Args:
            x: `(B, T, D)`.
            mask: as for `MultiHeadAttention`.

        Returns:
            `(B, T, D)`.

        Raises:
            ValueError: if `x` has another width than D, or the mask does not fit it.
        """
        require_width("x", x, self.dim)
        if self.norm_first:
            x = x + self.dropout(self.attention(self.attention_norm(x), mask, **kwargs)[0])
            x = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        else:
            x = self.attention_norm(x + self.dropout(self.attention(x, mask, **kwargs)[0]))
            x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x
