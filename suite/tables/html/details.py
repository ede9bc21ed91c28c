"""What a cell opens: each of its runs with settings, results, curves, scores and origin, as JSON in the page.

A run stands in the page once, however many tables show it; what many runs share (settings, environment, data)
stands once and is referred to by its place. The browser draws a run only when a reader opens it, so ten
thousand of them cost the page their bytes alone, and those are bounded by thinning the curves.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import curves, files, separation
from suite.settings import KEY_LENGTH
from suite.tables.html.thumbnails import Thumbnails

if TYPE_CHECKING:
    from suite.outcome import Outcome
    from suite.store import Store
    from suite.tables.frame import Observation

WORST = 8
"""Images listed for each run."""
POINTS = (24, 120)
"""The fewest and the most points of a curve."""
ROOM = 400_000
"""Points of all curves of one kind together, as long as each has the fewest."""


class Pool:
    """Values that many runs share, each kept once; a run holds the number of its place."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def place(self, value: Any) -> int:
        """The place of this JSON value."""
        # Most equal values have their entries in the same order too, which is told without sorting them.
        alike = repr(value)
        if alike not in self._seen:
            text = json.dumps(value, sort_keys=True, default=str)
            if text not in self._places:
                self._places[text] = len(self.values)
                self.values.append(value)
            self._seen[alike] = self._places[text]
        return self._seen[alike]


class Details:
    """Collects the runs of a report; ``blocks`` gives one JSON object for each, ``shared`` what they refer to.

    ``out`` is the folder that the page will stand in: links to the run folders are relative to it; None: they
    are not linked. ``links``: addresses of runs in a tracker, by evaluation key.
    """

    def __init__(
        self, store: Store, out: Path | None, thumbnails: Thumbnails, links: Mapping[str, str]
    ) -> None:
        self._store, self._thumbnails, self._links = store, thumbnails, links
        self._root = None if out is None else _relative(store.root, out)
        self._runs: dict[str, Observation] = {}
        self._pools = {name: Pool() for name in ("settings", "environment", "data")}

    def add(self, rows: Iterable[Observation]) -> list[str]:
        """Take in the runs of a cell; the short keys by which the page finds them."""
        found = []
        for row in rows:
            key = row.run.eval_key[:KEY_LENGTH]
            self._runs.setdefault(key, row)
            found.append(key)
        return found

    @property
    def count(self) -> int:
        """How many runs, done or not."""
        return len(self._runs)

    def blocks(self) -> list[tuple[str, str]]:
        """Short key and JSON text of every run, in the order in which the tables have them."""
        done = sum(row.outcome is not None for row in self._runs.values())
        fewest, most = POINTS
        points = min(most, max(fewest, ROOM // max(1, done)))
        return [(key, to_json(self._run(row, points))) for key, row in self._runs.items()]

    def shared(self) -> dict[str, Any]:
        """What the blocks refer to; to be asked for after :meth:`blocks`."""
        pools = {name: pool.values for name, pool in self._pools.items()}
        return {**pools, "images": self._thumbnails.images()}

    def _run(self, row: Observation, points: int) -> dict[str, Any]:
        run = row.run
        told: dict[str, Any] = {
            "method": run.method,
            "dataset": run.dataset,
            "seed": run.seed,
            "state": row.state,
            "reason": row.reason,
            "train_key": run.train_key,
            "eval_key": run.eval_key,
            "settings": self._pools["settings"].place(dict(run.settings)),
        }
        if row.outcome is not None:
            told |= self._outcome(row.outcome, points)
            told |= self._scores(row, points)
            if self._root is not None:
                told["folder"] = f"{self._root}/runs/{run.train_key[:KEY_LENGTH]}"
            told |= {"mlflow": link} if (link := self._links.get(run.eval_key)) else {}
        return told

    def _outcome(self, outcome: Outcome, points: int) -> dict[str, Any]:
        folder = self._store.run_folder(outcome.train_key)
        read = curves.points(os.path.join(folder, "metrics.jsonl"), points)
        values = [curves.values(point) for point in read]
        names = list(dict.fromkeys(name for point in values for name in point))
        return {
            "metrics": outcome.metrics,
            "counts": outcome.counts,
            "selection": outcome.selection,
            "epoch": outcome.epoch,
            "candidates": [[one["epoch"], one["auroc"]] for one in outcome.candidates],
            "cost": outcome.cost,
            "environment": self._pools["environment"].place(_flat(outcome.environment)),
            "data": self._pools["data"].place(dict(outcome.data)),
            "artefacts": outcome.artefacts,
            "finished": outcome.finished,
            "notes": list(outcome.notes),
            "curve": {
                "step": [point["step"] for point in read],
                "values": {name: [_short(point.get(name)) for point in values] for name in names},
            },
        }

    def _scores(self, row: Observation, points: int) -> dict[str, Any]:
        """ROC curve, histogram and worst images, from the scores on disk; nothing where they cannot be read."""
        run = row.run
        try:
            kept = self._store.scores(run.train_key, run.eval_key, "ids", "labels", "score")
        except (OSError, KeyError, files.FileFault):
            return {}
        labels, score = kept["labels"].astype(bool), kept["score"]
        if not len(labels) == len(score) == len(kept["ids"]) or labels.all() or not labels.any():
            return {}
        false, true = separation.roc(labels, score, points)
        bins = separation.histogram(labels, score)
        wrong = separation.wrongness(labels, score)
        worst = separation.worst(wrong, WORST)
        ids = kept["ids"][worst].tolist()
        assert row.outcome is not None
        return {
            "roc": [false.tolist(), true.tolist()],
            "histogram": [_short(bins.low), _short(bins.high), bins.normal.tolist(), bins.anomalous.tolist()],
            "worst": [
                [name, int(labels[at]), _short(score[at]), round(float(wrong[at]), 3)]
                for name, at in zip(ids, worst.tolist(), strict=True)
            ],
            "images": self._thumbnails.ask(row.outcome, ids),
        }


def to_json(value: Any) -> str:
    """JSON that can stand inside a ``script`` element: nothing in it can end the element or open a comment;
    what is not finite is null.
    """
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False, default=str)
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """One level: the entries of an inner object beside the others."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        found |= value if isinstance(value, Mapping) else {name: value}
    return found


def _short(value: Any) -> float | None:
    return None if value is None else float(f"{float(value):.4g}")


def _relative(path: Path, start: Path) -> str:
    """``path`` as a link from ``start``; a whole one where there is no relative way (another drive)."""
    from urllib.parse import quote

    try:
        return quote(Path(os.path.relpath(path.absolute(), start.absolute())).as_posix())
    except ValueError:
        return path.absolute().as_uri()
