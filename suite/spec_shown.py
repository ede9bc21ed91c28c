"""The checks of a spec that is no table of scores: figures, tables of costs, searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite import registry
from suite.goals import COSTS
from suite.search.space import Choice, Search
from suite.spec_check import Checker
from suite.vocabulary import did_you_mean, shown

TAKES: Mapping[str, tuple[str, ...]] = {
    "dissolving": ("steps", "images", "pages"),
    "kernels": ("kernels", "images", "pages"),
    "masks": ("shifts", "batch", "pages"),
    "curves": ("along", "panels", "pages"),
}
"""Kind of a figure -> the keys that act on it."""


def check_figure(
    checker: Checker, raw: Any, labels: tuple[str, ...], grid: Mapping[str, tuple[Any, ...]]
) -> None:
    """A figure has no key that cannot act on its kind, and its pages are an axis."""
    given = raw if isinstance(raw, Mapping) else {}
    kind = given.get("kind")
    taken = TAKES.get(kind) if isinstance(kind, str) else None
    known = {name for names in TAKES.values() for name in names}
    for name in given if taken is not None else ():
        if name in known and name not in (taken or ()):
            takes = ", ".join(taken or ()) or "no further key"
            checker.fault(f"figure.{name}", f"does nothing for the kind {shown(kind)}, which takes {takes}")
    for name in ("steps", "kernels"):
        if isinstance(given.get(name), list):
            checker.repeated(f"figure.{name}", given[name])
            if not given[name]:
                checker.fault(f"figure.{name}", "is empty")
    axes = (*(("case",) if labels else ()), *grid)
    for name in ("pages", "panels", "along"):
        axis = given.get(name)
        if isinstance(axis, str) and axis not in axes:
            checker.fault(
                f"figure.{name}", f"{shown(axis)} is not an axis of this spec{did_you_mean(axis, axes)}"
            )
    if kind == "curves":
        _check_along(checker, given.get("along"), grid)


def _check_along(checker: Checker, along: Any, grid: Mapping[str, tuple[Any, ...]]) -> None:
    """Curves go along an axis of numbers."""
    if not isinstance(along, str):
        checker.fault(
            "figure.along", "is not given; curves go along an axis of [grid] whose values are numbers"
        )
    elif not all(isinstance(value, int | float) for value in grid.get(along, ())):
        checker.fault("figure.along", f"{shown(along)} is no axis of numbers")


def check_costs(checker: Checker, raw: Any) -> None:
    """A table of costs shows nothing else, and only such a table shows what no run measures."""
    given = raw if isinstance(raw, Mapping) else {}
    metric, extra = given.get("metric", "auroc"), given.get("extra")
    for name in extra if isinstance(extra, list) else ():
        if metric in COSTS and name not in COSTS:
            checker.fault(
                "table.extra", f"{shown(name)} is no cost ({', '.join(COSTS)}), and the metric is one"
            )
        if metric not in COSTS and name == "macs":
            checker.fault("table.extra", 'runs do not count "macs": make it the metric of a table of its own')


def check_search(checker: Checker, search: Search, settings: dict[str, Any], raw: Mapping[str, Any]) -> None:
    """A search is scored on validation images and on nothing else, and says where they come from. Puts
    ``score_on`` into the settings.
    """
    table = raw.get("table")
    selection = table.get("selection", "last") if isinstance(table, Mapping) else "last"
    for key, value in (("settings.score_on", settings.get("score_on")), ("table.selection", selection)):
        if value in ("test", "best_test", "best_val"):
            checker.fault(
                key, f"is {shown(value)}: a search is scored on validation images, at the last weights"
            )
    settings["score_on"] = "val"
    for name in sorted({"score_on", "selection", "seed", "profile"} & search.space.keys()):
        checker.fault(f"search.space.{name}", "is not to be searched")
    chosen = search.space.get("dataset")
    names = chosen.values if isinstance(chosen, Choice) else (settings.get("dataset"),)
    for name in names:
        try:
            own = registry.dataset(str(name)).validation
        except (registry.UnknownNameError, ValueError):
            continue
        if own != (search.section.validation == "own"):
            has = (
                "has a validation split of its own"
                if own
                else "has no validation split: one is cut from training"
            )
            checker.fault("search.validation", f'must be "{"own" if own else "cut"}": {name} {has}')
