"""How a run's scores separate normal from anomalous images, for people to look at: the ROC curve, the
histogram of each class, and the images that are furthest on the wrong side.

The numbers of a table come from :mod:`suite.metrics`; these are the pictures behind one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Histogram:
    """Images of each class in bins of equal width between ``low`` and ``high``; the outermost bins also hold
    what lies beyond.
    """

    low: float
    high: float
    normal: Counts
    anomalous: Counts


def roc(labels: Labels, scores: Floats, most: int | None = None) -> tuple[Counts, Counts]:
    """The corners of the ROC curve as numbers of false and of true positives, from (0, 0) to (all, all).

    ``labels``: N values, True for anomalous, both classes present. ``scores``: N floats, higher is more
    anomalous; equal ones are one step (ties count half in the area). ``most``: thin it to about so many
    points, evenly along the curve.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.ones(len(scores), dtype=bool)  # of the images with its score
    last[:-1] = ordered[1:] - ordered[:-1] != 0
    ends = np.flatnonzero(last)
    true, false = np.zeros((2, len(ends) + 1), dtype=np.int64)
    true[1:] = np.cumsum(labels[order])[ends]
    false[1:] = ends + 1 - true[1:]
    # A point between two others in line with it draws nothing.
    steps_false, steps_true = false[1:] - false[:-1], true[1:] - true[:-1]
    kept = np.ones(len(true), dtype=bool)
    kept[1:-1] = steps_false[1:] * steps_true[:-1] != steps_false[:-1] * steps_true[1:]
    false, true = false[kept], true[kept]
    if most is not None and len(false) > most:
        along = false / false[-1] + true / true[-1]
        chosen = np.minimum(np.searchsorted(along, _evenly(most)), len(along) - 1)
        new = np.ones(len(chosen), dtype=bool)
        new[1:] = chosen[1:] != chosen[:-1]
        chosen = chosen[new]
        chosen[-1] = len(along) - 1
        false, true = false[chosen], true[chosen]
    return false, true


@lru_cache(maxsize=8)
def _evenly(count: int) -> Floats:
    return np.linspace(0, 2, count)


def histogram(labels: Labels, scores: Floats, bins: int = 24) -> Histogram:
    """Both classes in the same bins, over the middle 98 % of all scores, so that one far score leaves the
    rest visible.
    """
    ordered = np.sort(scores)
    low, high = (_quantile(ordered, share) for share in (0.01, 0.99))
    if not low < high:
        low, high = float(ordered[0]), float(ordered[-1])
    width = (high - low) or 1.0
    places = np.minimum(np.maximum((scores - low) / width * bins, 0), bins - 1).astype(np.int64)
    normal, anomalous = np.bincount(places + bins * labels, minlength=2 * bins).reshape(2, bins)
    return Histogram(low, high, normal, anomalous)


def _quantile(ordered: Floats, share: float) -> float:
    """That of numbers in order; to the bit what numpy gives, which takes thirty times as long for so few."""
    place = (len(ordered) - 1) * share
    below = int(place)
    first, second = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    beyond = place - below
    if beyond < 0.5:
        return first + (second - first) * beyond
    return second - (second - first) * (1 - beyond)


def wrongness(labels: Labels, scores: Floats) -> Floats:
    """For each image the share of the other class that is on its wrong side: 0 is perfect, 1 as wrong as can
    be.
    """
    normal, anomalous = np.sort(scores[~labels]), np.sort(scores[labels])
    return np.where(
        labels,
        1 - np.searchsorted(normal, scores, side="left") / len(normal),
        np.searchsorted(anomalous, scores, side="right") / len(anomalous),
    )


def worst(wrong: Floats, count: int) -> Counts:
    """The indices of the ``count`` images of the greatest :func:`wrongness`, in order; equals keep theirs."""
    return np.argsort(-wrong, kind="stable")[: max(0, count)]
