"""Figures of a plan, drawn from what the store holds: PNG for a page, PDF for print (Figures 1, 3 to 11).

Nothing is computed here and torch is not imported. What is not made yet, or whose data are absent, is said in
its panel and the rest is drawn; a figure of which nothing is there yet has no picture but a line that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suite.tables.figures import curves, masks, strips
from suite.tables.figures.draw import Figure

if TYPE_CHECKING:
    from suite.plan import Cell, Plan
    from suite.store import Store

Drawer = Callable[["Plan", Sequence["Cell"], "Store", Mapping[str, str]], Figure]
_DRAWERS: Mapping[str, Drawer] = {
    "dissolving": strips.draw,
    "kernels": strips.draw,
    "masks": masks.draw,
    "curves": curves.draw,
}


def figures(plan: Plan, store: Store, *, data_root: Path | None = None) -> list[Figure]:
    """The plan's figures: none for a spec without ``[figure]``, else one, or one a page."""
    shape = plan.spec.figure
    if shape is None or not plan.cells:
        return []
    why = _missing(plan, store, data_root)
    draw = _DRAWERS[shape.kind]
    if shape.pages is None:
        return [draw(plan, plan.cells, store, why)]
    pages: dict[str, list[Cell]] = {}
    for cell in plan.cells:
        pages.setdefault(cell.labels[shape.pages], []).append(cell)
    return [draw(plan, cells, store, why).page(label) for label, cells in pages.items()]


def _missing(plan: Plan, store: Store, data_root: Path | None) -> dict[str, str]:
    """Why an artefact is not there, in a few words, by its key."""
    from suite.goals import assess_goals

    judged = assess_goals(plan, store, data_root=data_root)
    absent = (goal for goal in judged if goal.state not in ("done", "stale"))
    return {goal.need.key: "not made yet" if goal.state == "to run" else goal.reason for goal in absent}


__all__ = ["Figure", "figures"]
