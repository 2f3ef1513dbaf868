"""The position-wise feed-forward network (Vaswani et al. 2017, section 3.3)."""

from torch import Tensor, nn
from transformers.activations import ACT2FN

from .checks import require_positive


class FeedForward(nn.Module):
    r"""Widen, bend, narrow, at each position alike: FFN(x) = act(x W₁ + b₁) W₂ + b₂ (section 3.3).

    Args:
        dim: size D of the vectors that come in and go out (d_model).
        hidden_dim: size F in between (d_ff); 4·D by default.
        hidden_act: name of the activation in `transformers.activations.ACT2FN`; the paper's is "relu", BERT's "gelu".
        bias: whether the two projections have one.

    Raises:
        ValueError: if the activation is unknown, or a size is below 1.
    """

    def __init__(self, dim: int, hidden_dim: int | None = None, hidden_act: str = "gelu", *, bias: bool = True):
        super().__init__()
        if hidden_act not in ACT2FN:
            raise ValueError(f"hidden_act {hidden_act!r} is unknown; choose one of {', '.join(sorted(ACT2FN))}")
        hidden_dim = 4 * dim if hidden_dim is None else hidden_dim
        require_positive(dim=dim, hidden_dim=hidden_dim)
        self.widen = nn.Linear(dim, hidden_dim, bias=bias)
        self.activation = ACT2FN[hidden_act]
        self.narrow = nn.Linear(hidden_dim, dim, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """
        Args:
            x: `(B, T, D)`.

        Returns:
            `(B, T, D)`; `(B, T, F)` in between.
        """
        return self.narrow(self.activation(self.widen(x)))
