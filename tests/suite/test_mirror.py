"""Records for a tracker: keys, numbers, curves, and the stamp of what has been written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fabric import fill, finish, plan_of

from suite import mirror
from suite.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_only_cells_with_a_result_have_a_record(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    assert mirror.records(plan, store) == []
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI breast_mnist": (0.5,)})
    dia, csi = sorted(mirror.records(plan, store), key=lambda cell: -cell.n)
    assert (dia.name, dia.n, dia.tags["suite.complete"]) == ("DIA, pneumonia_mnist", 2, "2/3")
    assert dia.metrics["auroc_mean"] == pytest.approx(0.91)
    assert dia.metrics["auroc_std"] == pytest.approx(0.02 / 2**0.5)
    assert dia.metrics["auroc_n"] == 2
    assert "auroc_std" not in csi.metrics
    assert [seed.name for seed in dia.seeds] == [
        "DIA, pneumonia_mnist, seed 0",
        "DIA, pneumonia_mnist, seed 1",
    ]
    first = dia.seeds[0]
    assert first.metrics["auroc"] == 0.90
    assert first.metrics["cost.fit_seconds"] == 60
    assert first.params["train.batch"] == "32"
    assert first.params["dissolve.steps"] == "[30, 130]"
    assert first.end - first.start == 65_000


def test_stand_in_data_are_said_in_name_and_tags(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, stand_ins=["breast_mnist"])
    fill(store, plan, {"DIA pneumonia_mnist": (0.9,), "DIA breast_mnist": (0.5,)})
    real, generated = mirror.records(plan, store)
    assert (generated.name, generated.tags["suite.stand_in"]) == ("DIA, breast_mnist (stand-in)", "true")
    assert generated.tags["suite.dataset"] == "stand_in:breast_mnist"
    assert "suite.stand_in" not in real.tags


def test_cells_are_told_apart_by_all_but_the_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    keys = {mirror.cell_key(cell) for cell in plan.cells}
    assert len(keys) == len(plan.cells)
    cell = plan.cells[0]
    assert mirror.cell_key(replace(cell, runs=cell.runs[1:], labels={"case": "another"})) in keys


def test_a_cell_that_stands_twice_is_recorded_once(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    doubled = type(plan)(plan.spec, plan.profile, (plan.cells[0], plan.cells[0]))
    assert len(mirror.records(doubled, store)) == 1


def test_fingerprint_follows_the_outcomes(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)

    def print_of() -> str:
        return mirror.records(plan, store)[0].fingerprint

    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    one = print_of()
    assert print_of() == one
    fill(store, plan, {"CSI pneumonia_mnist": (0.8, 0.9)})
    two = print_of()
    finish(store, plan.cells[0].runs[0], 0.8, finished="2025-12-01T00:00:00+00:00")
    assert len({one, two, print_of()}) == 3


def test_long_values_are_cut_visibly(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    run = plan.cells[0].runs[0]
    finish(store, run, 0.8, settings={**run.settings, "note": "x" * 10_000})
    value = mirror.records(plan, store)[0].seeds[0].params["note"]
    assert len(value) < 6_000
    assert value.endswith("... (10000 characters)")


def test_curves_are_thinned_and_survive_a_torn_line(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    seed = mirror.records(plan, store)[0].seeds[0]
    assert list(seed.curves()) == []
    lines = [json.dumps({"step": n, "total": 5000, "loss": 1 / n, "time": 1.5}) for n in range(1, 5001)]
    path = store.run_folder(plan.cells[0].runs[0].train_key) / "metrics.jsonl"
    path.write_text("\n".join(lines) + '\n{"step": 50')
    points = list(seed.curves())
    assert {name for name, _, _ in points} == {"curve.loss"}
    assert len(points) <= mirror.CURVE_POINTS
    assert points[0][2] == 1 / points[0][1]
    path.write_text("\n".join(lines))
    assert list(seed.curves())[-1] == ("curve.loss", 5000, 1 / 5000)


def test_stamp_holds_for_one_database_only(tmp_path: Path) -> None:
    stamp = mirror.Stamp(tmp_path, "sqlite:///a.db", "")
    assert stamp.known("table1") == {}
    stamp.write("table1", {"cell": "print"}, "disk:1")
    stamp.write("table1", {"other": "print"}, "disk:1")
    stamp.write("table2", {"cell": "else"}, "disk:1")
    again = mirror.Stamp(tmp_path, "sqlite:///a.db", "disk:1")
    assert again.known("table1") == {"cell": "print", "other": "print"}
    assert again.known("table2") == {"cell": "else"}
    assert mirror.Stamp(tmp_path, "sqlite:///a.db", "disk:2").known("table1") == {}
    assert mirror.Stamp(tmp_path, "sqlite:///b.db", "disk:1").known("table1") == {}
    (tmp_path / mirror.STAMP).write_text("{ torn")
    assert again.known("table1") == {}
