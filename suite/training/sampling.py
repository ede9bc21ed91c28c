"""Which training images stand in which batch: an epoch is a number of random samples (supplement A.1)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor


def steps_in(epochs: int, epoch_size: int, batch: int, last: Literal["carry", "partial", "drop"]) -> int:
    """Optimiser steps of the whole training."""
    if last == "carry":
        return epochs * epoch_size // batch
    per_epoch = -(-epoch_size // batch) if last == "partial" else epoch_size // batch
    return epochs * per_epoch


class Sampler:
    """Batches of indices into ``count`` images, resumable.

    Each epoch draws ``epoch_size`` samples without replacement (a set smaller than that is gone through
    again). What does not fill a batch is carried into the next epoch, makes a smaller batch, or is dropped.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        epoch_size: int,
        last: Literal["carry", "partial", "drop"],
        generator: torch.Generator,
    ) -> None:
        if count < 1:
            raise ValueError("there is no training image")
        if last == "drop" and epoch_size < batch:
            raise ValueError(
                f"train.epoch_size ({epoch_size}) is smaller than train.batch ({batch}): nothing is left"
            )
        self.count, self.batch, self.epoch_size, self.last = count, batch, epoch_size, last
        self.generator = generator
        self.queue = self.latest = torch.empty(0, dtype=torch.long)

    def _epoch(self) -> Tensor:
        rounds = -(-self.epoch_size // self.count)
        drawn = torch.cat([torch.randperm(self.count, generator=self.generator) for _ in range(rounds)])
        return drawn[: self.epoch_size]

    def next(self) -> Tensor:
        """The next batch, (B,); it stands in ``latest`` until the one after."""
        self.latest = self._next()
        return self.latest

    def _next(self) -> Tensor:
        while len(self.queue) < self.batch:
            if self.last == "partial" and len(self.queue):
                rest, self.queue = self.queue, self.queue[:0]
                return rest
            if self.last == "drop":
                self.queue = self.queue[:0]
            self.queue = torch.cat([self.queue, self._epoch()])
        batch, self.queue = self.queue[: self.batch], self.queue[self.batch :]
        return batch

    def state(self) -> dict[str, Any]:
        return {"queue": self.queue, "generator": self.generator.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.queue = state["queue"].cpu()
        self.generator.set_state(state["generator"].cpu())
