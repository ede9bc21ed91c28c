"""Perceptual hashes: near images are near, whatever the order, the size and the number of images at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from suite.data import hashing, phantom, phash

GOLDEN = ["01cc07193c739552", "5a5389bb75ac77ac", "39e26a1c86587663", "86bd9a6b56a459da"]


def pictures(count: int, size: int = 64, seed: int = 0) -> np.ndarray:
    return phantom.generate(count, 0, size, seed).images


def distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.bitwise_count(one ^ other).sum(axis=-1)


def test_a_picture_is_near_itself_resized_brightened_and_noisy_and_far_from_others() -> None:
    images = pictures(40)
    small = np.stack([np.asarray(Image.fromarray(i[0]).resize((28, 28), 2)) for i in images])[:, None]
    bright = np.clip(images * 0.8 + 30, 0, 255).astype(np.uint8)
    noise = np.random.default_rng(0).integers(-4, 5, images.shape)
    noisy = np.clip(images + noise, 0, 255).astype(np.uint8)
    own = phash.hashes(images)
    for changed in (small, bright, noisy):
        assert np.median(distance(own, phash.hashes(changed))) < phash.NEAR
    other = distance(own[:, None], own[None])[np.triu_indices(len(own), 1)]
    assert other.min() > phash.NEAR


def test_the_hash_of_an_image_does_not_hang_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([pictures(9), np.zeros((1, 1, 64, 64), np.uint8)])
    together = phash.hashes(images)
    monkeypatch.setattr(phash, "_PIXELS", 64 * 64)
    assert (phash.hashes(images) == together).all()
    assert together[-1].sum() == 0, "a flat image has no picture"


def test_the_hash_is_what_it_was() -> None:
    """The values stand in splits: they may not move with a library or a processor."""
    ramp = (np.add.outer(np.arange(40) ** 2, 3 * np.arange(40)) % 251).astype(np.uint8)
    colour = np.stack([ramp, ramp.T, 255 - ramp])[None]
    assert [f"{word:016x}" for word in phash.hashes(colour)[0]] == GOLDEN


def test_gray_is_the_colour_of_equal_channels() -> None:
    images = pictures(5)
    assert (phash.hashes(images) == phash.hashes(images.repeat(3, axis=1))).all()


WORDS = st.lists(st.integers(0, 2**10 - 1), min_size=1, max_size=40).map(
    lambda low: np.stack([np.array(low, np.uint64)] * phash.WORDS, axis=1)
)


@given(WORDS, st.integers(0, 20), st.integers(1, 60), st.randoms(use_true_random=False))
def test_groups_are_the_closure_of_near_pairs_in_any_order(
    found: np.ndarray, within: int, pairs: int, random: object
) -> None:
    exact = np.unique(found, axis=0, return_inverse=True)[1].reshape(-1)
    near = distance(found[:, None], found[None]) <= within
    reach = near.copy()
    for _ in range(len(found)):
        reach = (reach.astype(int) @ near.astype(int)) > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phash, "_PAIRS", pairs)
        groups = phash.groups(found, exact, within)
        assert ((groups[:, None] == groups[None]) == reach).all()
        order = np.array(sorted(range(len(found)), key=lambda _: random.random()))  # type: ignore[attr-defined]
        assert (phash.groups(found[order], exact[order], within) == groups[order]).all()


def test_no_images_have_no_groups() -> None:
    none = np.zeros((0, 1, 8, 8), np.uint8)
    assert phash.groups(phash.hashes(none), np.zeros(0, np.int64)).shape == (0,)


@pytest.mark.slow
def test_slices_of_one_patient_are_found_and_do_not_flow_together(shared_data: Path) -> None:
    """Neighbouring numbers of SARS-COV-2 CT are slices of one patient more often than not."""
    files = [shared_data / "sars_cov_2" / "COVID" / f"Covid ({n}).jpg" for n in range(1, 601)]
    if not files[0].is_file():
        pytest.skip(f"SARS-COV-2 CT is not at hand: no {files[0]}")
    images = np.stack([np.asarray(Image.open(f).convert("L")) for f in files if f.is_file()])[:, None]
    groups = phash.groups(phash.hashes(images), hashing.groups(hashing.pixel_hashes(images)))
    sizes = np.unique(groups, return_counts=True)[1]
    neighbours = (groups[1:] == groups[:-1]).mean()
    strangers = (groups[60:] == groups[:-60]).mean()
    assert neighbours > 0.1
    assert strangers < 0.01
    assert sizes.max() < 30
