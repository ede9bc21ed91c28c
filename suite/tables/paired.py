"""Cells compared with a reference case on the same images: the difference of each seed, their mean, and its
bootstrap interval over the test images (shared by the seeds and both methods).

No test of significance: three seeds carry none. The interval speaks of the test images alone, the seeds'
differences of the training. The effect size is Cliff's delta, how often a seed of the one is ahead of a seed
of the other, since it needs no estimate of a variance: that of three values may be out by a factor of six, and
with it Cohen's d or Hedges' g.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from suite import files, metrics
from suite.tables.cells import Entry

if TYPE_CHECKING:
    from suite.plan import Run
    from suite.store import Store

AXIS = "case"


@dataclass(frozen=True)
class Pair:
    """``label`` minus the reference at ``place`` (the labels of the other axes), by AUROC; ``low`` and
    ``high`` bound the 95 % interval, ``images`` is their number. ``delta``: Cliff's, from -1 to 1.
    """

    label: str
    place: tuple[str, ...]
    difference: float
    low: float
    high: float
    per_seed: tuple[float, ...]
    images: int
    delta: float


def pairs(entries: Sequence[Entry], reference: str, store: Store) -> tuple[Pair, ...]:
    """Every complete cell against the complete cell of the reference case in the same place."""
    places = {_place(entry): entry for entry in entries if entry.cell.labels.get(AXIS) == reference}
    found = []
    for entry in entries:
        other = places.get(_place(entry))
        if other is None or entry is other or not (entry.complete and other.complete):
            continue
        pair = _pair(entry, other, store)
        if pair is not None:
            found.append(pair)
    return tuple(found)


def _place(entry: Entry) -> tuple[str, ...]:
    return tuple(label for axis, label in entry.cell.labels.items() if axis != AXIS)


def _pair(entry: Entry, other: Entry, store: Store) -> Pair | None:
    mine, theirs = ([_scores(run, store) for run in one.cell.runs] for one in (entry, other))
    if len(mine) != len(theirs) or any(part is None for part in (*mine, *theirs)):
        return None
    first = mine[0]
    for part in (*mine, *theirs):
        if not np.array_equal(part["ids"], first["ids"]) or not np.array_equal(
            part["labels"], first["labels"]
        ):
            return None
    ours, reference = (np.stack([part["score"] for part in parts]) for parts in (mine, theirs))
    compared = metrics.compare(first["labels"], ours, reference)
    return Pair(
        label=entry.cell.labels[AXIS],
        place=_place(entry),
        difference=compared.difference,
        low=compared.low,
        high=compared.high,
        per_seed=compared.per_seed,
        images=len(first["labels"]),
        delta=cliffs_delta(tuple(entry.values.values()), tuple(other.values.values())),
    )


def cliffs_delta(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The share of pairs (a seed of each) in which ours is ahead, minus the share in which it is behind."""
    ahead = sum((one > other) - (one < other) for one in ours for other in theirs)
    return ahead / (len(ours) * len(theirs))


def _scores(run: Run, store: Store) -> Any:
    try:
        return store.scores(run.train_key, run.eval_key)
    except (OSError, files.FileFault):
        return None
