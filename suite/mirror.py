"""What an experiment tracker should hold for a plan: a record for each cell and, under it, one for each
finished seed.

Made from the store alone and knowing no tracker. The numbers of a cell are those of the rendered table, by
the same code. A stamp in the store says what has been written where, so that nothing is started up when
nothing is new.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import curves, files
from suite.registry import stands_in
from suite.settings import key_of
from suite.tables.cells import METRICS, Entry, entry_of
from suite.tables.frame import collect

if TYPE_CHECKING:
    from suite.outcome import Outcome
    from suite.plan import Cell, Plan
    from suite.store import Store

VALUE_LENGTH = 5_900
"""Longer values of a setting are cut here, visibly; the tracker would cut them at 6,000 and say nothing."""
CURVE_POINTS = 1_000
"""A curve with more points is thinned evenly, its last point kept."""
STAMP = "mlflow-mirrored.json"
FORMAT = 1


@dataclass(frozen=True)
class SeedRecord:
    """One finished run. Times are milliseconds since 1970; ``curves``: (name, step, value)."""

    key: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    start: int
    end: int
    finished: str
    folder: Path

    def curves(self) -> Iterator[tuple[str, int, float]]:
        """The values that training noted (``metrics.jsonl``: one JSON object a line with a ``step``)."""
        return _curves(self.folder / "metrics.jsonl")


@dataclass(frozen=True)
class CellRecord:
    """One cell with at least one finished run; ``n`` of them count in its mean. ``fingerprint``: all that
    went in.
    """

    key: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    n: int
    fingerprint: str
    seeds: tuple[SeedRecord, ...]


def cell_key(cell: Cell) -> str:
    """What all seeds of a cell share, as a key: method, data, settings and scoring."""
    run = cell.runs[0]
    train = {name: value for name, value in run.train.items() if name not in ("seed", "artefacts")}
    evaluation = {name: value for name, value in run.evaluation.items() if name != "train"}
    return key_of({"train": train, "evaluation": evaluation})


def records(plan: Plan, store: Store) -> list[CellRecord]:
    """The plan's cells that have a result, each once, in the plan's order."""
    observations = collect(plan, store, assessments=())
    found: dict[str, CellRecord] = {}
    for number, cell in enumerate(plan.cells):
        rows = [row for row in observations if row.cell == number]
        if not any(row.outcome for row in rows) or (key := cell_key(cell)) in found:
            continue
        found[key] = _cell_record(plan, store, entry_of(plan, cell, rows), key)
    return list(found.values())


def _cell_record(plan: Plan, store: Store, entry: Entry, key: str) -> CellRecord:
    cell = entry.cell
    name = ", ".join(cell.labels.values()) or plan.spec.name
    shared = {
        "suite.cell_key": key,
        "suite.method": cell.method,
        "suite.dataset": cell.dataset,
        "suite.profile": plan.profile,
        "suite.selection": str(cell.settings.get("selection", "last")),
    }
    if stands_in(cell.dataset):
        name, shared["suite.stand_in"] = f"{name} (stand-in)", "true"
    done = [(row.run.seed, row.outcome) for row in entry.observations if row.outcome is not None]
    seeds = tuple(_seed_record(store, name, shared, seed, outcome) for seed, outcome in done)
    metrics = _statistics(entry, [outcome for seed, outcome in done if seed in entry.values])
    tags = shared | {"suite.complete": f"{entry.n}/{len(entry.seeds)}"}
    params = _params(cell.settings) | {"method": cell.method, "dataset": cell.dataset}
    return CellRecord(
        key=key,
        name=name,
        tags=tags,
        params=params,
        metrics=metrics,
        n=entry.n,
        fingerprint=key_of(
            {
                "format": FORMAT,
                "seeds": [[one.key, one.finished, dict(one.metrics)] for one in seeds],
                "tags": tags,
            }
        ),
        seeds=seeds,
    )


def _statistics(entry: Entry, outcomes: list[Outcome]) -> dict[str, float]:
    """``auroc_mean``, ``auroc_std``, ``auroc_n`` and the same of the other metrics, over the seeds that
    count.
    """
    found: dict[str, float] = {}
    for metric in METRICS:
        values = {outcome.seed: outcome.metrics[metric] for outcome in outcomes if metric in outcome.metrics}
        cell = Entry(entry.cell, entry.seeds, values, (), ())
        if cell.mean is not None:
            found[f"{metric}_mean"] = cell.mean
            found[f"{metric}_n"] = float(cell.n)
        if cell.std is not None:
            found[f"{metric}_std"] = cell.std
    return found


def _seed_record(
    store: Store, name: str, shared: Mapping[str, str], seed: int, outcome: Outcome
) -> SeedRecord:
    environment = outcome.environment
    numbers = {**outcome.metrics, **{f"cost.{name}": value for name, value in outcome.cost.items()}}
    numbers |= {f"images.{name}": count for name, count in outcome.counts.items()}
    if outcome.epoch is not None:
        numbers["epoch"] = outcome.epoch
    tags = {
        **shared,
        "suite.eval_key": outcome.eval_key,
        "suite.train_key": outcome.train_key,
        "suite.seed": str(seed),
        "suite.data_digest": str(outcome.data.get("digest", "")),
        "suite.finished": outcome.finished,
        **{
            f"suite.{key}": str(environment[key])
            for key in ("revision", "device", "torch")
            if key in environment
        },
    }
    end = _milliseconds(outcome.finished)
    spent = sum(float(outcome.cost.get(part) or 0) for part in ("fit_seconds", "score_seconds"))
    return SeedRecord(
        key=outcome.eval_key,
        name=f"{name}, seed {seed}",
        tags=tags,
        params=_params(outcome.settings) | {"seed": str(seed)},
        metrics={_name(key): float(value) for key, value in numbers.items() if _is_number(value)},
        start=end - round(1000 * spent),
        end=end,
        finished=outcome.finished,
        folder=store.run_folder(outcome.train_key),
    )


def _params(settings: Mapping[str, Any]) -> dict[str, str]:
    return {_name(name): _cut(value) for name, value in settings.items()}


def _cut(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}... ({len(text)} characters)"


def _name(name: str) -> str:
    """Only the characters that every tracking store takes in a name."""
    return re.sub(r"[^A-Za-z0-9_.\- /]", "_", name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _milliseconds(finished: str) -> int:
    try:
        time = datetime.fromisoformat(finished)
    except ValueError:
        return 0
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _curves(path: Path) -> Iterator[tuple[str, int, float]]:
    for point in curves.points(path, CURVE_POINTS):
        for name, value in curves.values(point).items():
            yield f"curve.{_name(name)}", point["step"], value


class Stamp:
    """Which cells have been written to which tracking store and experiment, with their fingerprints.

    ``identity`` tells one database file from another at the same path (deleted, made anew).
    """

    def __init__(self, root: Path, uri: str, identity: str) -> None:
        self._path, self._uri, self._identity = root / STAMP, uri, identity

    def known(self, experiment: str) -> dict[str, str]:
        """Cell key -> fingerprint of what has been written."""
        entry = files.peek_json(self._path).get(self._uri)
        if not isinstance(entry, Mapping) or entry.get("identity") != self._identity:
            return {}
        cells = entry.get("experiments", {}).get(experiment, {})
        return dict(cells) if isinstance(cells, Mapping) else {}

    def write(self, experiment: str, cells: Mapping[str, str], identity: str) -> None:
        """Note what has been written; ``identity`` is that of the database now that it exists."""
        content = dict(files.peek_json(self._path))
        entry = content.get(self._uri)
        same = isinstance(entry, Mapping) and entry.get("identity") == identity
        experiments = dict(entry["experiments"]) if same and entry else {}
        experiments[experiment] = {**experiments.get(experiment, {}), **cells}
        content[self._uri] = {"identity": identity, "experiments": experiments}
        files.write_json(self._path, content)
        self._identity = identity
