"""What every block takes: sizes, sequences and masks. What it refuses is said as value, rule and remedy."""

import torch


def require_positive(**sizes):
    """Raise a ValueError that names the first size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}, but it must be at least 1; pass how many are wanted")


def require_width(name, x, dim):
    """Raise a ValueError if `x` is not a batch of sequences of vectors of size `dim`."""
    if x.ndim != 3 or x.shape[-1] != dim:
        raise ValueError(
            f"{name} has shape {tuple(x.shape)}, but this block takes (batch, length, {dim}); reshape it, project its "
            f"vectors to size {dim}, or build the block for their size"
        )


def allowed_positions(mask: torch.Tensor | None, shape: tuple[int, ...]) -> torch.Tensor | None:
    """Turn a user's mask into a boolean one that broadcasts against the scores; True = may attend.

    The one place where a 0/1 `attention_mask` becomes the mask of the formula. The caller's tensor is only read.

    Args:
        mask: `(B, S)`, 1 or True where a token may be attended; or boolean, broadcastable to the scores; or None.
        shape: of the scores, `(B, T, S)` for one head or `(B, H, T, S)`.

    Raises:
        ValueError: if the mask is additive, or does not broadcast to the scores.
    """
    if mask is None:
        return None
    if mask.is_floating_point() and (mask.ndim > 2 or has_negative(mask)):
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} has dtype {mask.dtype}, but a block takes a boolean mask, True "
            "where a position may be attended; pass `mask == 0` for an additive mask of 0 and large negative numbers"
        )
    full = mask
    if mask.ndim == 2:  # one flag a key: the same for every head and every query
        full = mask.view(mask.shape[0], *[1] * (len(shape) - 2), mask.shape[1])  # (B, S) -> (B, 1, 1, S)
    sizes = [1] * (len(shape) - full.ndim) + list(full.shape)
    if len(sizes) > len(shape) or any(size not in (1, wanted) for size, wanted in zip(sizes, shape, strict=True)):
        raise ValueError(
            f"a mask of shape {tuple(mask.shape)} does not fit scores of shape {tuple(shape)}; pass one flag a key, "
            f"shape {(shape[0], shape[-1])}, or a boolean mask that broadcasts to the scores"
        )
    return full.bool()


def has_negative(mask):
    # A compiled graph cannot look at values; by then the same mask has run uncompiled.
    return not torch.compiler.is_compiling() and bool((mask < 0).any())
