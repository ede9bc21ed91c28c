"""ROC corners, histograms and the worst images against their definitions, on any scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite import metrics, separation

CASES = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


def split(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([label for label, _ in rows]), np.array([float(score) for _, score in rows])


@given(CASES)
def test_the_area_under_the_corners_is_the_auroc(rows: list[tuple[bool, int]]) -> None:
    labels, scores = split(rows)
    false, true = separation.roc(labels, scores)
    area = np.trapezoid(true / labels.sum(), false / (~labels).sum())
    assert area == pytest.approx(metrics.auroc(labels, scores), abs=1e-12)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, (~labels).sum(), labels.sum())


@given(CASES, st.integers(2, 9))
def test_a_thinned_curve_keeps_its_ends_and_lies_on_the_whole_one(
    rows: list[tuple[bool, int]], most: int
) -> None:
    labels, scores = split(rows)
    whole = set(zip(*separation.roc(labels, scores), strict=True))
    thin = list(zip(*separation.roc(labels, scores, most), strict=True))
    assert len(thin) <= max(most, 2)
    assert set(thin) <= whole
    assert {(0, 0), ((~labels).sum(), labels.sum())} <= set(thin)


def test_a_thinned_curve_of_many_images_has_nearly_the_same_area() -> None:
    generator = np.random.default_rng(0)
    labels = generator.random(5000) < 0.4
    scores = generator.normal(size=5000) + labels
    false, true = separation.roc(labels, scores, 60)
    assert len(false) <= 60
    area = np.trapezoid(true / true[-1], false / false[-1])
    assert area == pytest.approx(metrics.auroc(labels, scores), abs=2e-3)


@given(CASES)
def test_every_image_is_in_one_bin_of_its_class(rows: list[tuple[bool, int]]) -> None:
    labels, scores = split(rows)
    found = separation.histogram(labels, scores, bins=7)
    assert len(found.normal) == len(found.anomalous) == 7
    assert (found.normal.sum(), found.anomalous.sum()) == ((~labels).sum(), labels.sum())
    assert found.low <= found.high


@given(CASES, st.floats(1e-300, 1e300))
def test_the_bins_lie_between_the_quantiles_of_numpy_to_the_bit(
    rows: list[tuple[bool, int]], unit: float
) -> None:
    labels, scores = split(rows)
    scores = scores * (unit / 3)
    low, high = np.quantile(scores, (0.01, 0.99))
    if low < high:
        found = separation.histogram(labels, scores)
        assert (found.low, found.high) == (low, high)


def test_one_far_score_leaves_the_rest_visible() -> None:
    scores = np.append(np.linspace(0, 1, 199), 1e6)
    found = separation.histogram(np.arange(200) % 2 == 0, scores)
    assert found.high < 2
    assert np.count_nonzero(found.normal) > 20


def test_the_worst_images_are_those_on_the_wrong_side() -> None:
    labels = np.array([False, False, False, True, True])
    scores = np.array([0.1, 0.9, 0.2, 0.15, 1.0])
    wrong = separation.wrongness(labels, scores)
    assert wrong == pytest.approx([0, 1 / 2, 1 / 2, 2 / 3, 0])
    assert separation.worst(wrong, 2).tolist() == [3, 1]
    assert separation.worst(wrong, -1).size == 0
