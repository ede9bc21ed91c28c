"""Labels and axes: every cell of a table has one place."""

from __future__ import annotations

from typing import Any

import pytest

from suite.spec_axes import check_axes, check_cases, check_groups, check_levels, check_published
from suite.spec_check import Checker

GRID = {"dataset": ("phantom", "breast_mnist"), "dissolve.steps": ([30, 130],)}


@pytest.mark.parametrize(
    ("table", "rows", "columns"),
    [
        ({}, ("case",), ("dataset", "dissolve.steps")),
        (None, ("case",), ("dataset", "dissolve.steps")),
        ({"rows": ["dataset"]}, ("dataset",), ("case", "dissolve.steps")),
        ({"columns": ["dataset"]}, ("case", "dissolve.steps"), ("dataset",)),
        ({"rows": ["case", "dataset"], "columns": []}, ("case", "dataset"), ()),
    ],
)
def test_axes_that_are_not_placed_find_their_place(
    table: Any, rows: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    checker = Checker("x.toml")
    assert check_axes(checker, table, ("A", "B"), GRID) == (rows, columns)
    assert not checker.lines


def test_an_axis_with_one_value_needs_no_place() -> None:
    checker = Checker("x.toml")
    check_axes(checker, {"rows": ["dataset"], "columns": []}, ("A",), GRID)
    assert not checker.lines
    check_axes(checker, {"rows": ["dissolve.steps"], "columns": []}, ("A",), GRID)
    assert [line.partition(" has ")[0] for line in checker.lines] == ["x.toml: grid.dataset:"]


def test_cases_keep_their_order_and_flat_settings() -> None:
    checker = Checker("x.toml")
    raw = [{"label": "B", "set": {"train": {"batch": 4}}}, {"label": "A"}]
    assert check_cases(checker, raw) == [("B", {"train.batch": 4}), ("A", {})]
    assert check_cases(checker, None) == []


def test_groups_and_averages_name_what_is_there() -> None:
    checker = Checker("x.toml")
    table = {"groups": {"g": ["A", "phantom", "30-130", "C"]}, "average": ["dataset", "shift"]}
    check_groups(checker, table, ("A", "B"), GRID)
    assert len(checker.lines) == 2
    assert 'table.groups.g: "C" is no label' in checker.lines[0]
    assert 'table.average: "shift" is not an axis' in checker.lines[1]


def test_a_case_may_not_set_what_the_grid_varies() -> None:
    checker = Checker("x.toml")
    check_levels(checker, [("A", {"dataset": "phantom", "shift": "perm"})], GRID)
    assert checker.lines == [
        'x.toml: case "A".set.dataset: dataset is also an axis of the grid; keep one of the two'
    ]


def test_a_published_table_is_one_that_ships() -> None:
    checker = Checker("x.toml")
    check_published(checker, {"published": "table12"})
    check_published(checker, {})
    assert not checker.lines
    check_published(checker, {"published": "table99"})
    assert checker.lines[0].startswith(
        'x.toml: table.published: no published table is called "table99"; there are '
    )
