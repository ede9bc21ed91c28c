"""Paired comparisons: the right runs, the right numbers, and only where both cells are complete."""

from __future__ import annotations

import numpy as np
import pytest
from fabric import BATCHES, outcome_of, plan_of

from suite.store import Store
from suite.tables import render, text
from suite.tables.paired import Pair, cliffs_delta
from suite.tables.table import build

COMPARED = BATCHES.replace("[table]\n", '[table]\ncompare = "CSI"\n', 1)
LABELS = np.array([0, 0, 0, 1, 1, 1], np.uint8)
PERFECT = np.array([0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
ONE_SLIP = np.array([0.1, 0.2, 0.75, 0.7, 0.8, 0.9])  # one of the nine pairs is the wrong way round


def write(store: Store, run, scores: np.ndarray, ids: str = "abcdef") -> None:
    store.write_outcome(outcome_of(run, 0.9), np.array(list(ids)), LABELS, scores, {})


def store_with(tmp_path, plan, **by_case: list[np.ndarray]) -> Store:
    store = Store(tmp_path / "runs")
    for cell in plan.cells:
        if cell.dataset != "breast_mnist":
            continue
        for run, scores in zip(
            cell.runs, by_case.get(cell.labels["case"].replace("-", "_"), []), strict=False
        ):
            write(store, run, scores)
    return store


def test_differences_of_the_seeds_and_their_mean(tmp_path):
    plan = plan_of(tmp_path, COMPARED)
    store = store_with(tmp_path, plan, DIA=[PERFECT] * 3, CSI=[ONE_SLIP, PERFECT, ONE_SLIP])
    (pair,) = build(plan, store).paired
    assert (pair.label, pair.place, pair.images) == ("DIA", ("breast_mnist",), 6)
    assert pair.per_seed == pytest.approx((1 / 9, 0.0, 1 / 9))
    assert pair.difference == pytest.approx(2 / 27)
    assert pair.low <= pair.difference <= pair.high


def test_cliffs_delta_counts_pairs_of_seeds():
    assert cliffs_delta((0.9, 0.9, 0.9), (0.8, 0.8, 0.8)) == 1
    assert cliffs_delta((0.7, 0.9), (0.8, 0.8)) == 0
    assert cliffs_delta((0.8, 0.9), (0.8, 0.85)) == -cliffs_delta((0.8, 0.85), (0.8, 0.9)) == 0.25


def test_incomplete_cells_and_other_images_are_not_compared(tmp_path):
    plan = plan_of(tmp_path, COMPARED)
    store = store_with(tmp_path, plan, DIA=[PERFECT] * 3, CSI=[PERFECT] * 2, CSI_1=[PERFECT] * 3)
    assert build(plan, store).paired == ()
    for cell in plan.cells:
        if cell.dataset == "breast_mnist" and cell.labels["case"] == "CSI":
            write(store, cell.runs[2], PERFECT, ids="abcxyz")
    assert build(plan, store).paired == ()


def test_without_a_reference_nothing_is_compared(tmp_path):
    plan = plan_of(tmp_path)
    store = store_with(tmp_path, plan, DIA=[PERFECT] * 3, CSI=[PERFECT] * 3)
    assert build(plan, store).paired == ()


def test_every_format_shows_them(tmp_path):
    plan = plan_of(tmp_path, COMPARED)
    store = store_with(tmp_path, plan, DIA=[PERFECT] * 3, CSI=[ONE_SLIP] * 3)
    table = build(plan, store)
    line = "+0.111, +0.111, +0.111"
    assert line in render.markdown(table)
    assert "Against CSI" in render.markdown(table)
    assert "DIA against CSI on breast" in render.latex(table).replace("\\_", "_")


def test_the_sentence_reads_on_its_own():
    pair = Pair("DIA", ("breast_mnist",), 0.0312, -0.012, 0.07, (0.05, 0.0124, 0.0312), 156, 7 / 9)
    assert text.sentence(pair, "CSI") == (
        "DIA against CSI on breast_mnist: +0.031 [−0.012, +0.070]; seeds +0.050, +0.012, +0.031; Cliff's delta +0.78"
    )
