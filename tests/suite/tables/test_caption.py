"""A table says what it rests on, and what limits it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric import fill, finish, judged, plan_of

from suite.store import Store
from suite.tables.table import Table, build

PHANTOM = """
title = "Phantom"
seeds = {seeds}
[table]
rows = ["case"]
columns = ["dataset"]
selection = "{selection}"
[settings]
{settings}
[[case]]
label = "CSI"
set = {{ method = "csi" }}
[[case]]
label = "DIA"
set = {{ method = "dia" }}
[grid]
dataset = ["phantom", "phantom_coarse"]
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def phantom(tmp_path: Path, seeds: str = "[0, 1, 2]", selection: str = "last", settings: str = "") -> str:
    return PHANTOM.format(seeds=seeds, selection=selection, settings=settings)


def said(table: Table) -> str:
    return " ".join(table.caption)


def test_a_full_caption(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8, 0.8), "DIA pneumonia_mnist": (0.9, 0.9, 0.9)})
    caption = said(build(plan, store, assessments=()))
    for part in (
        "AUROC, mean ± sample standard deviation (ddof 1) over n = 3 seeds (0, 1, 2)",
        "(k/n): only k of the n seeds are done",
        "last, the weights at the end of training",
        "Profile paper.",
        "share one diffusion model",
        "Data (content digest): pneumonia_mnist 0123456789ab",
        "Computed on cpu (torch 2.14.1, 1 thread)",
        "Revision ffffffffff; finished 2025-11-20 to 2025-11-22",
        "(paper) and ours minus it",
    ):
        assert part in caption
    assert "STAND-IN" not in caption
    assert "oracle" not in caption


def test_stand_in_data_are_said_before_and_after_a_run(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, phantom(tmp_path), "phantom")
    assert "STAND-IN DATA" in said(build(plan, store, assessments=()))
    real = plan_of(tmp_path)
    finish(store, real.cells[0].runs[0], 0.8, stand_in=True)
    assert "STAND-IN DATA, generated and not medical images: pneumonia_mnist." in said(
        build(real, store, assessments=())
    )


def test_the_oracle_is_called_one(tmp_path: Path, store: Store) -> None:
    table = build(plan_of(tmp_path, phantom(tmp_path, selection="best_test")), store, assessments=())
    assert "best_test, an oracle" in said(table)


def test_reduced_settings_are_said_with_the_papers_beside_them(tmp_path: Path, store: Store) -> None:
    text = phantom(tmp_path, settings='"network.width" = 16\n"train.epochs" = 20\n"diffusion.dim" = 8')
    caption = said(build(plan_of(tmp_path, text), store, assessments=()))
    assert "NOT the paper's full computation" in caption
    for part in ("network.width 16 (64)", "train.epochs 20 (200)", "diffusion.dim 8 (32)"):
        assert part in caption
    assert "NOT the paper's" not in said(build(plan_of(tmp_path, phantom(tmp_path)), store, assessments=()))


def test_one_seed_claims_no_spread(tmp_path: Path, store: Store) -> None:
    table = build(plan_of(tmp_path, phantom(tmp_path, seeds="[7]")), store, assessments=())
    assert "nothing is known about the spread" in said(table)
    assert "±" not in said(table)
    assert "share one diffusion model" not in said(table)


def test_a_diffusion_model_a_run_is_not_called_shared(tmp_path: Path, store: Store) -> None:
    text = phantom(tmp_path, settings='"diffusion.seed" = "per_run"')
    assert "share one diffusion model" not in said(build(plan_of(tmp_path, text), store, assessments=()))


def test_local_changes_and_several_machines_are_said(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    finish(store, plan.cells[0].runs[0], 0.8, dirty=True)
    finish(store, plan.cells[0].runs[1], 0.8, device="cuda (NVIDIA X)", torch="2.11.0")
    caption = said(build(plan, store, assessments=()))
    assert "ffffffffff with local changes, ffffffffff" in caption
    assert "cpu (torch 2.14.1, 1 thread), cuda (NVIDIA X) (torch 2.11.0, 1 thread)" in caption


def test_legend_explains_the_marks_that_occur_and_no_others(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    told = {plan.runs[0].eval_key: ("failed", "failed before: no memory")}
    table = build(plan, store, assessments=list(judged(plan, store, told)))
    assert [mark for mark, _ in table.legend] == ["†"]


def test_missing_cells_stand_with_their_reasons(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    blocked = ("blocked", "data missing: breast_mnist: run `suite data fetch breast_mnist`")
    told = {run.eval_key: blocked for run in plan.runs if run.dataset == "breast_mnist"}
    missing = dict(build(plan, store, assessments=list(judged(plan, store, told))).missing)
    assert missing["not run yet"] == (
        "CSI, pneumonia_mnist (seed 1, 2)",
        "CSI-1.5, pneumonia_mnist",
        "DIA, pneumonia_mnist",
    )
    assert missing[blocked[1]] == ("CSI, breast_mnist", "CSI-1.5, breast_mnist", "DIA, breast_mnist")


def test_average_ranks_need_every_task(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, phantom(tmp_path))
    fill(
        store, plan, {"CSI phantom": (0.7,) * 3, "DIA phantom": (0.8,) * 3, "CSI phantom_coarse": (0.9,) * 3}
    )
    assert build(plan, store, assessments=()).ranks.average == ()
    fill(store, plan, {"DIA phantom_coarse": (0.8,) * 3})
    assert build(plan, store, assessments=()).ranks.average == (("CSI", 1.5), ("DIA", 1.5))


def test_an_empty_store_says_that_nothing_was_computed(tmp_path: Path, store: Store) -> None:
    assert "Nothing has been computed yet." in said(build(plan_of(tmp_path), store, assessments=()))
    assert not store.root.exists()


def test_departures_of_a_method_stand_beneath_its_table(tmp_path: Path, store: Store) -> None:
    """One line a departure, whatever the number of columns; rows that follow the paper are in none."""
    text = phantom(tmp_path).replace('"csi"', '"random_knn"')
    rows = build(plan_of(tmp_path, text), store, assessments=()).footnotes
    assert rows == ("Departures. Weights drawn at random, nothing pretrained: CSI.",)
    text = text.replace("[settings]", '[settings]\n"data.size" = 8')
    rows = build(plan_of(tmp_path, text), store, assessments=()).footnotes
    assert rows == (
        "Departures. Images resized from 8 to 16 px: CSI. Weights drawn at random, nothing pretrained: CSI.",
    )
