"""Metrics against scikit-learn, by brute force, and the statistics of the intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from suite import metrics


def sample(
    normal: int = 120, anomalous: int = 60, gap: float = 1.0, seed: int = 0, decimals: int = 8
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [normal, anomalous])
    return labels, np.round(generator.normal(size=len(labels)) + gap * labels, decimals)


@pytest.mark.parametrize("decimals", [8, 1, 0])
def test_agrees_with_sklearn_with_and_without_ties(decimals: int) -> None:
    labels, scores = sample(decimals=decimals)
    found = metrics.evaluate(labels, scores, seed=0)
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["aupr"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    alarms, hits, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found["fpr95"] == pytest.approx(alarms[hits >= 0.95].min(), abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_auroc_is_the_share_of_ordered_pairs(pairs: list[tuple[bool, int]]) -> None:
    positive = [value for label, value in pairs if label]
    negative = [value for label, value in pairs if not label]
    if not positive or not negative:
        with pytest.raises(ValueError, match="both classes"):
            metrics.auroc([label for label, _ in pairs], [value for _, value in pairs])
        return
    share = np.mean([(p > n) + 0.5 * (p == n) for p in positive for n in negative])
    assert metrics.auroc([label for label, _ in pairs], [value for _, value in pairs]) == pytest.approx(share)


def test_interval_is_that_of_a_plain_stratified_bootstrap() -> None:
    labels, scores = sample(decimals=1)
    found = metrics.evaluate(labels, scores, seed=3)
    generator = np.random.default_rng(11)
    normal, anomalous = scores[labels == 0], scores[labels == 1]
    areas = []
    for _ in range(1000):
        drawn = np.concatenate(
            [generator.choice(normal, len(normal)), generator.choice(anomalous, len(anomalous))]
        )
        areas.append(roc_auc_score(labels, drawn))
    low, high = np.quantile(areas, [0.025, 0.975])
    assert found["auroc_low"] == pytest.approx(low, abs=0.01)
    assert found["auroc_high"] == pytest.approx(high, abs=0.01)
    assert found["auroc_low"] < found["auroc"] < found["auroc_high"]


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    from math import erf

    truth = 0.5 * (1 + erf(1.0 / 2))  # AUROC of two unit normals one apart
    inside = 0
    for seed in range(200):
        found = metrics.evaluate(*sample(80, 80, seed=seed), seed=seed, resamples=300)
        inside += found["auroc_low"] <= truth <= found["auroc_high"]
    assert 178 <= inside <= 200


def test_blocks_do_not_show_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = sample(30, 30)
    whole = metrics.evaluate(labels, scores, seed=5)
    assert metrics.evaluate(labels, scores, seed=5) == whole
    monkeypatch.setattr(metrics, "_BLOCK", 30 * 7)
    blocks = metrics.evaluate(labels, scores, seed=5)
    assert blocks["auroc_low"] == pytest.approx(whole["auroc_low"], abs=0.02)


def test_global_generator_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    metrics.evaluate(*sample(), seed=1)
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]


def test_monotone_change_of_scores_changes_nothing() -> None:
    labels, scores = sample()
    assert metrics.evaluate(labels, np.exp(scores), seed=2) == metrics.evaluate(labels, scores, seed=2)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0, 0], [1.0, 2.0, 3.0], "none of the 3 images is anomalous"),
        ([1, 1], [1.0, 2.0], "none of the 2 images is normal"),
        ([0, 1], [1.0], "2 labels, but scores of shape"),
        ([0, 1, 1], [1.0, float("nan"), float("inf")], "2 of the scores are not finite"),
        ([0, 2], [1.0, 2.0], "0 .normal. or 1 .anomalous."),
        ([], [], "labels are one number an image"),
    ],
)
def test_faults_are_named(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(labels, scores, seed=0)


def test_comparison_pairs_the_images() -> None:
    labels, scores = sample(200, 100, seed=1)
    generator = np.random.default_rng(2)
    better, worse = scores + 0.3 * labels, scores + 0.05 * generator.normal(size=len(scores))
    found = metrics.compare(labels, better, worse)
    assert found.difference == pytest.approx(metrics.auroc(labels, better) - metrics.auroc(labels, worse))
    assert found.low == pytest.approx(found.delong_low, abs=0.01)
    assert found.high == pytest.approx(found.delong_high, abs=0.01)
    separate = metrics.evaluate(labels, better, seed=0)
    assert found.high - found.low < 0.8 * (separate["auroc_high"] - separate["auroc_low"])


def test_comparison_with_itself_is_nothing() -> None:
    labels, scores = sample()
    found = metrics.compare(labels, scores, scores)
    assert (found.difference, found.low, found.high, found.delong_error) == (0, 0, 0, 0)


def test_delong_by_hand() -> None:
    # One positive above two negatives (1, 1) and one between them (0.5): the placements of a; b is constant.
    labels, a, b = [1, 1, 0, 0], [4.0, 2.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0]
    found = metrics.compare(labels, a, b)
    assert found.auroc_a == 0.75
    assert found.delong_error == pytest.approx(np.sqrt(0.125 / 2 + 0.125 / 2))


def test_seeds_are_averaged_on_shared_images() -> None:
    labels, scores = sample(200, 100, seed=1)
    generator = np.random.default_rng(2)
    a = scores + 0.3 * labels + 0.2 * generator.normal(size=(3, len(scores)))
    b = scores + 0.2 * generator.normal(size=(3, len(scores)))
    found = metrics.compare(labels, a, b)
    assert len(found.per_seed) == 3
    assert found.difference == pytest.approx(np.mean(found.per_seed))
    assert found.low == pytest.approx(found.delong_low, abs=0.01)
    with pytest.raises(ValueError, match="different shapes"):
        metrics.compare(labels, a, b[:2])


def test_average_precision_by_hand() -> None:
    """Falling scores find +, -, +, -: precision 1 at recall 1/2, 2/3 at recall 1; (1 + 2/3) / 2."""
    found = metrics.evaluate([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], seed=0)
    assert found["aupr"] == pytest.approx(5 / 6)
