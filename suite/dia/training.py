"""Training of the contrastive model (Section 3.2): branches, loss and step; :mod:`suite.training.loop` repeats it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from suite.detector import Context, derive_seed
from suite.dia import network, optimise, views
from suite.dia.bank import Bank
from suite.dia.contrast import Design, Target, classification, contrastive, target
from suite.dia.dissolve import Dissolver, StepDissolver
from suite.dia.info import Contrastive
from suite.tensors import give_back_large_blocks, onto, products
from suite.training.sampling import Sampler, steps_in


def branches(
    x: Tensor,
    chosen: Tensor,
    settings: Contrastive,
    dissolver: Dissolver | Bank | None,
    generator: torch.Generator,
) -> Tensor:
    """The views of a batch in the order of Eq. 5: flip, then D, S_k, T. (2 or 3) K B x C x H x W, shift-major
    blocks.

    ``x``: B x C x H x H in [0, 1]; ``chosen``: (B,), which training images they are.
    """
    flipped = unmoved = torch.zeros(len(x), dtype=torch.bool)
    if settings.train.views == "flip_simclr":
        flipped = views.flips(len(x), generator)
    # Only a dissolver that looks at the image has to have it flipped beforehand.
    waits = views.at_once(settings.shift, settings.train.plain)
    waits = waits and (dissolver is None or isinstance(dissolver, Bank))
    if not waits:
        x = views.mirrored(x, flipped)
    if isinstance(dissolver, Bank):
        dissolver = dissolver.of(chosen, flipped)
    dissolved = None if dissolver is None else _dissolved(x, settings, dissolver, generator)
    both = 2 * views.SHIFTS * len(x)
    drawn = views.draw(both if dissolved is None else both + both // 2, views.TRAIN_AREA, generator)
    seen = [_seen(x, drawn.rows(slice(both)), flipped if waits else unmoved, settings)]
    if dissolved is not None:
        seen.append(_seen(dissolved, drawn.rows(slice(both, None)), unmoved, settings))
    return torch.cat(seen)


def _dissolved(x: Tensor, settings: Contrastive, dissolver: Dissolver, generator: torch.Generator) -> Tensor:
    """D of B images: the same for all shifts, or K blocks of B, dissolved anew for each."""
    per_batch = getattr(getattr(settings, "dissolve", None), "draw", "per_image") == "per_shift_batch"
    if per_batch and isinstance(dissolver, StepDissolver):
        return torch.cat([dissolver.for_batch(x, generator) for _ in range(views.SHIFTS)])
    return dissolver(x, generator)


def _seen(x: Tensor, drawn: views.Draw, mirrored: Tensor, settings: Contrastive) -> Tensor:
    """S_k and T, a view for each draw, of B images or of K blocks of B; ``mirrored``: (B,), which to flip yet."""
    batch, rows = len(mirrored), torch.arange(len(drawn.box))
    if "one_channel" in settings.train.plain:
        x = x.expand(-1, 3, -1, -1)
    if views.at_once(settings.shift, settings.train.plain):
        return views.apply(x, drawn, views.Pose(rows // batch % views.SHIFTS, mirrored[rows % batch]))
    return views.apply(views.shifted(x, settings.shift, len(x) // batch), drawn)


class Training:
    """The state of one training: everything that changes is in :meth:`state`."""

    def __init__(
        self,
        count: int,
        settings: Contrastive,
        design: Design,
        dissolver: Dissolver | Bank | None,
        context: Context,
    ) -> None:
        self.settings, self.design, self.dissolver, self.device = settings, design, dissolver, context.device
        train = settings.train
        seed = derive_seed(context.seed, "network")
        self.network = network.build(
            settings.network.stem, settings.network.width, views.SHIFTS, seed, train.plain
        )
        self.network.to(context.device)
        self.optimiser = optimise.build(self.network.parameters(), train)
        self.sampler = Sampler(
            count, train.batch, train.epoch_size, train.last_batch, context.generator("order")
        )
        # Drawn on the processor for every device, which nothing then has to wait for.
        self.generator = context.generator("views")
        self.targets: dict[int, Target] = {}
        self.total = steps_in(train.epochs, train.epoch_size, train.batch, train.last_batch)
        self.warmup = train.warmup * train.epoch_size / train.batch
        self.step = 0
        self.sums = torch.zeros(2, device=context.device)
        self.counted = 0

    def prepare(self) -> None:
        self.network.train()

    def advance(self, images: Tensor) -> None:
        """One optimiser step on a uint8 batch B x C x H x W."""
        with products("tf32" if self.settings.train.precision == "tf32" else "full"):
            self._advance(images)

    def _advance(self, images: Tensor) -> None:
        pairs = self._target(len(images))
        if self.device.type == "cpu" and len(pairs.cells) * images[0, 0].numel() >= network.LARGE:
            give_back_large_blocks()
        self.optimiser.param_groups[0]["lr"] = optimise.learning_rate(
            self.step, self.total, self.warmup, self.settings.train.lr
        )
        with torch.no_grad():
            x = onto(images, self.device).float().div_(255)
            stacked = branches(x, self.sampler.latest, self.settings, self.dissolver, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, self.settings.train.precision == "bf16"):
            z, logits = self.network(stacked)
        z, logits = z.float(), logits.float()
        contrast = self.settings.contrast  # type: ignore[attr-defined]
        con = contrastive(z, pairs, contrast.tau, contrast.norm)
        cls = classification(logits, views.SHIFTS, len(images))
        self.optimiser.zero_grad(set_to_none=True)
        (con + contrast.gamma * cls).backward()
        self.optimiser.step()
        self.sums += torch.stack([con.detach(), cls.detach()])
        self.counted += 1
        self.step += 1

    def _target(self, batch: int) -> Target:
        if batch not in self.targets:
            self.targets[batch] = target(self.design, views.SHIFTS, batch).to(self.device)
        return self.targets[batch]

    def flush(self) -> dict[str, float]:
        """Mean losses since the last call; FloatingPointError if they are not finite."""
        con, cls = (self.sums / max(self.counted, 1)).tolist()
        self.sums.zero_()
        self.counted = 0
        if not (math.isfinite(con) and math.isfinite(cls)):
            raise FloatingPointError(f"the loss is not finite at step {self.step}: lower train.lr")
        return {"loss_con": con, "loss_cls": cls, "lr": self.optimiser.param_groups[0]["lr"]}

    def state(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "sampler": self.sampler.state(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "sums": self.sums,
            "counted": self.counted,
        }

    def restore(self, state: Any) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.sampler.restore(state["sampler"])
        self.generator.set_state(state["generator"].cpu())
        self.step, self.counted = state["step"], state["counted"]
        self.sums.copy_(state["sums"])
