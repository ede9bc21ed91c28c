"""Every kind of image file that occurs becomes the pixels that a viewer shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suite.data.decode import decode, resize_all
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
