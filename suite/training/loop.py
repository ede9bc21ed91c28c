"""The loop of a training: batches in the sampler's order, progress, snapshots, and checkpoints from which it goes
on to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from suite.data.mapped import Reader
from suite.detector import Context, Images
from suite.tensors import fits, onto
from suite.training.checkpoint import Checkpoint
from suite.training.sampling import Sampler

_EVERY = 25
"""Steps between two looks at the losses, which make a device wait."""


class Trainee(Protocol):
    """What is trained. ``step`` counts optimiser steps up to ``total``; all that changes is in :meth:`state`."""

    step: int
    total: int
    sampler: Sampler

    def prepare(self) -> None:
        """Put the modules into training mode: at the start, and after each snapshot."""

    def advance(self, images: Tensor) -> None:
        """One step on a uint8 batch B x C x H x W; raises ``step`` by one."""

    def flush(self) -> dict[str, float]:
        """Mean losses since the last call; FloatingPointError if they are not finite."""

    def state(self) -> Mapping[str, Any]:
        """Everything that changes, as tensors and plain containers."""

    def restore(self, state: Any) -> None:
        """The inverse of :meth:`state`."""


def run(trainee: Trainee, images: Images, context: Context, snapshot: Callable[[int, int], None]) -> None:
    """Train to the end, from the checkpoint if there is one. ``snapshot(step, total)`` is called at each
    part's end.
    """
    source = batches(images, context.device)
    checkpoint = Checkpoint(context, trainee.state, trainee.restore)
    checkpoint.resume()
    total = trainee.total
    marks = {total * part // context.snapshots for part in range(1, context.snapshots)} - {0}
    every = max(1, min(_EVERY, total // 20))
    trainee.prepare()
    while trainee.step < total:
        trainee.advance(source(trainee.sampler.next()))
        if trainee.step % every == 0 or trainee.step == total:
            context.progress(trainee.step, total, trainee.flush())
        if trainee.step in marks:
            snapshot(trainee.step, total)
            trainee.prepare()
        checkpoint.pulse()


def batches(images: Images, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Indices (B,) to a uint8 batch: from one tensor on a CUDA device if the set has room there, else read where
    they lie, without keeping what was read.
    """
    if fits(images.nbytes, device):
        held = torch.from_numpy(np.array(images)).to(device)
        return lambda chosen: held[onto(chosen, device)]
    reader = Reader(images)
    return lambda chosen: torch.from_numpy(reader[chosen.cpu().numpy()])
