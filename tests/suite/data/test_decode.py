"""Every kind of image file that occurs becomes the pixels that a viewer shows; many are decoded resumably."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from images import as_folder, png
from PIL import Image

from suite.data import archive
from suite.data import decode as decoding
from suite.data.archive import Files
from suite.data.decode import decode, decode_all, resize_all, threads
from suite.data.errors import DataFault

GRAY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([GRAY, GRAY.T, 255 - GRAY], 2)


def through(
    tmp_path: Path, image: Image.Image, name: str = "x.png", size: int = 16, **options: object
) -> np.ndarray:
    image.save(tmp_path / name, **options)
    return decode(tmp_path / name, size)


def test_gray_colour_and_palette(tmp_path: Path) -> None:
    for image in (
        Image.fromarray(GRAY),
        Image.fromarray(GRAY).convert("RGB"),
        Image.fromarray(GRAY).convert("P"),
    ):
        assert (through(tmp_path, image) == GRAY[..., None]).all()
    assert (through(tmp_path, Image.fromarray(COLOUR)) == COLOUR).all()
    assert (through(tmp_path, Image.fromarray(GRAY > 127)) == np.where(GRAY > 127, 255, 0)[..., None]).all()


def test_sixteen_bits_are_scaled_by_their_whole_range(tmp_path: Path) -> None:
    assert (through(tmp_path, Image.fromarray(GRAY.astype(np.uint16) * 257)) == GRAY[..., None]).all()
    assert (through(tmp_path, Image.fromarray(GRAY.astype(np.int32) * 257), "x.tif") == GRAY[..., None]).all()


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    alpha = np.where(GRAY % 2, 255, 0).astype(np.uint8)
    shown = through(tmp_path, Image.fromarray(np.dstack([COLOUR, alpha])))
    assert (shown == np.where(alpha[..., None] == 255, COLOUR, 0)).all()
    faint = through(tmp_path, Image.fromarray(np.dstack([COLOUR, np.full_like(GRAY, 128)])))
    assert np.abs(faint - COLOUR * (128 / 255)).max() <= 1


def test_the_orientation_in_the_file_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = through(tmp_path, Image.fromarray(GRAY), exif=exif)
    assert (shown[..., 0] == np.rot90(GRAY, -1)).all()


def test_reduction_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (1, 64, 32))
    small = resize_all(stripes, 16)
    assert small.shape == (1, 16, 16)
    assert np.abs(small[:, :, 1:-1].astype(int) - 127).max() <= 2, "the mean, not every fourth column"


def test_values_of_no_known_range_are_refused(tmp_path: Path) -> None:
    for values in (np.linspace(0, 1, 256, dtype=np.float32), np.arange(256, dtype=np.int32) - 5):
        with pytest.raises(DataFault, match="convert it to 8 or 16 bits"):
            through(tmp_path, Image.fromarray(values.reshape(16, 16)), "x.tif")


def test_a_gray_set_is_gray_whatever_the_file_says(tmp_path: Path) -> None:
    Image.fromarray(GRAY).convert("RGB").save(tmp_path / "x.png")
    assert (decode(tmp_path / "x.png", 16, 1) == GRAY[..., None]).all()
    Image.fromarray(COLOUR).save(tmp_path / "y.png")
    assert (
        decode(tmp_path / "y.png", 16, 1)[..., 0] == np.asarray(Image.fromarray(COLOUR).convert("L"))
    ).all()
    assert (decode((tmp_path / "y.png").read_bytes(), 16) == COLOUR).all(), "from memory as from a file"


def test_threads_are_as_many_as_one_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for told, expected in (("1", 1), ("4", 4), ("64", 6), ("", 6), ("0", 6), ("many", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert threads() == expected


class Counting:
    """A source that counts what is read of it and can stop a job in the middle, as a kill does."""

    def __init__(self, source: Files, most: int | None = None) -> None:
        self.path, self.entries, self._source, self._most = source.path, source.entries, source, most
        self.asked: list[str] = []

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
        for name, read in self._source.read(names):
            if self._most is not None and len(self.asked) == self._most:
                raise KeyboardInterrupt
            self.asked.append(name)
            yield name, read


def some(root: Path, count: int = 9) -> tuple[Files, dict[str, str]]:
    names = {f"{number}.png": png(number) for number in range(count)}
    return archive.folder(as_folder(root, names)), {f"id {name}": name for name in reversed(names)}


def test_a_job_that_was_killed_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "_BATCH_IMAGES", 2)
    source, members = some(tmp_path / "images")
    whole = decode_all(source, members, 16, tmp_path / "whole", "set")
    killed = Counting(source, most=5)
    with pytest.raises(KeyboardInterrupt):
        decode_all(killed, members, 16, tmp_path / "scratch", "set")
    again = Counting(source)
    resumed = decode_all(again, members, 16, tmp_path / "scratch", "set")
    assert len(again.asked) == 5, "two batches of two were done"
    assert (resumed.images[:] == whole.images[:]).all()
    # Other files, another size: from the beginning.
    for size, change in ((17, False), (17, True)):
        if change:
            (source.path / "3.png").write_bytes(png(77, 21))
        fresh = Counting(archive.folder(source.path))
        decode_all(fresh, members, size, tmp_path / "scratch", "set")
        assert len(fresh.asked) == 9


def test_faulty_images_are_refused_or_left_out_and_told_again(tmp_path: Path) -> None:
    source, members = some(tmp_path / "images")
    (source.path / "3.png").write_bytes(png(3)[:60])
    (source.path / "7.png").unlink()
    scratch = tmp_path / "scratch"
    for _ in range(2):
        with pytest.raises(DataFault) as fault:
            decode_all(source, members, 16, scratch, "set", advice="do so")
        assert str(fault.value).startswith("set: 2 of 9 images are faulty: id 7.png: cannot be read")
        assert "id 3.png: cannot be read" in str(fault.value)
        assert str(fault.value).endswith("(do so)")
    found = decode_all(source, members, 16, scratch, "set", skip_faulty=True)
    assert [list(members)[row] for row in found.rows] == [f"id {n}.png" for n in (8, 6, 5, 4, 2, 1, 0)]
    assert found.images.shape == (7, 1, 16, 16)
    assert (found.images[np.array([1])][0, 0] == decode(source.path / "6.png", 16)[..., 0]).all()
    assert [line.partition(":")[0] for line in found.faults] == ["id 7.png", "id 3.png"]


def test_a_set_of_nothing_but_faults_is_refused_in_any_case(tmp_path: Path) -> None:
    source = archive.folder(as_folder(tmp_path / "images", {"a.png": b"no image"}))
    with pytest.raises(DataFault, match="1 of 1 images are faulty"):
        decode_all(source, {"a": "a.png"}, 16, tmp_path, "set", skip_faulty=True)


def test_one_coloured_image_makes_all_coloured(tmp_path: Path) -> None:
    source, members = some(tmp_path / "images")
    assert decode_all(source, members, 16, tmp_path / "one", "set").images.shape[1] == 1
    (source.path / "2.png").write_bytes(png(2, colour=True))
    source = archive.folder(source.path)
    assert decode_all(source, members, 16, tmp_path / "two", "set").images.shape[1] == 3
    assert decode_all(source, members, 16, tmp_path / "three", "set", channels=1).images.shape[1] == 1
