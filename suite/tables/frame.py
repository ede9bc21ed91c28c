"""Which run stands behind which cell, and what came of it: the rows from which every table is made.

Only the store is read. :func:`collect` gives typed rows for the tables, :func:`frame` the same as a tidy
pandas frame for a reader's own analysis: one row for every run of every cell, done or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.plan import Cell, Run, assess

if TYPE_CHECKING:
    import pandas as pd

    from suite.outcome import Outcome
    from suite.plan import Assessment, Plan
    from suite.store import Store


@dataclass(frozen=True)
class Observation:
    """A run of a cell. ``state`` and ``reason`` as :func:`suite.plan.assess` tells them; ``outcome`` None if
    not done.
    """

    cell: int
    run: Run
    state: str
    reason: str
    outcome: Outcome | None

    @property
    def stale(self) -> bool:
        """It was computed, but by another source or on other data than those at hand now."""
        return self.outcome is not None and self.state == "stale"

    @property
    def failed(self) -> bool:
        return self.outcome is None and self.state == "failed"


def collect(
    plan: Plan,
    store: Store,
    *,
    data_root: Path | None = None,
    assessments: Sequence[Assessment] | None = None,
) -> list[Observation]:
    """The runs of all cells in the plan's order; a run that serves several cells comes once for each."""
    judged = assess(plan, store, data_root=data_root) if assessments is None else assessments
    verdicts = {one.run.eval_key: one for one in judged}
    rows = []
    for number, cell in enumerate(plan.cells):
        for run in cell.runs:
            verdict = verdicts.get(run.eval_key)
            state, reason = (str(verdict.state), verdict.reason) if verdict else ("to run", "new")
            outcome = verdict.outcome if verdict else None
            # It may have been finished since, or its verdict told it anew.
            outcome = outcome or store.outcome(run.train_key, run.eval_key)
            rows.append(Observation(number, run, state, reason, outcome))
    return rows


def frame(
    plan: Plan,
    store: Store,
    *,
    data_root: Path | None = None,
    assessments: Sequence[Assessment] | None = None,
) -> pd.DataFrame:
    """The same as a pandas frame; metrics, counts and costs of runs that are not done are missing values."""
    import pandas as pd

    rows = collect(plan, store, data_root=data_root, assessments=assessments)
    # What the run was asked for, named as a spec names it, so that a frame of several specs can be filtered.
    asked = [
        {f"settings.{name}": _flat(value) for name, value in cell.settings.items()} for cell in plan.cells
    ]
    return pd.DataFrame([_record(plan, plan.cells[row.cell], row) | asked[row.cell] for row in rows])


def _record(plan: Plan, cell: Cell, row: Observation) -> dict[str, Any]:
    record: dict[str, Any] = {"spec": plan.spec.name, "profile": plan.profile, "cell": row.cell}
    record |= {f"label.{axis}": label for axis, label in cell.labels.items()}
    record |= {"method": row.run.method, "dataset": row.run.dataset, "seed": row.run.seed}
    record |= {"state": row.state, "reason": row.reason, "stale": row.stale}
    record |= {"selection": row.run.evaluation.get("selection", "last")}
    if (outcome := row.outcome) is not None:
        record |= dict(outcome.metrics) | {f"images.{name}": count for name, count in outcome.counts.items()}
        record |= {f"data.{name}": outcome.data.get(name) for name in ("digest", "stand_in")}
        record |= {
            name: outcome.environment.get(name)
            for name in ("device", "torch", "threads", "revision", "dirty")
        }
        record |= dict(outcome.cost)
        record |= {"epoch": outcome.epoch, "finished": outcome.finished}
    return record | {"train_key": row.run.train_key, "eval_key": row.run.eval_key}


def _flat(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value
