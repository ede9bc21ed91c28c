"""What a tracker says of a trial of a search: its state, its objective, and whether it is the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from suite.mirror.records import FORMAT, NAME, NOTE, CellRecord
from suite.mirror.values import cut, milliseconds, params
from suite.settings import key_of
from suite.tables.escape import clean, markdown

if TYPE_CHECKING:
    from suite.plan import Plan
    from suite.search.told import Told


def tags(trial: Told) -> dict[str, str]:
    """Its number, how it ended, and whether it is the best so far."""
    found = {"suite.trial": str(trial.number), "suite.trial_state": trial.end}
    found |= {"suite.reason": cut(clean(trial.reason))} if trial.reason else {}
    # Said of every trial, so that one which is the best no longer is marked so no longer.
    return found | {"suite.best": "true" if trial.best else "false"}


def objective(trial: Told) -> dict[str, float]:
    """What the search maximises: the mean validation AUROC of a complete trial."""
    return {"objective": trial.mean} if trial.end == "complete" and trial.mean is not None else {}


def note(trial: Told) -> str:
    """The same in words, as Markdown."""
    best = ", the best so far" if trial.best else ""
    reason = f": {cut(markdown(clean(trial.reason)))}" if trial.reason else ""
    return f"Trial {trial.number}: {trial.end}{best}{reason}"


def without_runs(plan: Plan, study: str, trial: Told) -> CellRecord:
    """The record of a trial of which no run was finished."""
    key = key_of({"study": study, "trial": trial.number})
    name = f"{clean(trial.label)} ({plan.profile})" if plan.profile != "paper" else clean(trial.label)
    told = {
        "suite.cell_key": key,
        "suite.profile": plan.profile,
        "suite.kind": "trial",
        "suite.row": f"9{trial.number:03d}",
        NAME: name,
        NOTE: note(trial),
        **tags(trial),
    }
    end = milliseconds(trial.finished)
    return CellRecord(
        key=key,
        cell=key,
        tags=told,
        params=params(trial.settings),
        metrics={},
        n=0,
        start=end,
        end=end,
        fingerprint=key_of({"format": FORMAT, "tags": told}),
        seeds=(),
        failed=True,
    )
