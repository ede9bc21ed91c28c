"""What goes through a whole set reads it without keeping it: memory does not grow with the size of the set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from suite import stages
from suite.data import hashing
from suite.detector import Context
from suite.dia import diffusion, scoring, views
from suite.dia.info import Scoring
from suite.training import loop

CPU = torch.device("cpu")
COUNT, SIDE = 4000, 224
WHOLE = COUNT * SIDE**2
STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="the system does not tell what is mapped")


class Flat(torch.nn.Module):
    plain = frozenset[str]()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = x.mean(dim=(2, 3))
        return mean.expand(-1, 2), mean.expand(-1, 4)

    def folded(self) -> Flat:
        return self


def mapped_bytes() -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("RssFile"))
    return 1024 * int(line.split()[1])


def train(images: Any, tmp_path: Path) -> None:
    source = loop.batches(images, CPU)
    for chosen in torch.randperm(COUNT).split(32):
        source(chosen)


def score(images: Any, tmp_path: Path) -> None:
    scoring.features(Flat(), images, Scoring(views=1), "rotate", Context(CPU, 0))  # type: ignore[arg-type]


def hashes(images: Any, tmp_path: Path) -> None:
    hashing.pixel_hashes(images)


def shrink(images: Any, tmp_path: Path) -> None:
    diffusion.at_resolution(images, np.arange(COUNT), 32)


def select(images: Any, tmp_path: Path) -> None:
    pack: Any = SimpleNamespace(images=images)
    kept = stages.images_of(pack, np.delete(np.arange(COUNT), 1), tmp_path)
    assert kept[-1, 0, 0, 0] == images[-1, 0, 0, 0]


@pytest.mark.parametrize("use", [train, score, hashes, shrink, select], ids=lambda use: use.__name__)
def test_a_set_is_read_and_not_kept(
    use: Callable[[Any, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "apply", lambda originals, drawn, pose: originals.x)
    monkeypatch.setattr(stages, "IN_MEMORY", 0)
    np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, (COUNT, 1, SIDE, SIDE))
    images = np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)
    before = mapped_bytes()
    use(images, tmp_path)
    assert mapped_bytes() - before < WHOLE / 4
