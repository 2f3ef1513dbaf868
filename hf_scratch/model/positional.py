"""Where a token stands: sinusoids added to its vector (Vaswani et al. 2017, 3.5), or queries and keys rotated."""

import torch
from torch import nn
from transformers import initialization as init

from .checks import require_positive, require_width


def sinusoids(positions: torch.Tensor, dim: int) -> torch.Tensor:
    r"""PE(pos, 2i) = sin(pos / 10000^(2i/D)), PE(pos, 2i+1) = cos(pos / 10000^(2i/D)) (section 3.5).

    Args:
        positions: any shape, whole numbers.
        dim: size D of the result's last dimension; an odd D ends in a sine.

    Returns:
        `(*positions.shape, D)`, in float64 where the device has it: angles of large positions need it.
    """
    precise = torch.float32 if positions.device.type == "mps" else torch.float64
    even = torch.arange(0, dim, 2, device=positions.device, dtype=precise)
    angles = positions.unsqueeze(-1) / 10000 ** (even / dim)  # (..., ⌈D/2⌉)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :dim]


class PositionalEncoding(nn.Module):
    """Add the sinusoids of section 3.5 to a sequence; nothing is learned.

    Args:
        dim: size D of the vectors (d_model).
        max_len: length of the table that is kept; longer sequences are computed as they come.

    Raises:
        ValueError: if a size is below 1.
    """

    def __init__(self, dim: int, max_len: int = 512):
        super().__init__()
        require_positive(dim=dim, max_len=max_len)
        self.dim, self.max_len = dim, max_len
        self.register_buffer("table", torch.empty(max_len, dim), persistent=False)
        self.reset_buffers()

    def reset_buffers(self):
        """Fill the table: at construction, and again when a model built on the meta device gets its memory."""
        if not self.table.is_meta:
            init.copy_(self.table, sinusoids(torch.arange(self.max_len, device=self.table.device), self.dim))

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor | None = None, below: int | None = None) -> torch.Tensor:
        """
        Args:
            x: `(B, T, D)`.
            position_ids: `(B, T)` or `(1, T)`; 0 ... T-1 by default.
            below: what no position reaches, if it is known: the table is read where it is long enough.

        Returns:
            `(B, T, D)`.

        Raises:
            ValueError: if `x` has another width than D.
        """
        require_width("x", x, self.dim)
        _, T, D = x.shape
        if position_ids is None and T <= self.max_len:
            return x + self.table[:T].to(x.dtype)
        if position_ids is not None and below is not None and below <= self.max_len:
            return x + self.table[position_ids].to(x.dtype)
        if position_ids is None:
            position_ids = torch.arange(T, device=x.device)
        return x + sinusoids(position_ids, D).to(x.dtype)


class RotaryPositionEmbedding(nn.Module):
    r"""The angles m·θ_i, θ_i = base^(-2i/K), by which position m turns feature pair i (Su et al. 2021, section 3.2.2).

    Args:
        dim_head: size K of a head; must be even, for features turn in pairs.
        base: 10000 in the paper.

    Raises:
        ValueError: if `dim_head` is odd or below 1.
    """

    def __init__(self, dim_head: int, base: float = 10000.0):
        super().__init__()
        require_positive(dim_head=dim_head)
        if dim_head % 2:
            raise ValueError(
                f"head_size ({dim_head}) must be even for rotary positions, which turn features in pairs; "
                f"try {dim_head - 1} or {dim_head + 1}"
            )
        self.dim_head, self.base = dim_head, base
        self.register_buffer("frequencies", torch.empty(dim_head // 2), persistent=False)
        self.reset_buffers()

    def reset_buffers(self):
        """Fill the frequencies: at construction, and again when a model built on the meta device gets its memory."""
        if not self.frequencies.is_meta:
            pair = torch.arange(0, self.dim_head, 2, device=self.frequencies.device, dtype=torch.float64)
            init.copy_(self.frequencies, self.base ** (-pair / self.dim_head))

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor):
        """
        Args:
            x: any tensor of the wanted dtype.
            position_ids: `(B, T)` or `(1, T)`.

        Returns:
            cos and sin, each `(B, 1, T, K)`: one for all heads.
        """
        precise = torch.promote_types(x.dtype, torch.float32)  # angles in half precision lose whole turns
        angles = position_ids.unsqueeze(-1).to(precise) * self.frequencies.to(precise)  # (B, T, K/2)
        angles = torch.cat([angles, angles], dim=-1).unsqueeze(1)  # (B, 1, T, K)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def rotate_by_position(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn each pair (x_i, x_{i+K/2}) by its angle, so that q·k depends on the distance only (equation 34).

    Args:
        x: `(B, H, T, K)`.
        cos, sin: `(B, 1, T, K)` of `RotaryPositionEmbedding`.

    Returns:
        `(B, H, T, K)`, of the dtype of `x`. Under autocast the angles stay in single precision and `x` is in half: queries and
        keys that came out in another precision than the values would keep attention from its fast kernels.
    """
    first, second = x.chunk(2, dim=-1)  # each (B, H, T, K/2)
    return (x * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)
