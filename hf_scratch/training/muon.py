"""Muon for the matrices and AdamW for the rest, in one optimizer that Trainer, schedulers and checkpoints take as any other.

Muon steps along the nearest semi-orthogonal matrix of the momentum (Jordan et al. 2024, kellerjordan.github.io/posts/muon):
all directions of a matrix learn at the same pace. `torch.optim.Muon` is its test; it walks the matrices one by one, which on a
GPU costs more than the arithmetic, so here matrices of one shape go together.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration, chosen by its author for slope at zero
ITERATIONS = 5


def orthogonalize(matrices: torch.Tensor) -> torch.Tensor:
    """U Vᵀ of each matrix U Σ Vᵀ, roughly, by X <- aX + (b XXᵀ + c (XXᵀ)²) X.

    Args:
        matrices: `(N, rows, columns)`.

    Returns:
        `(N, rows, columns)` in bfloat16: singular values between about 0.7 and 1.2 serve as well as ones.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    X = matrices.bfloat16()
    X = X.mT if tall else X
    X = X / X.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return X.mT if tall else X


class MuonAdamW(torch.optim.Optimizer):
    """One optimizer over groups, each with `muon` True or False.

    Muon's groups: momentum and Nesterov's look ahead, orthogonalized, times √max(1, rows / columns) and the learning rate.
    AdamW's groups are stepped by `torch.optim.AdamW` itself, whose state and groups are shared with this one.

    Args:
        groups: of parameters, with `lr`, `weight_decay` and `muon`.
        momentum: Muon's.
        betas, eps: AdamW's.
        fused: AdamW's kernel; None lets torch choose.
    """

    def __init__(self, groups: Iterable[dict], momentum: float = 0.95, betas=(0.9, 0.999), eps: float = 1e-8, fused=None):
        super().__init__(list(groups), {"momentum": momentum, "betas": betas, "eps": eps})
        self.fused = fused
        self._share_with_adamw()

    def _share_with_adamw(self):
        own = [group for group in self.param_groups if not group["muon"]]
        self.adamw = torch.optim.AdamW(own, fused=self.fused) if own else None
        if self.adamw:
            self.adamw.state, self.adamw.param_groups = self.state, own

    def __setstate__(self, state):
        """Loading replaces the groups: share the new ones."""
        super().__setstate__(state)
        if hasattr(self, "fused"):
            self._share_with_adamw()

    @torch.no_grad()
    def step(self, closure=None):
        """One step of both."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        if self.adamw:
            self.adamw.step()
        for group in self.param_groups:
            if group["muon"]:
                self._muon_step(group)
        return loss

    def _muon_step(self, group: dict):
        by_shape = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for (rows, columns), parameters in by_shape.items():
            gradients = [parameter.grad for parameter in parameters]
            momenta = [self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in parameters]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
            updates = orthogonalize(torch.stack(ahead)).to(parameters[0].dtype).unbind()
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, updates, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)


def parameter_groups(
    model: nn.Module, encoders: Iterable[nn.Module], decayed: set[str], lr: float, muon_lr: float, weight_decay: float
) -> list[dict]:
    """Muon: the matrices of the encoders' linear layers. AdamW: embeddings, heads, norms and biases.

    Args:
        model: whose parameters they are.
        encoders: parts of it: the encoder under its head, without the head.
        decayed: names of the parameters that weight decay is for.
        lr: AdamW's.
        muon_lr: Muon's.
        weight_decay: of both.
    """
    linear = [part for encoder in encoders for part in encoder.modules() if isinstance(part, nn.Linear)]
    matrices = {p for part in linear for p in part.parameters() if p.ndim == 2}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rest = [(name, p) for name, p in named if p not in matrices]
    groups = [
        {"params": [p for name, p in rest if name in decayed], "lr": lr, "weight_decay": weight_decay, "muon": False},
        {"params": [p for name, p in rest if name not in decayed], "lr": lr, "weight_decay": 0.0, "muon": False},
        {"params": [p for _, p in named if p in matrices], "lr": muon_lr, "weight_decay": weight_decay, "muon": True},
    ]
    return [group for group in groups if group["params"]]
