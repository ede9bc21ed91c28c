"""A table as cells in their places: rows, columns, groups, averages, extra columns.

What a cell is worth is decided in :mod:`suite.tables.cells`, what the caption must say in
:mod:`suite.tables.caption`; the renderers only write it down.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from suite.tables.cells import METRICS, Entry, averages, entry_of, ranked, selection_of
from suite.tables.frame import collect
from suite.tables.paired import Pair, pairs
from suite.tables.ranks import Ranks
from suite.tables.verdict import Tally

if TYPE_CHECKING:
    from suite.plan import Assessment, Plan
    from suite.store import Store


@dataclass(frozen=True)
class Row:
    """A row: its labels (one for each row axis), the group it stands in, its entries (None: no such cell),
    extras.
    """

    labels: tuple[str, ...]
    group: str
    entries: tuple[Entry | None, ...]
    extra: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class Table:
    """A finished table; ``columns`` are label tuples, one label for each column axis. Texts are plain,
    unescaped.
    """

    name: str
    title: str
    description: str
    profile: str
    metric: str
    selections: tuple[str, ...]
    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    columns: tuple[tuple[str, ...], ...]
    column_groups: tuple[str, ...]
    extra: tuple[str, ...]
    rows: tuple[Row, ...]
    verdicts: Tally = field(default_factory=Tally)
    caption: tuple[str, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    ranks: Ranks = field(default_factory=Ranks)
    missing: tuple[tuple[str, tuple[str, ...]], ...] = ()
    footnotes: tuple[str, ...] = ()
    compare: str = ""
    paired: tuple[Pair, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All cells, row by row, averages included."""
        return tuple(entry for row in self.rows for entry in row.entries if entry is not None)


@dataclass(frozen=True)
class _Axes:
    """Where entries go: the labels of each axis in the order in which the plan has them, ``average`` last."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    order: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            for axis in (*self.rows, *self.columns):
                known = self.order.setdefault(axis, {})
                known.setdefault(entry.cell.labels[axis], len(known))

    def place(self, entry: Entry, axes: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(entry.cell.labels[axis] for axis in axes)

    def sorted(self, places: Iterable[tuple[str, ...]], axes: tuple[str, ...]) -> list[tuple[str, ...]]:
        return sorted(
            set(places), key=lambda place: [self.order[a][p] for a, p in zip(axes, place, strict=True)]
        )


def build(
    plan: Plan,
    store: Store,
    *,
    selection: str | None = None,
    data_root: Path | None = None,
    assessments: Sequence[Assessment] | None = None,
) -> Table:
    """The table of a plan. ``selection`` keeps only the cells scored at that checkpoint (default: all).

    ValueError when two different cells would stand in the same place, or the spec names an unknown published
    table.
    """
    from suite.tables.caption import finish

    observations = collect(plan, store, data_root=data_root, assessments=assessments)
    entries = [
        entry_of(plan, cell, [row for row in observations if row.cell == number])
        for number, cell in enumerate(plan.cells)
        if selection is None or selection_of(cell) == selection
    ]
    shape = plan.spec.table
    axes = _Axes(tuple(shape.rows), tuple(shape.columns))
    for axis in shape.average:
        entries += averages(plan, entries, axis)
    axes.add(entries)
    entries = ranked(entries, METRICS[shape.metric][1])
    table = finish(_laid_out(plan, axes, entries), plan)
    if shape.compare is None:
        return table
    return replace(table, compare=shape.compare, paired=pairs(entries, shape.compare, store))


def selections(plan: Plan) -> tuple[str, ...]:
    """The checkpoints that the plan's cells are scored at, in order; several only stand in one table as an
    axis.
    """
    return tuple(dict.fromkeys(selection_of(cell) for cell in plan.cells))


def _laid_out(plan: Plan, axes: _Axes, entries: list[Entry]) -> Table:
    shape = plan.spec.table
    grid: dict[tuple[tuple[str, ...], tuple[str, ...]], Entry] = {}
    for entry in entries:
        place = axes.place(entry, axes.rows), axes.place(entry, axes.columns)
        if place in grid:
            left = sorted(set(entry.cell.labels) - set(axes.rows) - set(axes.columns))
            raise ValueError(
                f"{plan.spec.name}: two cells at {place}; add {', '.join(left) or 'an axis'} to the table"
            )
        grid[place] = entry
    columns = _grouped(axes.sorted((column for _, column in grid), axes.columns), shape.groups)
    rows = []
    for labels in _grouped(axes.sorted((row for row, _ in grid), axes.rows), shape.groups):
        found = tuple(grid.get((labels, column)) for column in columns)
        extra = tuple(_extra(found, name) for name in shape.extra)
        rows.append(Row(labels, _group(labels, shape.groups), found, extra))
    return Table(
        name=plan.spec.name,
        title=plan.spec.title,
        description=plan.spec.description,
        profile=plan.profile or "paper",
        metric=shape.metric,
        selections=tuple(dict.fromkeys(selection_of(e.cell) for e in entries if e.cell.runs))
        or selections(plan),
        row_axes=axes.rows,
        column_axes=axes.columns,
        columns=tuple(columns),
        column_groups=tuple(_group(column, shape.groups) for column in columns),
        extra=tuple(shape.extra),
        rows=tuple(rows),
        footnotes=tuple(shape.footnotes),
    )


def _group(labels: tuple[str, ...], groups: Mapping[str, Sequence[str]]) -> str:
    return next((title for title, members in groups.items() if any(label in members for label in labels)), "")


def _grouped(places: list[tuple[str, ...]], groups: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Members of a group side by side, groups in the spec's order, the ungrouped first."""
    order = ["", *groups]
    return sorted(places, key=lambda labels: order.index(_group(labels, groups)))


def _extra(entries: tuple[Entry | None, ...], name: str) -> float | None:
    """The mean of a metric, a cost or a sign of the diffusion model over all finished runs of a row."""
    values = []
    for entry in entries:
        for row in entry.observations if entry else ():
            if row.outcome is not None:
                outcome = row.outcome
                found = outcome.metrics.get(name, outcome.cost.get(name, outcome.signs.get(name)))
                values += [] if found is None else [float(found)]
    return statistics.fmean(values) if values else None
