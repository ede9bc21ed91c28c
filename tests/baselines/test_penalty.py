"""EfficientAD's penalty images: the middle of an image at twice the size, some without colour; other files refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines.backbones import WeightsError
from baselines.info.efficientad import SIZES, Distilled
from baselines.inputs import Inputs
from baselines.penalty import GRAY, Penalty

PLAIN = Inputs(SIZES, 64)


def penalty(path: Path, digest: str = "") -> Penalty:
    found = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    return Penalty(Distilled(penalty=f"file:{path}", penalty_sha256=found[:16]), PLAIN, (64, 72))


def test_the_middle_of_an_image_at_twice_the_size(tmp_path: Path) -> None:
    images = np.zeros((3, 3, 32, 32), np.uint8)
    images[:, :, 8:24, 8:24] = np.array([40, 100, 200], np.uint8)[:, None, None, None]
    np.save(tmp_path / "x.npy", images)
    made = penalty(tmp_path / "x.npy")(20, torch.Generator().manual_seed(0))
    assert made.shape == (20, 3, 64, 72)
    inside = (made * 0.5 + 0.5)[:, :, 4:-4, 4:-4] * 255
    levels = inside.mean((1, 2, 3))
    assert set(levels.round().int().tolist()) == {40, 100, 200}, "each is drawn"
    torch.testing.assert_close(inside, levels.view(-1, 1, 1, 1).expand_as(inside), rtol=1e-3, atol=0.1)


def test_three_in_ten_lose_their_colour(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8))
    drawn = [penalty(tmp_path / "x.npy")(400, torch.Generator().manual_seed(seed)) for seed in (0, 0)]
    assert torch.equal(*drawn)
    gray = (drawn[0] - drawn[0][:, :1]).abs().amax((1, 2, 3)) < 1e-5
    assert abs(float(gray.float().mean()) - GRAY) < 0.07


def test_gray_images_are_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((1, 1, 8, 8), 51, np.uint8))
    made = penalty(tmp_path / "x.npy")(2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made, torch.full((2, 3, 64, 72), (0.2 - 0.5) / 0.5), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (np.zeros((2, 3, 8, 8), np.float32), "float32 of shape (2, 3, 8, 8), not uint8 images"),
        (np.zeros((2, 8, 8, 3), np.uint8), "(2, 8, 8, 3), not uint8 images"),
        (np.zeros((3, 8, 8), np.uint8), "(3, 8, 8), not uint8 images"),
        (np.zeros((0, 3, 8, 8), np.uint8), "(0, 3, 8, 8), not uint8 images"),
        (np.array([{}], object), "no .npy file of numbers"),
        (b"nothing of the kind", "no .npy file of numbers"),
        (b"", "no .npy file of numbers"),
    ],
)
def test_what_is_no_images_is_refused(content, told: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(WeightsError) as error:
        penalty(path)
    assert told in str(error.value)
    assert str(path) in str(error.value)


def test_another_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 1, 8, 8), np.uint8))
    with pytest.raises(WeightsError, match="is not the file asked for: its SHA-256 is"):
        penalty(tmp_path / "x.npy", "0" * 64)
    with pytest.raises(WeightsError, match="penalty missing: no file"):
        penalty(tmp_path / "absent.npy", "0" * 64)
