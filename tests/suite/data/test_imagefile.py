"""A file of images behaves as the array of them does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from suite.data import hashing
from suite.data.imagefile import ImageFile

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 3, 4, 5), dtype=np.uint8)


def filled(path: Path) -> ImageFile:
    made = ImageFile(path, (9, 3, 4, 5))
    for row in np.random.default_rng(1).permutation(9):
        made.write(int(row), IMAGES[row])
    made.sync()
    return made


def test_it_is_indexed_iterated_and_hashed_as_an_array(tmp_path: Path) -> None:
    made = filled(tmp_path / "images")
    order = np.array([8, 0, 3, 3])
    assert made.shape == IMAGES.shape
    assert (made[order] == IMAGES[order]).all()
    assert (made[2:5] == IMAGES[2:5]).all()
    assert (np.stack(list(made)) == IMAGES).all()
    assert (hashing.pixel_hashes(made) == hashing.pixel_hashes(IMAGES)).all()  # type: ignore[arg-type]
    assert (made.mapped() == IMAGES).all()


def test_a_view_has_some_rows_and_the_first_channels(tmp_path: Path) -> None:
    view = filled(tmp_path / "images").view(np.array([7, 2, 5]), 1)
    assert view.shape == (3, 1, 4, 5)
    assert (view[np.array([1, 2])] == IMAGES[[2, 5], :1]).all()
    assert (view.view(np.array([2]))[:] == IMAGES[[5], :1]).all()
    with pytest.raises(ValueError, match="whole"):
        view.mapped()


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    filled(tmp_path / "images")
    assert (ImageFile(tmp_path / "images", (9, 3, 4, 5))[:] == IMAGES).all()
