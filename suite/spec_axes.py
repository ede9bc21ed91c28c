"""The checks of a spec that concern its cells as a whole: labels, axes and where they stand in the table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from suite import resources
from suite.spec_check import Checker, Flat
from suite.vocabulary import did_you_mean, label_of, shown


def check_cases(checker: Checker, raw: Any) -> list[tuple[str, Flat]]:
    """The label and flat settings of each case; labels are unique. The frame tells of one without a label."""
    cases: list[tuple[str, Flat]] = []
    for number, one in enumerate(raw if isinstance(raw, list) else (), start=1):
        if not isinstance(one, Mapping):
            continue
        label = one.get("label")
        named = isinstance(label, str) and label != ""
        # One without a label still counts as a case, so that its axis is not told to be absent as well.
        key = f'case "{label}"' if named else f"case[{number}]"
        cases.append((str(label) if named else key, checker.settings(f"{key}.set", one.get("set"))))
    checker.repeated("case.label", [label for label, _ in cases])
    return cases


def check_axes(
    checker: Checker, table: Any, labels: tuple[str, ...], grid: Mapping[str, tuple[Any, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The axes of rows and columns. Every axis with more than one value stands in exactly one of them.

    Without ``rows``: the cases, or the first axis of the grid; without ``columns``: the axes that are left.
    """
    axes = (("case",) if labels else ()) + tuple(grid)
    given = table if isinstance(table, Mapping) else {}
    placed: dict[str, tuple[str, ...]] = {}
    for side in ("rows", "columns"):
        names = given.get(side)
        placed[side] = (
            tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()
        )
        for name in placed[side]:
            if name not in axes:
                known = f"the axes are {', '.join(axes)}" if axes else "this spec has no axes"
                checker.fault(
                    f"table.{side}",
                    f'"{name}" is not an axis of this spec; {known}{did_you_mean(name, axes)}',
                )
    checker.repeated("table.rows and table.columns", placed["rows"] + placed["columns"])
    if "rows" not in given:
        placed["rows"] = tuple(axis for axis in axes if axis not in placed["columns"])[
            : 1 if "columns" not in given else None
        ]
    if "columns" not in given:
        placed["columns"] = tuple(axis for axis in axes if axis not in placed["rows"])
    for axis in axes:
        many = len(labels) if axis == "case" else len(grid[axis])
        if many > 1 and axis not in placed["rows"] + placed["columns"]:
            key = "case" if axis == "case" else f"grid.{axis}"
            checker.fault(
                key,
                f"has {many} values but stands in neither table.rows nor table.columns, so cells would merge; "
                f'add "{axis}" to one',
            )
    return placed["rows"], placed["columns"]


def check_levels(
    checker: Checker, cases: list[tuple[str, Flat]], grid: Mapping[str, tuple[Any, ...]]
) -> None:
    """A case and the grid have one precedence, so no setting may be given by both."""
    for label, values in cases:
        for name in values.keys() & grid.keys():
            checker.fault(
                f'case "{label}".set.{name}', f"{name} is also an axis of the grid; keep one of the two"
            )


def check_groups(
    checker: Checker, table: Any, labels: tuple[str, ...], grid: Mapping[str, tuple[Any, ...]]
) -> None:
    """Groups and ``compare`` name labels that are there, and averages go over axes that are there."""
    given = table if isinstance(table, Mapping) else {}
    known = (*labels, *(label_of(value) for values in grid.values() for value in values))
    groups = given.get("groups")
    for title, members in groups.items() if isinstance(groups, Mapping) else ():
        for member in members if isinstance(members, list) else ():
            if member not in known:
                checker.fault(
                    f"table.groups.{title}",
                    f"{shown(member)} is no label of a row or column{did_you_mean(str(member), known)}",
                )
    reference = given.get("compare")
    if isinstance(reference, str) and reference not in labels:
        checker.fault(
            "table.compare", f"{shown(reference)} is no case of this spec{did_you_mean(reference, labels)}"
        )
    average = given.get("average")
    for axis in average if isinstance(average, list) else ():
        if axis not in (*grid, *(("case",) if labels else ())):
            checker.fault(
                "table.average", f"{shown(axis)} is not an axis of this spec{did_you_mean(str(axis), grid)}"
            )


def check_published(checker: Checker, table: Any) -> None:
    """The published tables that a spec names are there, each named once."""
    given = table.get("published") if isinstance(table, Mapping) else None
    names = [name for name in (given if isinstance(given, list) else [given]) if isinstance(name, str)]
    checker.repeated("table.published", names)
    known = _published_ids() if names else ()
    for name in names:
        if name not in known:
            choices = f"; there are {', '.join(known)}" if known else ""
            hint = f"{choices}{did_you_mean(name, known)}"
            checker.fault("table.published", f"no published table is called {shown(name)}{hint}")


@cache
def _published_ids() -> tuple[str, ...]:
    # Only the names are wanted here: parsing the whole file would take longer than checking a spec.
    text = (resources.root() / "reports" / "published.toml").read_text(encoding="utf-8")
    return tuple(re.findall(r'^id = "([^"]+)"', text, flags=re.MULTILINE))
