"""Muon for the matrices, AdamW for the rest, and one schedule for both.

Muon (Jordan et al. 2024) orthogonalizes each matrix's momentum, so that no direction of a weight is
left behind; docs/results.md compares it with AdamW. Its steps are scaled to AdamW's size (Liu et
al. 2025), so that one learning rate and one weight decay make sense.

The schedule is warm-up, stable, decay (Hu et al. 2024): a run can be prolonged at will, and decays
when it is asked to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from tinytales.errors import UsageError


@dataclass(frozen=True, slots=True)
class OptimRecipe:
    """How the weights move.

    Attributes:
        optimizer: "muon" (matrices by Muon, the rest by AdamW) or "adamw" (everything).
        matrix_lr: learning rate of Muon, or of AdamW for the matrices.
        lr: learning rate of the embedding and the norms.
        weight_decay: of the matrices alone.
        momentum: Muon's.
        beta1, beta2: AdamW's.
        warmup_steps: steps of linear warm-up.
        decay_share: last share of the run in which the rate falls linearly to zero.
        clip: largest norm of the gradient.
    """

    optimizer: str = "muon"
    matrix_lr: float = 0.01
    lr: float = 0.003
    weight_decay: float = 0.1
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.95
    warmup_steps: int = 100
    decay_share: float = 0.25
    clip: float = 1.0

    def __post_init__(self) -> None:
        if self.optimizer not in ("muon", "adamw"):
            raise UsageError(
                f"unknown optimizer {self.optimizer!r}", hint='optim.optimizer = "muon" or "adamw"'
            )
        if not 0 <= self.decay_share <= 1:
            raise UsageError(f"decay_share is {self.decay_share}", hint="a share from 0 to 1")


def make_optimizers(model: nn.Module, recipe: OptimRecipe) -> list[torch.optim.Optimizer]:
    """The optimizers of `model`'s parameters; each group remembers its full rate as `full_lr`."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in named if p.ndim != 2 or "embed" in n]
    betas = (recipe.beta1, recipe.beta2)
    fused = {"fused": True} if next(model.parameters()).device.type in ("cpu", "cuda") else {}
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=recipe.lr, betas=betas, weight_decay=0.0, **fused)
    ]
    if recipe.optimizer == "muon":
        optimizers.append(
            torch.optim.Muon(
                matrices,
                lr=recipe.matrix_lr,
                momentum=recipe.momentum,
                weight_decay=recipe.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    else:
        optimizers.append(
            torch.optim.AdamW(
                matrices,
                lr=recipe.matrix_lr,
                betas=betas,
                weight_decay=recipe.weight_decay,
                **fused,
            )
        )
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
    return optimizers


def rate(step: int, progress: float, recipe: OptimRecipe) -> float:
    """The share of the full learning rate at `step`, `progress` (0 to 1) of the way."""
    warm = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    if recipe.decay_share == 0:
        return warm
    return warm * min(1.0, max(0.0, (1.0 - progress) / recipe.decay_share))


def set_rate(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * share
