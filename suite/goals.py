"""Goals: the artefacts that a spec shows for themselves, instead of runs.

A figure's cells are strips of dissolved images (Figures 1, 4, 5, 7 to 11) or target matrices (3, 6), a cost
table's cells (Tables 6, 14) are counts and measurements. Which artefact shows a cell is the method's to say,
in its ``offers``. They are planned, claimed, made once and kept like any artefact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suite import registry
from suite.registry import Need
from suite.settings import nest

if TYPE_CHECKING:
    from suite.plan import Cell, Plan
    from suite.resolve import Acting
    from suite.spec import Spec
    from suite.store import Store

COSTS: Mapping[str, str] = {"parameters": "cost", "macs": "cost", "peak_memory_mb": "memory"}
"""Metrics of a cost table, and the kind of artefact that holds them."""
SHOWN: Mapping[str, str] = {"dissolving": "strip", "kernels": "strip", "masks": "mask"}
"""Kinds of figures that are made of artefacts, and of which; a figure of another kind is made of runs."""
COLOURED = 3
"""Channels of a data set that does not tell before it is packed."""
NOT_TRAINING = ("data.", "score.", "selection", "score_on")
"""How the settings of a cell begin that are none of its method's training."""
GoalState = Literal["done", "to run", "running", "failed", "interrupted", "blocked", "stale"]


class CellFaults(Exception):  # noqa: N818 - a collection
    """The settings of a cell do not go together; (key, message) each."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {message}" for key, message in faults))
        self.faults = faults


def presumed(spec: Spec) -> dict[str, Any]:
    """Settings below all others: target matrices are drawn without data, so no set has to be named."""
    return {"dataset": "phantom"} if spec.figure is not None and spec.figure.kind == "masks" else {}


def costs_of(spec: Spec) -> tuple[str, ...]:
    """The costs that a table shows, in its order; none where it shows scores."""
    shape = spec.table
    return tuple(dict.fromkeys((shape.metric, *shape.extra))) if shape.metric in COSTS else ()


def goals_of(spec: Spec, acting: Acting) -> tuple[Need, ...]:
    """The artefacts that show a cell, none for a cell of runs. CellFaults when its method offers none."""
    asked: list[tuple[str, str, dict[str, Any]]] = []
    if spec.figure is not None and spec.figure.kind in SHOWN:
        asked.append(("figure.kind", SHOWN[spec.figure.kind], spec.figure.model_dump(mode="json")))
    else:
        channels = registry.dataset(acting.named).channels or COLOURED
        kinds = dict.fromkeys(COSTS[name] for name in costs_of(spec) if name in COSTS)
        asked += [("table.metric", kind, {"channels": channels}) for kind in kinds]
    return tuple(_offered(key, kind, options, acting) for key, kind, options in asked)


def _offered(key: str, kind: str, options: Mapping[str, Any], acting: Acting) -> Need:
    offer = acting.method.offers.get(kind)
    if offer is None:
        able = [name for name, info in registry.methods().items() if kind in info.offers]
        message = f"{acting.method.name} has no {kind} to show; methods that have: {', '.join(able)}"
        raise CellFaults([(key, message)])
    try:
        made: Need = registry.load(offer)(acting.training, acting.data, options)
        return made
    except ValueError as error:
        raise CellFaults([(key, str(error))]) from None


@dataclass(frozen=True)
class Goal:
    """An artefact that is shown, its state, and the reason in a few words."""

    need: Need
    state: GoalState
    reason: str


def assess_goals(
    plan: Plan, store: Store, *, data_root: Path | None = None, force: bool = False
) -> list[Goal]:
    """The state of each goal of a plan, in the plan's order, as :func:`suite.assess.assess` does for runs."""
    from suite.assess import DataAtHand

    data = DataAtHand(store.root, data_root)
    cells = {need.key: cell for cell in reversed(plan.cells) for need in cell.goals}
    return [
        Goal(need, *_state(need, store, data, partial(_absent, cells[need.key]), force))
        for need in plan.goals
    ]


def _absent(cell: Cell) -> str:
    """What a cell's method has to be given before it can show anything (an extra, weights); empty when
    nothing.
    """
    own = {name: one for name, one in cell.settings.items() if not name.startswith(NOT_TRAINING)}
    method = registry.method(cell.method)
    return method.absent(method.parse(nest(own)))


def _state(
    need: Need, store: Store, data: Any, absent: Callable[[], str], force: bool
) -> tuple[GoalState, str]:
    state = store.artefact_state(need)
    if state.name == "done" and not force:
        now = data.digest_for(need)
        then = (store.artefact(need) or {}).get("data")
        return ("stale", "data digest changed") if now and now != then else ("done", "done")
    if state.name == "running":
        return "running", f"running {state.reason}".rstrip()
    if missing := data.missing_for([need]) or absent():
        return "blocked", f"missing: {missing}"
    if state.name == "failed" and not force:
        return "failed", f"failed before: {state.reason}"
    if state.name == "interrupted":
        return "interrupted", f"interrupted: {state.reason}"
    return "to run", "forced" if state.name == "done" else "new"
