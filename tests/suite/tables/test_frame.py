"""The tidy frame: one row for each run of each cell."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from fabric import fill, judged, plan_of

from suite.store import Store
from suite.tables.frame import collect, frame


def test_one_row_a_run_done_or_not(tmp_path: Path) -> None:
    store, plan = Store(tmp_path / "runs"), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    found = frame(plan, store, assessments=list(judged(plan, store)))
    assert len(found) == 18
    dia = found[(found["label.case"] == "DIA") & (found["dataset"] == "pneumonia_mnist")]
    assert list(dia["seed"]) == [0, 1, 2]
    assert list(dia["state"]) == ["done", "done", "to run"]
    assert list(dia["auroc"].iloc[:2]) == [0.90, 0.92]
    assert pd.isna(dia["auroc"].iloc[2])
    assert set(found["settings.train.batch"]) == {32, 48}
    assert set(found["profile"]) == {"paper"}
    assert dia["settings.dissolve.steps"].iloc[0] == "30 130"


def test_a_run_of_two_cells_comes_twice(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    doubled = type(plan)(plan.spec, plan.profile, (plan.cells[0], plan.cells[0]))
    rows = collect(doubled, Store(tmp_path / "runs"), assessments=())
    assert [(row.cell, row.run.seed) for row in rows] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
