"""What holds for every baseline: a score is an image's own, finite and repeatable; files say all; sizes are taken.

Each is built by a spec under the smoke profile, as a run builds it. What makes a method itself is tested in the file
of its own name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from methods import CPU, baselines, build, context, fitted, lesions

from suite.detector import Interrupted

METHODS = baselines()
TRAIN = lesions(16, 0)
TEST = lesions(5, 1)
TOLERANCE = 1e-3
"""Of the spread of scores: single precision sums in an order that hangs on the batch."""


@pytest.fixture(scope="module", params=METHODS)
def known(request: pytest.FixtureRequest) -> tuple[str, Any, np.ndarray]:
    """A method's name, a fitted detector, and its scores of TEST."""
    detector = fitted(request.param, TRAIN)
    return request.param, detector, detector.score(TEST, context(train=TRAIN))


def test_scores_are_finite_numbers_that_differ(known: tuple[str, Any, np.ndarray]) -> None:
    _, _, scores = known
    assert scores.dtype == np.float64
    assert scores.shape == (10,)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 5


@given(cuts=st.sets(st.integers(1, 9), max_size=4))
@settings(max_examples=6)
def test_a_score_does_not_depend_on_its_batch(known: tuple[str, Any, np.ndarray], cuts: set[int]) -> None:
    name, detector, whole = known
    parts = np.split(TEST, sorted(cuts))
    pieces = np.concatenate([detector.score(part, context(train=TRAIN)) for part in parts])
    off = np.abs(pieces - whole).max() / max(np.ptp(whole), 1e-12)
    assert off < TOLERANCE, f"{name}: scores in {len(parts)} batches are off by {off:.2g} of their spread"


def test_each_image_alone_scores_as_in_the_batch(known: tuple[str, Any, np.ndarray]) -> None:
    name, detector, whole = known
    alone = np.concatenate([detector.score(TEST[i : i + 1], context(train=TRAIN)) for i in range(len(TEST))])
    off = np.abs(alone - whole).max() / max(np.ptp(whole), 1e-12)
    assert off < TOLERANCE, f"{name}: single scores are off by {off:.2g} of their spread"
    assert detector.score(TEST[:0], context(train=TRAIN)).shape == (0,)


def test_what_is_loaded_scores_the_same(known: tuple[str, Any, np.ndarray], tmp_path: Path) -> None:
    """Nothing is kept in half precision or forgotten, and the file is read without pickle."""
    name, detector, scores = known
    detector.save(tmp_path / "weights.pt")
    torch.load(tmp_path / "weights.pt", weights_only=True)
    loaded = build(name)
    loaded.load(tmp_path / "weights.pt", CPU)
    again = loaded.score(TEST, context(train=TRAIN))
    off = np.abs(again - scores).max() / max(np.ptp(scores), 1e-12)
    assert off < TOLERANCE, f"{name}: a loaded detector's scores are off by {off:.2g} of their spread"


@pytest.mark.parametrize("name", METHODS)
def test_one_seed_repeats_to_the_bit_whatever_the_global_generator(name: str) -> None:
    found = []
    for state in (1, 2):
        torch.manual_seed(state)
        np.random.seed(state)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        found.append(fitted(name, TRAIN).score(TEST, context(train=TRAIN)))
        assert torch.equal(torch.get_rng_state(), before[0]), f"{name} drew from torch's global generator"
        assert (np.random.get_state()[1] == before[1]).all(), f"{name} drew from numpy's global generator"
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"pixel_knn", "pretrained_knn"}))
def test_two_seeds_differ(name: str) -> None:
    """(The two that are left out draw nothing.)"""
    scores = [fitted(name, TRAIN, seed=seed).score(TEST, context(seed, train=TRAIN)) for seed in (0, 1)]
    assert (scores[0] != scores[1]).any()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 48, 48), (3, 64, 64)])
def test_sizes_in_gray_and_colour(name: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, *shape), dtype=np.uint8)
    images.flags.writeable = False
    scores = fitted(name, images[:6]).score(images, context(train=images[:6]))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_stopped_fit_goes_on_to_the_bit(name: str, tmp_path: Path) -> None:
    """Stopped wherever it asks: it says so at once, and ends as if nothing had been."""
    whole = fitted(name, TRAIN).score(TEST, context(train=TRAIN))
    asked = iter(range(1_000_000))
    detector = build(name)
    try:
        detector.fit(TRAIN, context(folder=tmp_path, stop=lambda: next(asked) >= 2))
    except Interrupted:
        detector = build(name)
        detector.fit(TRAIN, context(folder=tmp_path))
    assert (detector.score(TEST, context(train=TRAIN)) == whole).all()
