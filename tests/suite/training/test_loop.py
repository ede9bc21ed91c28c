"""The loop that every training shares: batches as the sampler says, each part's snapshot, and going on to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from suite.detector import Context, Interrupted
from suite.training import loop
from suite.training.sampling import Sampler

CPU = torch.device("cpu")


class Mean:
    """Learns a running sum of what it sees; says which images came in which order."""

    def __init__(self, total: int, count: int = 6) -> None:
        self.total, self.step, self.sum, self.prepared = total, 0, 0.0, 0
        self.seen: list[list[int]] = []
        self.sampler = Sampler(count, 2, count, "carry", torch.Generator().manual_seed(0))

    def prepare(self) -> None:
        self.prepared += 1

    def advance(self, images: Tensor) -> None:
        self.seen.append(images[:, 0, 0, 0].tolist())
        self.sum = self.sum / 2 + float(images[:, 0, 0, 0].float().mean())
        self.step += 1

    def flush(self) -> dict[str, float]:
        return {"loss": self.sum}

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "sum": self.sum, "sampler": self.sampler.state()}

    def restore(self, state: Any) -> None:
        self.step, self.sum = state["step"], state["sum"]
        self.sampler.restore(state["sampler"])


def images(count: int = 6) -> np.ndarray:
    return np.arange(count, dtype=np.uint8).reshape(count, 1, 1, 1)


def ignore(step: int, total: int) -> None:
    return None


def test_each_image_comes_once_an_epoch():
    mean = Mean(6)
    loop.run(mean, images(), Context(CPU, 0), ignore)
    first, second = (sorted(one for batch in mean.seen[at : at + 3] for one in batch) for at in (0, 3))
    assert first == second == [0, 1, 2, 3, 4, 5]
    assert mean.seen[:3] != mean.seen[3:]


@pytest.mark.parametrize("total", [9, 125, 1250])
def test_each_part_of_the_training_has_a_snapshot_of_its_own(total):
    """As many candidates as asked for, whatever the steps: the number a snapshot gets is its part's."""
    mean, numbers = Mean(total), []
    loop.run(
        mean,
        images(),
        Context(CPU, 0, snapshots=8),
        lambda step, total: numbers.append(-(-step * 8 // total)),
    )
    assert numbers == [1, 2, 3, 4, 5, 6, 7]
    assert mean.prepared == 8, "a snapshot may leave the modules as it likes"


def test_progress_ends_at_the_total_with_the_losses():
    told = []
    loop.run(Mean(61), images(), Context(CPU, 0, progress=lambda *what: told.append(what)), ignore)
    assert [done for done, _, _ in told][-1] == 61
    assert all(total == 61 and "loss" in metrics for _, total, metrics in told)


@pytest.mark.parametrize("stop_after", [1, 4, 9])
def test_it_goes_on_to_the_bit(tmp_path: Path, stop_after: int):
    whole = Mean(10)
    loop.run(whole, images(), Context(CPU, 0), ignore)
    calls = iter(range(100))
    context = Context(CPU, 0, folder=tmp_path, stop=lambda: next(calls) >= stop_after - 1)
    with pytest.raises(Interrupted):
        loop.run(Mean(10), images(), context, ignore)
    rest = Mean(10)
    loop.run(rest, images(), Context(CPU, 0, folder=tmp_path), ignore)
    assert rest.sum == whole.sum
    assert rest.seen == whole.seen[stop_after:]
