"""The three controls: they find what differs, know their training images, and average their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from methods import build, context, fitted

from suite.data import phantom

METHODS = ("pixel_knn", "random_knn", "pretrained_knn")
TRAIN = phantom.generate(200, 0, 32, 0, "coarse").images
TEST = phantom.generate(20, 20, 32, 1, "coarse").images


@pytest.fixture(scope="module", params=METHODS)
def known(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, fitted(request.param, TRAIN)


def test_anomalies_score_higher(known: tuple[str, Any]) -> None:
    name, detector = known
    scores = detector.score(TEST, context())
    least = {"pixel_knn": 0.85, "random_knn": 0.7, "pretrained_knn": 0.85}[name]
    assert (scores[:20, None] < scores[None, 20:]).mean() > least, "the AUROC on coarse lesions"


def test_training_images_are_at_no_distance(known: tuple[str, Any]) -> None:
    assert known[1].score(TRAIN[:7], context()) == pytest.approx(np.zeros(7), abs=1e-3)


def test_the_mean_over_more_neighbours_is_larger(known: tuple[str, Any], tmp_path) -> None:
    name, detector = known
    detector.save(tmp_path / "weights")
    more = build(name, '"score.k" = 5')
    more.load(tmp_path / "weights", context().device)
    assert (more.score(TEST, context()) > detector.score(TEST, context())).all()


def test_large_images_are_averaged_to_32_px() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 64, 64), dtype=np.uint8)
    small = np.rint(images.reshape(5, 1, 32, 2, 32, 2).mean(axis=(3, 5))).astype(np.uint8)
    detector = fitted("pixel_knn", images[:3])
    expected = np.sqrt(((small[3:, None].astype(float) - small[None, :3]) ** 2).mean(axis=(2, 3, 4))).min(
        axis=1
    )
    assert detector.score(images[3:], context()) == pytest.approx(expected, abs=0.05)


def test_features_are_means_scaled_by_stage() -> None:
    """The distance by hand, from the maps themselves."""
    detector = fitted("random_knn", TRAIN[:30])
    maps = [detector.network(detector.network.inputs(torch_of(one))) for one in (TRAIN[:30], TEST[:4])]
    bank, queries = ([m.mean(dim=(-2, -1)).double().numpy() for m in one] for one in maps)
    squared = np.zeros((4, 30))
    for stage, (training, tested) in enumerate(zip(bank, queries, strict=True)):
        spread = np.sqrt(training.var(axis=0).mean())
        squared += (((tested[:, None] - training[None]) / spread) ** 2).sum(axis=2)
        assert training.shape[1] == detector.network.channels[stage]
    expected = np.sqrt(squared.min(axis=1) / sum(detector.network.channels))
    assert detector.score(TEST[:4], context()) == pytest.approx(expected, rel=1e-4)


def torch_of(images: Any) -> Any:
    import torch

    return torch.from_numpy(np.array(images))


@pytest.mark.parametrize("name", METHODS)
def test_more_neighbours_than_images_is_an_error(name: str) -> None:
    detector = build(name, '"score.k" = 4')
    detector.fit(TRAIN[:3], context())
    with pytest.raises(ValueError, match=r"lower score\.k"):
        detector.score(TEST, context())
