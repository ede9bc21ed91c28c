"""Where cells stand: axes, order, groups, averages, extra columns, selections."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric import fill, finish, plan_of

from suite.store import Store
from suite.tables.table import Table, build, selections

CLASSES = """
title = "One class normal"
seeds = [0, 1]
[table]
rows = ["case"]
columns = ["dataset", "data.normal_class"]
average = ["data.normal_class"]
extra = ["parameters", "fit_seconds"]
groups = { "Earlier work" = ["CSI"], "Ours" = ["DIA"] }
[[case]]
label = "DIA"
set = { method = "dia" }
[[case]]
label = "CSI"
set = { method = "csi" }
[grid]
dataset = ["phantom", "phantom_coarse"]
"data.normal_class" = [[0], [1]]
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def made(tmp_path: Path, store: Store, text: str) -> Table:
    return build(plan_of(tmp_path, text), store, assessments=())


def test_rows_and_columns_follow_the_spec(tmp_path: Path, store: Store) -> None:
    table = build(plan_of(tmp_path), store, assessments=())
    assert (table.row_axes, table.column_axes) == (("dataset",), ("case",))
    assert table.columns == (("CSI",), ("CSI-1.5",), ("DIA",))
    assert [row.labels for row in table.rows] == [("pneumonia_mnist",), ("breast_mnist",)]
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries, strict=True):
            assert entry is not None
            assert (entry.cell.labels["dataset"],) == row.labels
            assert (entry.cell.labels["case"],) == column


def test_averages_stand_last_and_are_taken_seed_by_seed(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, CLASSES)
    for cell in plan.cells:
        if cell.labels["case"] == "CSI" and cell.dataset == "phantom":
            low = {(0,): (0.5, 0.7), (1,): (0.9, 0.7)}[tuple(cell.settings["data.normal_class"])]
            for run, auroc in zip(cell.runs, low, strict=True):
                finish(store, run, auroc)
    table = build(plan, store, assessments=())
    assert [column[1] for column in table.columns][2::3] == ["average", "average"]
    csi = next(row for row in table.rows if row.labels == ("CSI",))
    average = csi.entries[2]
    assert average is not None
    # Both seeds average to 0.7, so the average has no spread although every class has one.
    assert (average.mean, average.std) == (pytest.approx(0.7), pytest.approx(0.0))
    assert csi.entries[5] is not None
    assert csi.entries[5].mean is None


def test_an_average_over_an_unfinished_cell_says_so(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, CLASSES)
    for cell in plan.cells:
        if cell.labels["case"] == "CSI" and cell.dataset == "phantom":
            done = cell.runs if cell.settings["data.normal_class"] == [0] else cell.runs[:1]
            for run in done:
                finish(store, run, 0.8)
    table = build(plan, store, assessments=())
    average = next(row for row in table.rows if row.labels == ("CSI",)).entries[2]
    assert average is not None
    assert (average.n, len(average.seeds), average.complete) == (1, 2, False)


def test_groups_are_side_by_side_in_the_order_of_the_spec(tmp_path: Path, store: Store) -> None:
    table = made(tmp_path, store, CLASSES)
    assert [(row.group, row.labels) for row in table.rows] == [("Earlier work", ("CSI",)), ("Ours", ("DIA",))]


def test_extra_columns_are_means_of_outcomes(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, CLASSES)
    runs = [run for cell in plan.cells if cell.labels["case"] == "DIA" for run in cell.runs]
    finish(store, runs[0], 0.8, fit_seconds=10.0)
    finish(store, runs[1], 0.8, fit_seconds=30.0)
    table = build(plan, store, assessments=())
    assert [row.extra for row in table.rows] == [(None, None), (11_200_000, 20.0)]


def test_two_cells_in_one_place_are_refused(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    doubled = type(plan)(plan.spec, plan.profile, (*plan.cells, plan.cells[0]))
    with pytest.raises(ValueError, match="two cells at"):
        build(doubled, store, assessments=())


def test_selection_keeps_its_cells(tmp_path: Path, store: Store) -> None:
    text = """
title = "Checkpoints"
seeds = [0]
[table]
rows = ["dataset"]
columns = ["selection"]
[settings]
method = "csi"
[grid]
dataset = ["phantom"]
selection = ["last", "best_test"]
"""
    plan = plan_of(tmp_path, text)
    assert selections(plan) == ("last", "best_test")
    assert len(build(plan, store, assessments=()).columns) == 2
    only = build(plan, store, selection="best_test", assessments=())
    assert only.columns == (("best_test",),)
    assert any("oracle" in sentence for sentence in only.caption)


def test_published_values_stand_beside_ours(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI-1.5 breast_mnist": (0.6,)})
    entry = build(plan, store, assessments=()).rows[1].entries[1]
    assert entry is not None
    assert entry.published is not None
    assert entry.published.mean == 0.564
    assert entry.difference == pytest.approx(0.036)
