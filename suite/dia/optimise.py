"""Optimisers and the learning-rate schedule of the contrastive model (supplement A.1 and the released
recipe).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from suite.dia.info import Train

MOMENTUM = 0.9
WARMUP_START = 0.1
"""The warm-up is linear from this share of the learning rate."""


class LARS(torch.optim.SGD):
    """SGD with momentum whose gradients are scaled layer by layer (You et al., 2017).

    For each parameter w with gradient g: g' = (g + d w) * eta |w| / (|g| + d |w| + eps), where d is the
    weight decay and eta the trust coefficient (no scaling where a norm is zero); v = m v + g'; w = w - lr v.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = MOMENTUM,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr, momentum=momentum, fused=True)
        self.decay, self.trust, self.eps = weight_decay, trust, eps

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step over all parameters in a few grouped calls. The gradients are scaled where they lie."""
        for group in self.param_groups:
            weights = [p for p in group["params"] if p.grad is not None]
            if weights:
                self._scale(weights, [p.grad for p in weights])
        super().step(closure)

    def _scale(self, weights: list[Tensor], gradients: list[Tensor]) -> None:
        weight_norms = torch.stack(torch._foreach_norm(weights))
        gradient_norms = torch.stack(torch._foreach_norm(gradients))
        ratio = self.trust * weight_norms / (gradient_norms + self.decay * weight_norms + self.eps)
        ratio = torch.where((weight_norms > 0) & (gradient_norms > 0), ratio, torch.ones_like(ratio))
        if self.decay:
            torch._foreach_add_(gradients, weights, alpha=self.decay)
        torch._foreach_mul_(gradients, list(ratio.unbind()))


def build(parameters: Iterable[Tensor], settings: Train) -> Optimizer:
    """The optimiser that ``train.optimiser`` names."""
    if settings.optimiser == "lars":
        return LARS(parameters, settings.lr, weight_decay=settings.weight_decay)
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, settings.lr, momentum=MOMENTUM, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.Adam(parameters, settings.lr, weight_decay=settings.weight_decay, fused=True)


def learning_rate(step: int, total: int, warmup: float, peak: float) -> float:
    """The rate at ``step`` of ``total``: linear warm-up over ``warmup`` steps, then half a cosine down to
    zero.
    """
    if step < warmup:
        return peak * (WARMUP_START + (1 - WARMUP_START) * step / warmup)
    progress = (step - warmup) / max(total - warmup, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
