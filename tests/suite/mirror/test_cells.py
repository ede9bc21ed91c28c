"""Records for a tracker: keys, names, numbers, places in the table, trials."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from fabric import BATCHES, fill, finish, plan_of
from pages import filled, hostile_plan

from suite.mirror.cells import records
from suite.mirror.records import NOTE, REPORT
from suite.store import Store
from suite.tables.cells import cell_key


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_only_cells_with_a_result_have_a_record(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    assert records(plan, store) == []
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI breast_mnist": (0.5,)})
    dia, csi = sorted(records(plan, store), key=lambda cell: -cell.n)
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
    real, generated = records(plan, store)
    assert (generated.name, generated.tags["suite.stand_in"]) == ("DIA, breast_mnist (stand-in)", "true")
    assert generated.tags["suite.dataset"] == "stand_in:breast_mnist"
    assert "suite.stand_in" not in real.tags


def test_cells_are_told_apart_by_all_but_the_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    keys = {cell_key(cell) for cell in plan.cells}
    assert len(keys) == len(plan.cells)
    cell = plan.cells[0]
    assert cell_key(replace(cell, runs=cell.runs[1:], labels={"case": "another"})) in keys


def test_a_cell_that_stands_twice_is_recorded_once(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    doubled = type(plan)(plan.spec, plan.profile, (plan.cells[0], plan.cells[0]))
    assert len(records(doubled, store)) == 1


def test_fingerprint_follows_the_outcomes(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)

    def print_of() -> str:
        return records(plan, store)[0].fingerprint

    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    one = print_of()
    assert print_of() == one
    fill(store, plan, {"CSI pneumonia_mnist": (0.8, 0.9)})
    two = print_of()
    finish(store, plan.cells[0].runs[0], 0.8, finished="2025-12-01T00:00:00+00:00")
    assert len({one, two, print_of()}) == 3


def test_a_cell_says_where_it_stands_and_a_seed_where_its_files_are(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.9031, 0.9178, 0.9524), "CSI breast_mnist": (0.5,)})
    dia, csi = sorted(records(plan, store), key=lambda cell: -cell.n)
    assert dia.tags["suite.place"] == "row pneumonia_mnist, column DIA"
    assert dia.tags["suite.report"] == f"index.html#cell-{dia.key[:12]}"
    assert dia.tags[NOTE].startswith("**0.924±0.025** AUROC, 3 of 3 seeds (paper 0.903")
    assert f"]({REPORT}): row pneumonia\\_mnist, column DIA" in dia.tags[NOTE]
    assert csi.tags[NOTE].startswith("**0.50 (1/3)** AUROC, 1 of 3 seeds")
    seed = dia.seeds[1]
    assert (store.root / seed.tags["suite.folder"] / "outcome.json").exists()
    assert seed.tags["suite.folder"] in seed.tags[NOTE]
    assert seed.tags["suite.place"] == dia.tags["suite.place"]
    rows = [dia.tags["suite.row"], *(one.tags["suite.row"] for one in dia.seeds)]
    assert rows == sorted(rows), "sorted by this tag, seeds follow their cell"
    assert [cell.tags["suite.row"] for cell in records(plan, store)] == sorted(
        cell.tags["suite.row"] for cell in records(plan, store)
    )


def test_a_cell_that_stands_twice_names_both_places(tmp_path: Path, store: Store) -> None:
    text = BATCHES.replace('label = "CSI-1.5"', 'label = "again"').replace(', "train.batch" = 48', "")
    plan = plan_of(tmp_path, text)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    (one,) = records(plan, store)
    assert one.tags["suite.place"] == "row pneumonia_mnist, column CSI; row pneumonia_mnist, column again"


def test_a_profile_is_told_in_the_name(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, profile="smoke")
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    assert records(plan, store)[0].name == "CSI, pneumonia_mnist (smoke)"


def test_a_hostile_label_is_one_line_and_no_markup(tmp_path: Path, store: Store) -> None:
    plan = hostile_plan(tmp_path)
    filled(store, plan, lambda number, run: 0.5)
    for cell in records(plan, store):
        for text in (cell.name, cell.tags["suite.place"]):
            assert len(text.splitlines()) == 1
            assert text.isprintable()
        for note in (cell.tags[NOTE], cell.seeds[0].tags[NOTE]):
            assert not re.search(r"<\w|(?<!\\)!\[", note)
