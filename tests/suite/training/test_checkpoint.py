"""A checkpoint is written in time, on request, and a broken one costs no more than itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from suite.detector import Context, Interrupted
from suite.training.checkpoint import NAME, Checkpoint


class Counter:
    """A training that counts its steps."""

    def __init__(self, folder: Path | None, *, every: float = 1e9) -> None:
        self.step, self.asked = 0, False
        context = Context(
            torch.device("cpu"), 0, folder=folder, checkpoint_every=every, stop=lambda: self.asked
        )
        self.checkpoint = Checkpoint(context, lambda: {"step": self.step}, self.restore)

    def restore(self, state: Mapping[str, Any]) -> None:
        self.step = state["step"]

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            self.checkpoint.pulse()


def test_a_new_training_starts_at_the_beginning(tmp_path: Path) -> None:
    assert not Counter(tmp_path).checkpoint.resume()


def test_it_is_written_when_its_time_has_come(tmp_path: Path) -> None:
    Counter(tmp_path, every=1e9).train(3)
    assert not (tmp_path / NAME).exists()
    Counter(tmp_path, every=0.0).train(3)
    again = Counter(tmp_path)
    assert again.checkpoint.resume()
    assert again.step == 3


def test_a_request_to_stop_writes_it_first(tmp_path: Path) -> None:
    counter = Counter(tmp_path)
    counter.train(2)
    counter.asked = True
    with pytest.raises(Interrupted):
        counter.train(5)
    again = Counter(tmp_path)
    assert again.checkpoint.resume()
    assert again.step == 3


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_broken_one_is_dropped(tmp_path: Path, content: bytes | None) -> None:
    Counter(tmp_path, every=0.0).train(1)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: len(whole) // 2] if content is None else content)
    again = Counter(tmp_path)
    assert not again.checkpoint.resume()
    assert (again.step, (tmp_path / NAME).exists()) == (0, False)


def test_without_a_folder_only_the_request_counts() -> None:
    counter = Counter(None, every=0.0)
    counter.train(2)
    counter.asked = True
    with pytest.raises(Interrupted):
        counter.train(1)
