"""A table of costs (Tables 6 and 14) as an ordinary table, whose cells are counts and measurements instead of
scores: one column for each cost, beside the published number and the difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.goals import COSTS, assess_goals, costs_of
from suite.tables import published as literature
from suite.tables.cells import METRICS, Entry
from suite.tables.table import Row, Table
from suite.tables.verdict import Tally, tally

if TYPE_CHECKING:
    from suite.plan import Cell, Plan
    from suite.registry import Need
    from suite.store import Store

AXIS = "cost"
SCALE: Mapping[str, float] = {"parameters": 1e6, "macs": 1e9, "peak_memory_mb": 1024}
"""What a cost is divided by to be in the unit that its name in METRICS says."""
PRINTED: Mapping[str, str] = {"parameters": "parameters_m", "macs": "macs_g", "peak_memory_mb": "memory_gb"}
"""Where ``reports/published.toml`` has the cost, in the same unit."""


def build(plan: Plan, store: Store, *, data_root: Path | None = None) -> Table:
    """The table of a plan of costs."""
    shape, costs = plan.spec.table, costs_of(plan.spec)
    entries = {
        (cell_number, cost): _entry(plan, cell, cost, store)
        for cell_number, cell in enumerate(plan.cells)
        for cost in costs
    }
    rows: dict[tuple[str, ...], dict[tuple[str, ...], Entry]] = {}
    columns: dict[tuple[str, ...], None] = {}
    for (number, cost), entry in entries.items():
        labels = plan.cells[number].labels
        column = (*(labels[axis] for axis in shape.columns), METRICS[cost][0])
        columns[column] = None
        rows.setdefault(tuple(labels[axis] for axis in shape.rows), {})[column] = entry
    return Table(
        name=plan.spec.name,
        title=plan.spec.title,
        description=plan.spec.description,
        profile=plan.profile,
        metric=shape.metric,
        selections=(),
        row_axes=tuple(shape.rows),
        column_axes=(*shape.columns, AXIS),
        columns=tuple(columns),
        column_groups=("",) * len(columns),
        extra=(),
        rows=tuple(
            Row(labels, "", tuple(found.get(column) for column in columns)) for labels, found in rows.items()
        ),
        verdicts=_tally(entries.values(), plan),
        caption=tuple(_caption(plan, store, costs)),
        missing=_missing(plan, store, data_root),
        footnotes=tuple(shape.footnotes),
    )


def csv(table: Table) -> str:
    """The numbers as tidy CSV: a line for each cell and cost, in the units of the table."""
    import pandas as pd

    records = [
        {
            **entry.cell.labels,
            "value": entry.mean,
            "published": entry.published.mean if entry.published else None,
        }
        for entry in table.entries
    ]
    return pd.DataFrame(records).to_csv(index=False)


def _entry(plan: Plan, cell: Cell, cost: str, store: Store) -> Entry:
    facts = _facts(cell, cost, store)
    value = facts.get(cost)
    bare = Entry(
        cell=replace(cell, labels={**cell.labels, AXIS: METRICS[cost][0]}),
        seeds=(0,),
        values={} if value is None else {0: value / SCALE[cost]},
        observations=(),
        compared=(cost,),
    )
    for name in plan.spec.table.published:
        source = literature.table(name)
        found = source.find(cell.method, cell.dataset, cell.settings)
        if found is not None and (printed := found.costs.get(PRINTED[cost])) is not None:
            within = plan.spec.table.tolerance.absolute * printed
            return replace(bare, published=replace(found, mean=printed), source=source.source, reach=within)
    return bare


def _tally(entries: Iterable[Entry], plan: Plan) -> Tally:
    """The verdicts; of a cost the tolerance is a share of the published number, for want of a scale."""
    counted = tally(entries, plan.spec.table.tolerance)
    departures = () if plan.profile == "paper" else (f"profile {plan.profile}",)
    share = f"within {plan.spec.table.tolerance.absolute:.0%} of the published number"
    return replace(counted, rule=share, departures=departures if _is_measured(plan) else ())


def _is_measured(plan: Plan) -> bool:
    return any(COSTS[cost] == "memory" for cost in costs_of(plan.spec))


def _need(cell: Cell, cost: str) -> Need:
    return next(need for need in cell.goals if need.kind == COSTS[cost])


def _facts(cell: Cell, cost: str, store: Store) -> dict[str, Any]:
    done = store.artefact(_need(cell, cost)) or {}
    return dict(done.get("facts", {}))


def _caption(plan: Plan, store: Store, costs: Iterable[str]) -> Iterable[str]:
    names = ", ".join(METRICS[cost][0] for cost in costs)
    if not _is_measured(plan):
        yield (
            f"{names}: counted, not measured, of one image once through the encoder without its heads and "
            "through the diffusion model's UNet, where one dissolves."
        )
        return
    yield f"{names} of training steps, measured in a process of its own for each cell."
    found = [done for cell in plan.cells for need in cell.goals if (done := store.artefact(need))]
    where = dict.fromkeys(_measured(done) for done in found)
    yield f"Measured: {'; '.join(where)}." if where else "Nothing has been measured yet."
    if rest := [done["facts"]["rest_mb"] for done in found if "rest_mb" in done["facts"]]:
        yield f"At most {max(rest) / 1024:.2f} GiB of it were there before the first step."
    sizes = dict.fromkeys(str(cell.settings.get("data.size")) for cell in plan.cells)
    batches = dict.fromkeys(str(cell.settings.get("train.batch")) for cell in plan.cells)
    yield f"Images of {', '.join(sizes)} px in batches of {', '.join(batches)}; profile {plan.profile}."


def _measured(done: Mapping[str, Any]) -> str:
    environment = done.get("environment", {})
    machine = f"on {environment.get('device')} (torch {environment.get('torch')})"
    if done.get("facts", {}).get("measure") == "cuda":
        return f"what torch's allocator had at most in use {machine}"
    return f"the process's peak of resident memory {machine}, torch and its libraries included"


def _missing(plan: Plan, store: Store, data_root: Path | None) -> tuple[tuple[str, tuple[str, ...]], ...]:
    reasons: dict[str, dict[str, None]] = {}
    absent = {
        goal.need.key: "not measured yet" if goal.state == "to run" else goal.reason
        for goal in assess_goals(plan, store, data_root=data_root)
        if goal.state not in ("done", "stale")
    }
    for cell in plan.cells:
        for need in cell.goals:
            if need.key in absent:
                name = ", ".join(cell.labels.values()) or cell.method
                reasons.setdefault(absent[need.key], {})[name] = None
    return tuple((reason, tuple(cells)) for reason, cells in reasons.items())
