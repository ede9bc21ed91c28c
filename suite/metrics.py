"""How well scores tell anomalous images from normal ones, and how sure that is.

AUROC is the probability that an anomalous image scores higher than a normal one (ties count half). Its
interval is a percentile bootstrap over the test images, stratified by class: it says how much the number
depends on which images were tested, and nothing about the seed of the training, which the spread over seeds
is for. Two methods are compared on the same images by the paired difference; DeLong's variance (Biometrics
44, 1988) is its cross-check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 1_000
LEVEL = 0.95
_BLOCK = 4_000_000
"""Counts held at once (resamples x images); more images are resampled in more blocks."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Comparison:
    """Method a minus method b on the same images; ``low`` and ``high`` bound the bootstrap interval.

    ``per_seed``: the difference of each seed. ``delong_low`` and ``delong_high``: the normal interval by
    DeLong's standard error ``delong_error``.
    """

    auroc_a: float
    auroc_b: float
    difference: float
    low: float
    high: float
    per_seed: tuple[float, ...]
    delong_error: float
    delong_low: float
    delong_high: float


def evaluate(
    labels: ArrayLike, scores: ArrayLike, seed: int, *, resamples: int = RESAMPLES
) -> dict[str, float]:
    """Metrics of one run: ``auroc``, its 95 % interval ``auroc_low`` and ``auroc_high``, ``aupr``, ``fpr95``.

    ``labels``: N values, 1 (or True) for anomalous, 0 for normal. ``scores``: N finite floats, higher is more
    anomalous. ``seed`` makes the resamples. ValueError when the lengths differ, a score is not finite, a
    label is neither 0 nor 1, or one of the classes is absent.
    """
    truth = _labels(labels)
    values = _scores(scores, truth)
    if values.ndim != 1:
        raise ValueError(f"scores are one number an image, not an array of shape {values.shape}")
    from sklearn.metrics import average_precision_score  # a second to import: only where something is scored

    ranking = _Ranking.of(truth, values)
    samples = np.concatenate([ranking.auroc(*counts) for counts in _resample(truth, seed, resamples)])
    low, high = _interval(samples)
    return {
        "auroc": auroc(truth, values),
        "auroc_low": low,
        "auroc_high": high,
        "aupr": float(average_precision_score(truth, values)),
        "fpr95": ranking.false_positives_at(0.95),
    }


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The area under the ROC curve alone, in 0..1; ties count half. Errors as in :func:`evaluate`."""
    truth = _labels(labels)
    ranking = _Ranking.of(truth, _scores(scores, truth))
    positives, negatives = (
        np.ones((1, int(count)), dtype=np.int64) for count in (truth.sum(), (~truth).sum())
    )
    return float(ranking.auroc(positives, negatives)[0])


def compare(
    labels: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike, seed: int = 0, *, resamples: int = RESAMPLES
) -> Comparison:
    """The AUROC of method a minus that of method b on the same images, with its 95 % interval.

    ``scores_a`` and ``scores_b``: N values, or S x N for S seeds, whose differences are averaged (resampled
    images are shared by the seeds and by both methods). Errors as in :func:`evaluate`, and when the shapes
    differ.
    """
    truth = _labels(labels)
    a, b = (np.atleast_2d(_scores(scores, truth)) for scores in (scores_a, scores_b))
    if a.shape != b.shape:
        raise ValueError(f"the methods have scores of different shapes: {a.shape} and {b.shape}")
    rankings = [
        (_Ranking.of(truth, first), _Ranking.of(truth, second)) for first, second in zip(a, b, strict=True)
    ]
    blocks = []
    for counts in _resample(truth, seed, resamples):
        differences = [first.auroc(*counts) - second.auroc(*counts) for first, second in rankings]
        blocks.append(np.mean(differences, axis=0))
    low, high = _interval(np.concatenate(blocks))
    areas = np.array(
        [[auroc(truth, first), auroc(truth, second)] for first, second in zip(a, b, strict=True)]
    )
    each = areas[:, 0] - areas[:, 1]
    difference, error = float(each.mean()), _delong_error(truth, a, b)
    half = 1.959963984540054 * error
    return Comparison(
        auroc_a=float(areas[:, 0].mean()),
        auroc_b=float(areas[:, 1].mean()),
        difference=difference,
        low=low,
        high=high,
        per_seed=tuple(float(value) for value in each),
        delong_error=error,
        delong_low=difference - half,
        delong_high=difference + half,
    )


@dataclass(frozen=True)
class _Ranking:
    """Where the images of each class stand among the distinct scores, ascending.

    ``positive`` and ``negative``: per image of the class the index of its distinct score; ``size``: their
    number.
    """

    positive: Counts
    negative: Counts
    size: int

    @classmethod
    def of(cls, truth: NDArray[np.bool_], scores: Floats) -> _Ranking:
        distinct, level = np.unique(scores, return_inverse=True)
        return cls(level[truth], level[~truth], len(distinct))

    def auroc(self, positives: Counts, negatives: Counts) -> Floats:
        """AUROC under each row of counts: R x P and R x N copies of the images of the classes -> R values."""
        # By score, every copy of a positive beats the negatives below its level and half of those on it.
        order = np.argsort(self.negative, kind="stable")
        below = np.zeros((len(negatives), len(order) + 1), dtype=np.int64)
        np.cumsum(negatives[:, order], axis=1, out=below[:, 1:])
        levels = self.negative[order]
        left = below[:, np.searchsorted(levels, self.positive, side="left")]
        right = below[:, np.searchsorted(levels, self.positive, side="right")]
        wins = np.einsum("rp,rp->r", positives, left + right)
        pairs: Counts = positives.sum(axis=1) * negatives.sum(axis=1)
        return np.asarray(wins / (2.0 * pairs), dtype=np.float64)

    def _curve(self) -> tuple[Floats, Floats]:
        """True and false positives counted at every distinct threshold, from the highest score down."""
        hits = np.bincount(self.positive, minlength=self.size)[::-1].cumsum()
        alarms = np.bincount(self.negative, minlength=self.size)[::-1].cumsum()
        return hits.astype(np.float64), alarms.astype(np.float64)

    def false_positives_at(self, true_positive_rate: float) -> float:
        hits, alarms = self._curve()
        first = int(np.argmax(hits / hits[-1] >= true_positive_rate))
        return float(alarms[first] / alarms[-1])


def _resample(truth: NDArray[np.bool_], seed: int, resamples: int) -> Iterator[tuple[Counts, Counts]]:
    """Blocks of resamples: how often each image of either class was drawn, as R x P and R x N counts."""
    generator = np.random.default_rng([seed, 0x626F6F74])
    sizes = int(truth.sum()), int((~truth).sum())
    block = max(1, _BLOCK // max(sizes))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        yield _draws(generator, rows, sizes[0]), _draws(generator, rows, sizes[1])


def _draws(generator: np.random.Generator, rows: int, size: int) -> Counts:
    """``rows`` multinomial draws of ``size`` out of ``size``, as counts."""
    drawn = generator.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)


def _interval(samples: Floats) -> tuple[float, float]:
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _delong_error(truth: NDArray[np.bool_], a: Floats, b: Floats) -> float:
    """Standard error of the seed-averaged difference, from each image's placement among the other class."""
    positive = _mean_placements(a, truth) - _mean_placements(b, truth)
    negative = _mean_placements(-a, ~truth) - _mean_placements(-b, ~truth)
    variance = sum(part.var(ddof=1) / len(part) for part in (positive, negative) if len(part) > 1)
    return float(np.sqrt(variance))


def _mean_placements(scores: Floats, chosen: NDArray[np.bool_]) -> Floats:
    return np.asarray(
        np.mean([_placements(row[chosen], row[~chosen]) for row in scores], axis=0), dtype=np.float64
    )


def _placements(values: Floats, others: Floats) -> Floats:
    """For each value the share of the others below it, ties half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (
        2.0 * len(others)
    )


def _labels(labels: ArrayLike) -> NDArray[np.bool_]:
    given: NDArray[Any] = np.asarray(labels)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"labels are one number an image, not an array of shape {given.shape}")
    if not np.isin(given, (0, 1)).all():
        raise ValueError("labels are 0 (normal) or 1 (anomalous)")
    truth = given.astype(bool)
    for absent, name in ((not truth.any(), "anomalous"), (truth.all(), "normal")):
        if absent:
            raise ValueError(f"AUROC needs both classes: none of the {len(truth)} images is {name}")
    return truth


def _scores(scores: ArrayLike, truth: NDArray[np.bool_]) -> Floats:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim not in (1, 2) or values.shape[-1] != len(truth):
        raise ValueError(f"{len(truth)} labels, but scores of shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of the scores are not finite numbers")
    return values
