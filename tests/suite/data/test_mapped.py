"""What is read behind a memory map is right and is not kept."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from suite.data.imagefile import ImageFile
from suite.data.mapped import Reader, let_go

COUNT, SIDE = 64, 512


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    """16 MiB, each image of its own value."""
    values = np.broadcast_to(np.arange(COUNT, dtype=np.uint8)[:, None, None, None], (COUNT, 1, SIDE, SIDE))
    np.save(tmp_path / "images.npy", values)
    return np.load(tmp_path / "images.npy", mmap_mode="r", allow_pickle=False)


def held() -> int:
    """Bytes of files that this process has mapped and touched."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssFile")).split()[1])


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")


@pytest.mark.parametrize("part", [slice(3, 5), np.array([3, 4]), [3, 4]], ids=str)
def test_parts_are_copies(mapped: np.memmap, part: object) -> None:
    taken = Reader(mapped)[part]
    assert type(taken) is np.ndarray
    assert taken.flags.c_contiguous
    assert taken.flags.writeable
    assert not np.shares_memory(taken, mapped)
    assert taken[:, 0, 0, 0].tolist() == [3, 4]
    assert taken.shape == (2, 1, SIDE, SIDE)


@pytest.mark.parametrize("part", [slice(0, 32), np.arange(32)], ids=["slice", "indices"])
def test_parts_are_copied_once(mapped: np.memmap, part: object) -> None:
    tracemalloc.start()
    taken = Reader(mapped)[part]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken.nbytes <= peak < 1.5 * taken.nbytes


def test_of_a_file_of_images_is_read_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To see whether two arrays share memory numpy would read the whole file, for each block of it."""
    stored = ImageFile(tmp_path / "images", (COUNT, 1, 8, 8))
    for row in range(COUNT):
        stored.write(row, np.full((1, 8, 8), row, np.uint8))
    reads: list[int] = []
    real = os.pread
    monkeypatch.setattr(
        os, "pread", lambda handle, size, start: (reads.append(start), real(handle, size, start))[1]
    )
    blocks = list(Reader(stored).blocks(10))  # type: ignore[arg-type]
    assert np.concatenate(blocks)[:, 0, -1, -1].tolist() == list(range(COUNT))
    assert reads == [row * 64 for row in range(COUNT)], "each once"


@pytest.mark.parametrize("length", [1, 5, 64, 100])
def test_blocks_are_everything_in_order(mapped: np.memmap, length: int) -> None:
    blocks = list(Reader(mapped, held=0).blocks(length))
    assert max(map(len, blocks)) == min(length, COUNT)
    assert np.concatenate(blocks)[:, 0, -1, -1].tolist() == list(range(COUNT))


@linux
@pytest.mark.parametrize("inner", [False, True], ids=["the map", "a part of it"])
def test_reading_everything_keeps_little(mapped: np.memmap, inner: bool) -> None:
    images = mapped[1:] if inner else mapped
    before = held()
    assert int(np.asarray(images).sum()) > 0
    assert held() - before > 12 * 2**20, "or the test shows nothing"
    let_go(images)
    assert held() - before < 2**20
    reader = Reader(images, held=2**21)
    for start in range(len(images)):
        reader[start : start + 1]
        assert held() - before <= 4 * 2**20


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_what_was_written_stays(tmp_path: Path, mode: str) -> None:
    """Also in a map whose changes reach no file."""
    np.save(tmp_path / "images.npy", np.zeros((4, 4096), np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode=mode, allow_pickle=False)
    mapped[2] = 7
    let_go(mapped)
    assert mapped.sum() == 7 * 4096


def test_an_array_in_memory_is_none_of_its_affairs() -> None:
    array = np.ones(10)
    let_go(array)
    let_go(array[2:])
    assert array.sum() == 10
