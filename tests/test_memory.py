"""What goes through a whole set reads it without keeping it: memory does not grow with the size of the set."""

from __future__ import annotations

import os
import subprocess
import sys
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
from suite.executors import slots
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


PREPARE = """
import sys
from pathlib import Path
import numpy as np
from suite import cost
from suite.data import hashing
from suite.data.imagefile import ImageFile
from suite.dia import diffusion

count, path = int(sys.argv[1]), Path(sys.argv[2])
stored = (count, 3, 224, 224)
hashing.pixel_hashes(ImageFile(path, stored))
diffusion.at_resolution(np.memmap(path, np.uint8, "r", shape=stored), np.arange(count), 32)
print(cost.peak_memory_mb())
"""


def test_a_workers_heap_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """Packing hashes the images and the diffusion model takes them smaller. A worker keeps what it frees, so that
    blocks which do not fit where the last ones lay would pile up.
    """
    environment = {**os.environ, **slots.ALLOCATOR, "OMP_NUM_THREADS": "1"}
    peaks = []
    for count in (500, 3000):
        path = tmp_path / str(count)
        with path.open("wb") as file:
            file.truncate(count * 3 * SIDE**2)
        done = subprocess.run(
            [sys.executable, "-c", PREPARE, str(count), str(path)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        peaks.append(float(done.stdout))
    assert peaks[1] - peaks[0] < 250, f"MiB for 500 and 3,000 images: {peaks}"
