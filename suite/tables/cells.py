"""The cells of a table as numbers: mean, sample standard deviation, marks, published value, rank.

Honesty is decided here, not in the renderers: which cells are complete, which carry a mark, what may be
compared. A cell never averages over different data: of several content digests only the newest outcome's
counts, and the cell is marked.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from suite.data.identity import LESIONS
from suite.plan import Cell
from suite.registry import stands_in
from suite.settings import KEY_LENGTH, key_of
from suite.tables import published as literature
from suite.tables import verdict as judgement
from suite.tables.frame import Observation

if TYPE_CHECKING:
    from suite.plan import Plan

AVERAGE = "average"
FAILED, STALE, MIXED, GENERATED = "†", "‡", "§", "◇"
MARKS: Mapping[str, str] = {
    FAILED: "a run of this cell failed",
    STALE: "computed by another version of the source, or on other data, than what is here now",
    MIXED: "the runs of this cell differ in device, torch version or data",
    GENERATED: "on generated stand-in data, not on the data set that is named",
}
METRICS: Mapping[str, tuple[str, bool]] = {
    "auroc": ("AUROC", True),
    "aupr": ("AUPR", True),
    "fpr95": ("false positive rate at 95 % true positives", False),
    "parameters": ("parameters (M)", False),
    "macs": ("MACs (G)", False),
    "peak_memory_mb": ("peak memory (GiB)", False),
}
"""Name in a caption and whether higher is better."""


@dataclass(frozen=True)
class Entry:
    """One cell. ``values``: seed -> metric of the finished runs that count; ``seeds``: those the spec asks
    for.

    ``dataset`` and ``compared``: cells with equal ``compared`` are measured on the same task, so that one of
    them may be called the best. ``published`` stands in ``source``, further values of the cell in ``also``,
    each with its source; ``reach``: the largest difference from the published mean that counts as reproduced.
    """

    cell: Cell
    seeds: tuple[int, ...]
    values: Mapping[int, float]
    observations: tuple[Observation, ...]
    compared: tuple[Any, ...]
    marks: tuple[str, ...] = ()
    published: literature.Value | None = None
    source: str = ""
    also: tuple[tuple[str, literature.Value], ...] = ()
    reach: float = 0.0
    best: bool = False
    rank: float | None = None

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def complete(self) -> bool:
        return self.n == len(self.seeds) and self.n > 0

    @cached_property
    def mean(self) -> float | None:
        return statistics.fmean(self.values.values()) if self.values else None

    @cached_property
    def std(self) -> float | None:
        """Sample standard deviation (ddof 1); None with fewer than two seeds."""
        return statistics.stdev(self.values.values()) if self.n > 1 else None

    @property
    def difference(self) -> float | None:
        """Ours minus the published mean."""
        if self.mean is None or self.published is None or self.published.mean is None:
            return None
        return self.mean - self.published.mean

    @property
    def far(self) -> bool:
        """Whether the difference exceeds two combined spreads; never for a cell that lacks seeds or a spread."""
        theirs = self.published.std if self.published else None
        return self.complete and judgement.is_far(self.difference, judgement.combined(self.std, theirs))

    @property
    def verdict(self) -> str | None:
        """One of :data:`suite.tables.verdict.VERDICTS`; None where nothing was published. A cell that lacks
        seeds is not judged yet.
        """
        if self.published is None or self.published.mean is None:
            return None
        return judgement.judge(self.difference if self.complete else None, self.reach)


def cell_key(cell: Cell) -> str:
    """What all seeds of a cell share, as a key: method, data, settings and scoring."""
    run = cell.runs[0]
    train = {name: value for name, value in run.train.items() if name not in ("seed", "artefacts")}
    evaluation = {name: value for name, value in run.evaluation.items() if name != "train"}
    return key_of({"train": train, "evaluation": evaluation})


def anchor(key: str) -> str:
    """The name of a cell's place in the page of all tables, by the key of the cell."""
    return f"cell-{key[:KEY_LENGTH]}"


def selection_of(cell: Cell) -> str:
    return str(cell.runs[0].evaluation.get("selection", "last")) if cell.runs else "last"


