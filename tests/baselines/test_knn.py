"""The two controls as Detectors: they find what differs, keep what they learnt, and score each image by
itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suite.data import phantom
from suite.detector import Context
from suite.registry import method

METHODS = ("pixel_knn", "random_knn")
TRAIN = phantom.generate(200, 0, 32, 0, "coarse").images
TEST = phantom.generate(20, 20, 32, 1, "coarse").images


def build(name: str, k: int = 1) -> Any:
    info = method(name)
    return info.load()(info.training({})(), info.scoring.parse({"k": k}))


def context(seed: int = 0) -> Context:
    return Context(device=torch.device("cpu"), seed=seed)


@pytest.fixture(scope="module", params=METHODS)
def fitted(request: pytest.FixtureRequest) -> tuple[str, Any]:
    detector = build(request.param)
    detector.fit(TRAIN, context())
    return request.param, detector


def test_anomalies_score_higher(fitted: tuple[str, Any]) -> None:
    scores = fitted[1].score(TEST, context())
    assert scores.dtype == np.float64
    assert scores.shape == (40,)
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.85, "the AUROC on coarse lesions"


def test_training_images_are_at_no_distance(fitted: tuple[str, Any]) -> None:
    assert fitted[1].score(TRAIN[:7], context()) == pytest.approx(np.zeros(7), abs=1e-3)


def test_a_score_does_not_depend_on_its_batch(fitted: tuple[str, Any]) -> None:
    """Pixels: exactly. Features come from single-precision convolutions, whose sums may be ordered by the
    batch.
    """
    name, detector = fitted
    whole = detector.score(TEST, context())
    alone = np.concatenate([detector.score(TEST[i : i + 1], context()) for i in range(len(TEST))])
    if name == "pixel_knn":
        assert (whole == alone).all()
    else:
        np.testing.assert_allclose(whole, alone, rtol=1e-4)
    assert detector.score(TEST[:0], context()).shape == (0,)


def test_what_is_loaded_scores_the_same(fitted: tuple[str, Any], tmp_path: Path) -> None:
    name, detector = fitted
    detector.save(tmp_path / "weights")
    torch.load(tmp_path / "weights", weights_only=True)
    loaded = build(name)
    loaded.load(tmp_path / "weights", torch.device("cpu"))
    assert (loaded.score(TEST, context()) == detector.score(TEST, context())).all()
    more = build(name, k=5)
    more.load(tmp_path / "weights", torch.device("cpu"))
    assert (more.score(TEST, context()) >= detector.score(TEST, context())).all(), "a mean over farther ones"


@pytest.mark.parametrize("name", METHODS)
def test_the_global_generator_is_left_alone_and_not_asked(name: str, tmp_path: Path) -> None:
    scores = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        detector = build(name)
        detector.fit(TRAIN, context())
        detector.save(tmp_path / "weights")
        detector.load(tmp_path / "weights", torch.device("cpu"))
        scores.append(detector.score(TEST, context()))
        assert (torch.get_rng_state() == before).all()
    assert (scores[0] == scores[1]).all()


@pytest.mark.parametrize(("name", "moves"), [("pixel_knn", False), ("random_knn", True)])
def test_the_seed_moves_what_is_random(name: str, moves: bool) -> None:
    scores = []
    for seed in (0, 1):
        detector = build(name)
        detector.fit(TRAIN, context(seed))
        scores.append(detector.score(TEST, context(seed)))
    assert (scores[0] != scores[1]).any() == moves


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 48, 40), (3, 64, 64)])
def test_any_size_in_gray_and_colour(name: str, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    images.flags.writeable = False
    detector = build(name)
    detector.fit(images[:4], context())
    scores = detector.score(images, context())
    assert scores[:4] == pytest.approx(np.zeros(4), abs=1e-3)
    assert (scores[4:] > 0.01).all()


def test_large_images_are_averaged_to_32_px() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 64, 64), dtype=np.uint8)
    small = np.rint(images.reshape(5, 1, 32, 2, 32, 2).mean(axis=(3, 5))).astype(np.uint8)
    detector = build("pixel_knn")
    detector.fit(images[:3], context())
    expected = np.sqrt(((small[3:, None].astype(float) - small[None, :3]) ** 2).mean(axis=(2, 3, 4))).min(
        axis=1
    )
    assert detector.score(images[3:], context()) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_more_neighbours_than_images_is_an_error(name: str) -> None:
    detector = build(name, k=4)
    detector.fit(TRAIN[:3], context())
    with pytest.raises(ValueError, match=r"lower score\.k"):
        detector.score(TEST, context())


@pytest.mark.parametrize(
    ("name", "golden"), [("pixel_knn", [103.74262, 102.49497]), ("random_knn", [1.51532, 1.48711])]
)
def test_the_meaning_of_a_version(name: str, golden: list[float]) -> None:
    """When these move on purpose, the method's ``version`` must move too: keys stand on it."""
    random = np.random.default_rng(0)
    train, test = (random.integers(0, 256, (n, 1, 32, 32), dtype=np.uint8) for n in (8, 2))
    detector = build(name)
    detector.fit(train, context())
    assert method(name).version == 1
    assert detector.score(test, context()) == pytest.approx(golden, rel=1e-3)
