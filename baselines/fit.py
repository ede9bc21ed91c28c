"""How the baselines train: a loss of uint8 batches, an optimiser, a schedule; the loop is the suite's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from baselines.info.common import Epochs
from suite.detector import Context
from suite.training.sampling import Sampler, steps_in

Loss = Callable[[Tensor, torch.Generator], Mapping[str, Tensor]]
"""The terms of the loss, by name, for a uint8 batch on the device; what is random is drawn from the generator."""


def cosine(part: float) -> float:
    """The factor of the learning rate after ``part`` (0 to 1) of the training: half a cosine down to zero."""
    return 0.5 * (1 + math.cos(math.pi * part))


class Fit:
    """A training for :func:`suite.training.loop.run`: minimises the sum of the terms of ``loss``.

    ``modules`` holds everything that is trained or counted (buffers too); the optimiser is over those of its
    parameters that ask for gradients, or given. ``schedule(part)`` is the factor of the learning rate after that
    part of the training. ``clip``: the largest norm of the gradient. ``last``: what becomes of the rest of an
    epoch that fills no batch. ``generator`` is on the device.
    """

    def __init__(
        self,
        modules: nn.Module,
        loss: Loss,
        count: int,
        train: Epochs,
        context: Context,
        *,
        optimiser: torch.optim.Optimizer | None = None,
        schedule: Callable[[float], float] = lambda part: 1.0,
        clip: float | None = None,
        last: str = "partial",
    ) -> None:
        self.modules, self.loss, self.schedule, self.clip = modules, loss, schedule, clip
        self.context = context
        self.weights = [p for p in modules.parameters() if p.requires_grad]
        self.optimiser = optimiser or torch.optim.Adam(
            self.weights, lr=train.lr, weight_decay=train.weight_decay, fused=True
        )
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        batch = min(train.batch, count)
        kept: Any = last
        self.sampler = Sampler(count, batch, count, kept, context.generator("order"))
        self.generator = context.generator("fit", device=context.device)
        self.total = max(1, steps_in(train.epochs, count, batch, kept))
        self.step = 0
        self.sums: dict[str, Tensor] = {}
        self.counted = 0

    def prepare(self) -> None:
        self.modules.train()

    def advance(self, images: Tensor) -> None:
        """One optimiser step on a uint8 batch B x C x H x W."""
        self.adjust()
        terms = self.loss(images.to(self.context.device, non_blocking=True), self.generator)
        self.descend(terms)
        self.count(terms)

    def adjust(self) -> None:
        """Set the learning rates of this step."""
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * self.schedule(self.step / self.total)

    def descend(self, terms: Mapping[str, Tensor]) -> None:
        """Take the optimiser one step down the sum of the terms."""
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimiser.step()

    def count(self, terms: Mapping[str, Tensor]) -> None:
        """Note the terms of a step that was made."""
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, 0) + term.detach()
        self.counted += 1
        self.step += 1

    def flush(self) -> dict[str, float]:
        """Mean terms since the last call; FloatingPointError if one is not finite."""
        means = {name: float(value) / max(self.counted, 1) for name, value in self.sums.items()}
        self.sums, self.counted = {}, 0
        if wrong := [name for name, value in means.items() if not math.isfinite(value)]:
            raise FloatingPointError(
                f"the loss ({', '.join(wrong)}) is not finite at step {self.step}: lower train.lr"
            )
        return {f"loss_{name}": value for name, value in means.items()}

    def state(self) -> dict[str, Any]:
        return {
            "modules": self.modules.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "sampler": self.sampler.state(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "sums": self.sums,
            "counted": self.counted,
        }

    def restore(self, state: Any) -> None:
        self.modules.load_state_dict(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.sampler.restore(state["sampler"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.counted, self.sums = state["step"], state["counted"], dict(state["sums"])