def entry_of(plan: Plan, cell: Cell, rows: list[Observation]) -> Entry:
    """The cell's numbers, its marks and what was published for it."""
    metric = plan.spec.table.metric
    done = [row for row in rows if row.outcome is not None]
    kept = _same_data(done)
    marks = [FAILED] * any(row.failed for row in rows) + [STALE] * any(row.stale for row in kept)
    marks += [MIXED] * (len(kept) < len(done) or _mixed(kept))
    marks += [GENERATED] * stands_in(cell.dataset)
    return Entry(
        cell=cell,
        seeds=tuple(run.seed for run in cell.runs),
        values={row.run.seed: float(row.outcome.metrics[metric]) for row in kept if row.outcome is not None},
        observations=tuple(rows),
        compared=(
            cell.dataset,
            _hashable(cell.settings.get("data.normal_class")),
            cell.settings.get("data.split"),
            *(cell.settings.get(f"data.{name}") for name in LESIONS),
            selection_of(cell),
            cell.settings.get("score_on"),
        ),
        marks=tuple(marks),
        **_published_for(plan, cell),
    )


def _published_for(plan: Plan, cell: Cell) -> dict[str, Any]:
    """Nothing was published of validation images."""
    if cell.settings.get("score_on") == "val":
        return {}
    return _literature(plan, lambda table: table.find(cell.method, cell.dataset, cell.settings))


def _literature(
    plan: Plan, find: Callable[[literature.Published], literature.Value | None]
) -> dict[str, Any]:
    """The fields of an entry that tell what was published for it, from the tables that the spec names."""
    shape = plan.spec.table
    tables = [literature.table(name) for name in shape.published]
    values = [(table.source, find(table)) for table in tables if table.metric == shape.metric]
    known = [(source, value) for source, value in values if value is not None]
    if not known:
        return {}
    (source, first), *others = known
    reach = judgement.reach(shape.tolerance, first.std)
    return {"published": first, "source": source, "also": tuple(others), "reach": reach}


def _same_data(rows: list[Observation]) -> list[Observation]:
    """The outcomes on the data that the newest one saw."""
    outcomes = [(row, row.outcome) for row in rows if row.outcome is not None]
    if not outcomes:
        return []
    newest = max((outcome for _, outcome in outcomes), key=lambda outcome: outcome.finished)
    return [row for row, outcome in outcomes if outcome.data.get("digest") == newest.data.get("digest")]


def _mixed(rows: list[Observation]) -> bool:
    kinds = {(o.environment.get("device"), o.environment.get("torch")) for row in rows if (o := row.outcome)}
    return len(kinds) > 1


def averages(plan: Plan, entries: list[Entry], axis: str) -> list[Entry]:
    """For all cells that share everything but ``axis``: seed by seed the mean over it, where every cell has
    the seed.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Entry]] = {}
    for entry in entries:
        rest = tuple((name, label) for name, label in entry.cell.labels.items() if name != axis)
        groups.setdefault(rest, []).append(entry)
    return [_average(plan, dict(rest), members, axis) for rest, members in groups.items()]


def _average(plan: Plan, labels: dict[str, str], members: list[Entry], axis: str) -> Entry:
    first = members[0]
    shared = {
        name: value
        for name, value in first.cell.settings.items()
        if all(member.cell.settings.get(name) == value for member in members)
    }
    datasets = {member.cell.dataset for member in members}
    dataset = first.cell.dataset if len(datasets) == 1 else AVERAGE
    seeds = tuple(dict.fromkeys(seed for member in members for seed in member.seeds))
    values = {
        seed: statistics.fmean(member.values[seed] for member in members)
        for seed in seeds
        if all(seed in member.values for member in members)
    }
    marks = tuple(mark for mark in MARKS if any(mark in member.marks for member in members))
    found = _literature(plan, lambda table: table.find_average(axis, first.cell.method, dataset, shared))
    return Entry(
        cell=Cell(labels | {axis: AVERAGE}, {}, first.cell.method, dataset, shared, ()),
        seeds=seeds,
        values=values,
        observations=(),
        compared=(AVERAGE, axis, dataset),
        marks=marks,
        **({} if GENERATED in marks else found),
    )


def ranked(entries: list[Entry], higher: bool) -> list[Entry]:
    """Rank and bold among the complete cells of each task; equal as printed is equal, and shares the mean
    rank. On stand-in data nothing is the best.
    """
    tasks: dict[tuple[Any, ...], list[float]] = {}
    for entry in entries:
        if entry.complete and entry.mean is not None and GENERATED not in entry.marks:
            tasks.setdefault(entry.compared, []).append(_printed(entry.mean, higher))
    placed = []
    for entry in entries:
        others = tasks.get(entry.compared, [])
        if entry.complete and entry.mean is not None and GENERATED not in entry.marks and len(others) > 1:
            own = _printed(entry.mean, higher)
            above, equal = sum(other > own for other in others), others.count(own)
            placed.append(replace(entry, best=above == 0, rank=above + (equal + 1) / 2))
        else:
            placed.append(entry)
    return placed


def _printed(mean: float, higher: bool) -> float:
    return round(mean, 3) if higher else -round(mean, 3)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value
