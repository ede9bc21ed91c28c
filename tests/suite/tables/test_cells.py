"""Means, spreads, marks, ranks: what a cell claims and what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric import BATCHES, DIGEST, fill, finish, judged, plan_of

from suite.plan import Plan
from suite.store import Store
from suite.tables.cells import FAILED, GENERATED, MIXED, STALE, Entry
from suite.tables.table import build

CONTROLS = """
title = "Controls"
seeds = [0, 1, 2]
[table]
rows = ["case"]
columns = ["dataset"]
metric = "{metric}"
[[case]]
label = "A"
set = {{ method = "csi" }}
[[case]]
label = "B"
set = {{ method = "csi", "train.batch" = 64 }}
[[case]]
label = "C"
set = {{ method = "csi", "train.batch" = 16 }}
[grid]
dataset = ["phantom", "phantom_coarse"]
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def entries(plan: Plan, store: Store, **told: tuple[str, str]) -> dict[str, Entry]:
    verdicts = {key.removeprefix("key_"): verdict for key, verdict in told.items()}
    table = build(plan, store, assessments=list(judged(plan, store, verdicts)))
    return {" ".join(entry.cell.labels.values()): entry for entry in table.entries}


def test_mean_and_sample_std_over_the_seeds_of_the_spec(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.91, 0.95), "CSI breast_mnist": (0.6, 0.7)})
    found = entries(plan, store)
    dia = found["DIA pneumonia_mnist"]
    assert (dia.n, dia.complete, dia.mean) == (3, True, pytest.approx(0.92))
    assert dia.std == pytest.approx(0.0264575)
    assert dia.difference == pytest.approx(0.92 - 0.903)
    half = found["CSI breast_mnist"]
    assert (half.n, half.complete, half.best, half.rank) == (2, False, False, None)
    assert (found["DIA breast_mnist"].mean, found["DIA breast_mnist"].std) == (None, None)


def test_a_stand_in_is_marked_and_neither_compared_nor_ranked(tmp_path: Path, store: Store) -> None:
    text = BATCHES.replace('columns = ["case"]', 'columns = ["case"]\naverage = ["dataset"]')
    plan = plan_of(tmp_path, text, stand_ins=["breast_mnist", "kvasir_polyp"])
    assert plan.stand_ins == {"breast_mnist"}
    scores = (0.90, 0.91, 0.95)
    fill(
        store,
        plan,
        {f"{case} {name}_mnist": scores for case in ("DIA", "CSI") for name in ("pneumonia", "breast")},
    )
    found = entries(plan, store)
    generated, real, both = (found[f"DIA {name}"] for name in ("breast_mnist", "pneumonia_mnist", "average"))
    assert generated.marks == both.marks == (GENERATED,)
    assert (generated.published, generated.rank, generated.best) == (None, None, False)
    assert (both.published, both.rank) == (None, None)
    assert real.published is not None
    assert real.rank == 1.5
    assert not real.marks


def test_only_complete_cells_of_one_task_are_ranked(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, CONTROLS.format(metric="auroc"))
    fill(
        store,
        plan,
        {
            "A phantom": (0.7, 0.7, 0.7),
            "B phantom": (0.8, 0.8, 0.8),
            "C phantom": (0.99, 0.99),
            "A phantom_coarse": (0.9, 0.9, 0.9),
        },
    )
    found = entries(plan, store)
    assert [found[f"{case} phantom"].rank for case in "ABC"] == [2, 1, None]
    assert [found[f"{case} phantom"].best for case in "ABC"] == [False, True, False]
    alone = found["A phantom_coarse"]
    assert (alone.complete, alone.best, alone.rank) == (True, False, None)


def test_what_prints_alike_shares_a_rank(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, CONTROLS.format(metric="auroc"))
    fill(
        store,
        plan,
        {"A phantom": (0.8001,) * 3, "B phantom": (0.8003,) * 3, "C phantom": (0.7,) * 3},
    )
    found = entries(plan, store)
    assert [found[f"{case} phantom"].rank for case in "ABC"] == [1.5, 1.5, 3]
    assert [found[f"{case} phantom"].best for case in "ABC"] == [True, True, False]


def test_lower_is_better_for_false_positives(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, CONTROLS.format(metric="fpr95"))
    for cell in plan.cells[:4]:
        for run in cell.runs:
            rate = {"A": 0.2, "B": 0.6}[cell.labels["case"]]
            finish(store, run, 0.9, metrics={"auroc": 0.9, "aupr": 0.9, "fpr95": rate})
    found = entries(plan, store)
    assert found["A phantom"].best
    assert found["B phantom"].rank == 2
    assert found["A phantom"].mean == pytest.approx(0.2)


def test_different_data_are_never_averaged(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    first, second, third = plan.cells[0].runs
    finish(store, first, 0.1, digest="a" * 64)
    finish(store, second, 0.8)
    finish(store, third, 0.9, digest=DIGEST)
    cell = entries(plan, store)["CSI pneumonia_mnist"]
    assert cell.values == {1: 0.8, 2: 0.9}
    assert not cell.complete
    assert MIXED in cell.marks


@pytest.mark.parametrize("change", [{"device": "cuda"}, {"torch": "2.11.0"}])
def test_mixed_devices_and_versions_are_marked(tmp_path: Path, store: Store, change: dict[str, str]) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8, 0.8)})
    assert entries(plan, store)["CSI pneumonia_mnist"].marks == ()
    finish(store, plan.cells[0].runs[2], 0.8, **change)
    cell = entries(plan, store)["CSI pneumonia_mnist"]
    assert cell.marks == (MIXED,)
    assert cell.complete


def test_failed_and_stale_are_marked(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    first, second, third = plan.cells[0].runs
    finish(store, first, 0.8)
    told = {
        f"key_{first.eval_key}": ("stale", "source changed"),
        f"key_{second.eval_key}": ("failed", "failed before: no memory"),
        f"key_{third.eval_key}": ("running", "running on host, process 7"),
    }
    found = entries(plan, store, **told)
    assert set(found["CSI pneumonia_mnist"].marks) == {FAILED, STALE}
    assert found["DIA pneumonia_mnist"].marks == ()
