"""Training of the contrastive model (Section 3.2): branches, loss and the loop, resumable to the bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from suite.detector import Context, Images, derive_seed
from suite.dia import network, optimise, views
from suite.dia.contrast import Design, Target, classification, contrastive, target
from suite.dia.dissolve import DiffusionDissolver, Dissolver
from suite.dia.info import Contrastive
from suite.dia.resume import Checkpoint
from suite.dia.sampling import Sampler, steps_in

MEMORY_LIMIT = 2**30
"""Training images up to this many bytes are kept as one tensor on the device; more are read batch by batch.
"""


def branches(
    x: Tensor, settings: Contrastive, dissolver: Dissolver | None, generator: torch.Generator
) -> Tensor:
    """The views of a batch in the order of Eq. 5: flip, then D, S_k, T. (2 or 3) K B x C x H x W, shift-major
    blocks.

    ``x``: B x C x H x H in [0, 1].
    """
    if settings.train.views == "flip_simclr":
        x = views.flip(x, generator)
    shifted = views.shifted(x, settings.shift)
    blocks = [shifted, shifted]
    if dissolver is not None:
        blocks.append(_dissolved(x, settings, dissolver, generator))
    stacked = torch.cat(blocks)
    return views.apply(stacked, views.draw(len(stacked), views.TRAIN_AREA, generator))


def _dissolved(x: Tensor, settings: Contrastive, dissolver: Dissolver, generator: torch.Generator) -> Tensor:
    per_batch = getattr(getattr(settings, "dissolve", None), "draw", "per_image") == "per_shift_batch"
    if per_batch and isinstance(dissolver, DiffusionDissolver):
        shifts = range(views.SHIFTS)
        return torch.cat([views.shift(dissolver.for_batch(x, generator), settings.shift, k) for k in shifts])
    return views.shifted(dissolver(x, generator), settings.shift)


class Training:
    """The state of one training: everything that changes is in :meth:`state`."""

    def __init__(
        self, count: int, settings: Contrastive, design: Design, dissolver: Dissolver | None, context: Context
    ) -> None:
        self.settings, self.design, self.dissolver, self.device = settings, design, dissolver, context.device
        train = settings.train
        seed = derive_seed(context.seed, "network")
        self.network = network.build(settings.network.stem, settings.network.width, views.SHIFTS, seed)
        self.network.to(context.device)
        self.optimiser = optimise.build(self.network.parameters(), train)
        self.sampler = Sampler(
            count, train.batch, train.epoch_size, train.last_batch, context.generator("order")
        )
        self.generator = context.generator("views", device=context.device)
        self.total = steps_in(train.epochs, train.epoch_size, train.batch, train.last_batch)
        self.warmup = train.warmup * train.epoch_size / train.batch
        self.step = 0
        self.sums = torch.zeros(2, device=context.device)
        self.counted = 0

    def advance(self, images: Tensor) -> None:
        """One optimiser step on a uint8 batch B x C x H x W."""
        self.optimiser.param_groups[0]["lr"] = optimise.learning_rate(
            self.step, self.total, self.warmup, self.settings.train.lr
        )
        with torch.no_grad():
            x = images.to(self.device, non_blocking=True).float().div_(255)
            stacked = branches(x, self.settings, self.dissolver, self.generator)
        pairs = self._target(len(images))
        z, logits = self.network(stacked.contiguous(memory_format=torch.channels_last))
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
        return target(self.design, views.SHIFTS, batch).to(self.device)

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


def run(training: Training, images: Images, context: Context, snapshot: Any) -> None:
    """Train to the end, from the checkpoint if there is one. ``snapshot(step, total)`` is called at each
    part's end.
    """
    source = _source(images, context.device)
    checkpoint = Checkpoint(context, training.state, training.restore)
    checkpoint.resume()
    total = training.total
    marks = {total * part // context.snapshots for part in range(1, context.snapshots)} - {0}
    every = max(1, min(25, total // 20))
    training.network.train()
    while training.step < total:
        training.advance(source(training.sampler.next()))
        if training.step % every == 0 or training.step == total:
            context.progress(training.step, total, training.flush())
        if training.step in marks:
            snapshot(training.step, total)
            training.network.train()
        checkpoint.pulse()


def _source(images: Images, device: torch.device) -> Any:
    """Indices to a uint8 batch: from one tensor on the device if the set is small, else from the memory map."""
    if images.nbytes <= MEMORY_LIMIT:
        held = torch.from_numpy(np.array(images)).to(device)
        return lambda chosen: held[chosen.to(device)]
    return lambda chosen: torch.from_numpy(np.ascontiguousarray(images[chosen.numpy()]))
