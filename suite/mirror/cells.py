"""What an experiment tracker should hold for a plan: a record for each cell and, under it, one for each
finished seed; of a search, a record for each trial.

Made from the store alone and knowing no tracker. The numbers of a cell are those of the rendered table, by
the same code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from suite.mirror import trials
from suite.mirror.records import FORMAT, NAME, NOTE, REPORT, CellRecord, SeedRecord
from suite.mirror.values import cut, milliseconds, numbers, params
from suite.registry import stands_in
from suite.search.told import Told
from suite.search.told import read as read_trials
from suite.settings import key_of
from suite.tables import text
from suite.tables.cells import METRICS, Entry, anchor, cell_key, entry_of
from suite.tables.escape import clean, markdown
from suite.tables.frame import Observation, collect

if TYPE_CHECKING:
    from suite.outcome import Outcome
    from suite.plan import Cell, Plan
    from suite.store import Store


def records(plan: Plan, store: Store) -> list[CellRecord]:
    """The plan's cells that have a result, each once, in the plan's order; then the trials that have none."""
    rows: dict[int, list[Observation]] = {}
    for row in collect(plan, store, assessments=()):
        rows.setdefault(row.cell, []).append(row)
    noted = read_trials(store.root, plan.spec.name, plan.profile)
    told = dict(noted.trials)
    found: dict[str, CellRecord] = {}
    places = _places(plan)
    for number, cell in enumerate(plan.cells):
        if not any(row.outcome for row in rows.get(number, ())):
            continue
        trial = told.pop(cell.labels.get("case", ""), None)
        cell_ = cell_key(cell)
        key = key_of({"cell": cell_, "trial": trial.number}) if trial else cell_
        if key not in found:
            entry = entry_of(plan, cell, rows[number])
            made = _Maker(plan, store, entry, cell_, key, trial)
            found[key] = made.record(f"{number + 1:04d}", places[cell_])
    empty = [trials.without_runs(plan, noted.study, one) for one in told.values() if one.mean is None]
    return [*found.values(), *empty]


def _places(plan: Plan) -> dict[str, list[str]]:
    """Where a cell stands in the table, by its key: once, or more often under several labels."""
    shape = plan.spec.table
    found: dict[str, list[str]] = {}
    for cell in plan.cells:
        parts = [
            f"{name} {' / '.join(labels)}"
            for name, axes in (("row", shape.rows), ("column", shape.columns))
            if (labels := [cell.labels[axis] for axis in axes if axis in cell.labels])
        ]
        if cell.runs:
            found.setdefault(cell_key(cell), []).append(", ".join(parts) or "the only cell")
    return found


@dataclass(frozen=True)
class _Maker:
    """Makes the record of one cell and those of its seeds."""

    plan: Plan
    store: Store
    entry: Entry
    cell: str
    key: str
    trial: Told | None

    def record(self, row: str, places: list[str]) -> CellRecord:
        cell, entry = self.entry.cell, self.entry
        done = [(one.run.seed, one.outcome) for one in entry.observations if one.outcome is not None]
        place = "; ".join(places)
        shared = self._shared() | {"suite.place": cut(clean(place))}
        name = _called(self.plan, cell, self.trial)
        seeds = tuple(self._seed(shared, row, name, seed, outcome) for seed, outcome in done)
        metrics = _statistics(entry, [outcome for seed, outcome in done if seed in entry.values])
        tags = shared | {
            "suite.kind": "trial" if self.trial else "cell",
            "suite.row": row,
            "suite.complete": f"{entry.n}/{len(entry.seeds)}",
            NAME: name,
            NOTE: self._note(place),
        }
        if self.trial is not None:
            tags |= trials.tags(self.trial)
            metrics |= trials.objective(self.trial)
        prints = [[one.key, one.finished, dict(one.metrics), dict(one.tags)] for one in seeds]
        return CellRecord(
            key=self.key,
            cell=self.cell,
            tags=tags,
            params=params(cell.settings) | {"method": cell.method, "dataset": cell.dataset},
            metrics=metrics,
            n=entry.n,
            start=min(seed.start for seed in seeds),
            end=max(seed.end for seed in seeds),
            fingerprint=key_of({"format": FORMAT, "seeds": prints, "tags": tags, "metrics": metrics}),
            seeds=seeds,
            failed=self.trial is not None and self.trial.end == "failed",
        )

    def _shared(self) -> dict[str, str]:
        """Tags that the cell and its seeds have."""
        cell = self.entry.cell
        tags = {
            "suite.cell_key": self.key,
            "suite.method": cell.method,
            "suite.dataset": cell.dataset,
            "suite.profile": self.plan.profile,
            "suite.selection": str(cell.settings.get("selection", "last")),
            "suite.report": f"index.html#{anchor(self.cell)}",
        }
        return tags | ({"suite.stand_in": "true"} if stands_in(cell.dataset) else {})

    def _note(self, place: str) -> str:
        """The description of the cell, in Markdown."""
        entry = self.entry
        metric = METRICS[self.plan.spec.table.metric][0]
        lines = [f"**{markdown(text.value(entry))}** {metric}, {entry.n} of {len(entry.seeds)} seeds"]
        if beside := text.beside(entry):
            lines[0] += f" ({markdown(beside)})"
        title = markdown(clean(self.plan.spec.title))
        lines.append(f"In [{title}]({REPORT}): {cut(markdown(clean(place)))}")
        if self.trial is not None:
            lines.append(trials.note(self.trial))
        return "\n\n".join(lines)

    def _seed(
        self, shared: Mapping[str, str], row: str, name: str, seed: int, outcome: Outcome
    ) -> SeedRecord:
        environment = outcome.environment
        told = {**outcome.metrics, **{f"cost.{name}": value for name, value in outcome.cost.items()}}
        told |= {f"images.{name}": count for name, count in outcome.counts.items()}
        if outcome.epoch is not None:
            told["epoch"] = outcome.epoch
        folder = self.store.eval_folder(outcome.train_key, outcome.eval_key).relative_to(self.store.root)
        tags = {
            **shared,
            "suite.kind": "seed",
            "suite.row": f"{row}.{seed}",
            "suite.eval_key": outcome.eval_key,
            "suite.train_key": outcome.train_key,
            "suite.seed": str(seed),
            "suite.folder": folder.as_posix(),
            "suite.data_digest": str(outcome.data.get("digest", "")),
            "suite.finished": outcome.finished,
            **{
                f"suite.{key}": str(environment[key])
                for key in ("revision", "device", "torch")
                if key in environment
            },
            NAME: f"{name}, seed {seed}",
            NOTE: f"Seed {seed} of {markdown(name)}. Its folder in the store: `{folder.as_posix()}`",
        }
        end = milliseconds(outcome.finished)
        return SeedRecord(
            key=outcome.eval_key,
            tags=tags,
            params=params(outcome.settings) | {"seed": str(seed)},
            metrics=numbers(told),
            start=end - round(1000 * outcome.seconds),
            end=end,
            finished=outcome.finished,
            folder=self.store.run_folder(outcome.train_key),
        )


def _called(plan: Plan, cell: Cell, trial: Told | None) -> str:
    """How a cell is called: by its labels, and what sets its plan apart from others of the same spec."""
    name = clean(", ".join(cell.labels.values()) or plan.spec.name)
    if trial is not None and trial.best:
        name = f"best: {name}"
    notes = [plan.profile] * (plan.profile != "paper") + ["stand-in"] * stands_in(cell.dataset)
    return f"{name} ({', '.join(notes)})" if notes else name


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
