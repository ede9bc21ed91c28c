"""What a figure or a cost table is made of: planned, made once, resumed, told of when it is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine import Bench

from suite.goals import assess_goals, costs_of, presumed
from suite.plan import expand
from suite.spec import load_spec
from suite.store import Store

from . import spec_files

FIGURE = """
title = "Toy strips"
[figure]
kind = "dissolving"
steps = [1, 5]
[settings]
method = "fake"
uses = "artefact"
[grid]
dataset = ["toy"]
"""
COSTS = """
title = "Toy costs"
[table]
rows = ["train.steps"]
metric = "macs"
extra = ["parameters"]
[settings]
method = "fake"
dataset = "absent"
[grid]
"train.steps" = [8, 16]
"""


def test_a_figure_has_artefacts_instead_of_runs(bench: Bench) -> None:
    bench.spec.write_text(FIGURE)
    plan = bench.plan()
    assert not plan.runs
    (goal,) = plan.goals
    assert [need.kind for need in plan.artefacts] == ["fake", "strip"]
    assert (goal.dataset, goal.needs[0].dataset) == ("toy", "toy")
    assert str(goal) == "fake strip for toy"


def test_what_it_needs_is_in_its_key(bench: Bench) -> None:
    bench.spec.write_text(FIGURE)
    (goal,) = bench.plan().goals
    (other,) = bench.plan(trouble="artefact").goals
    assert goal.needs[0].key != other.needs[0].key
    assert goal.key != other.key


@pytest.mark.slow
def test_it_is_made_once_and_drawn(bench: Bench) -> None:
    bench.spec.write_text(FIGURE)
    planned = bench.cli("plan", "toy.toml")
    assert "before that, once: fake artefact for toy" in planned
    assert "1 artefact to show: 1 to run" in planned
    told = bench.cli("run", "toy.toml", "--out", "out", "--no-mlflow")
    assert "[1/1] fake strip for toy: done" in told
    assert {path.name for path in (bench.folder / "out").iterdir()} == {"toy.png", "toy.pdf"}
    again = bench.cli("run", "toy.toml", "--out", "out", "--no-mlflow", "--in-process")
    assert "1 artefact to show: 1 done" in again
    assert (bench.told("make"), bench.told("show")) == (1, 1)
    assert "1 artefact to show: 1 done" in bench.cli("status")
    assert "0 folders" in bench.cli("gc", "toy.toml")
    assert "3 folders" in bench.cli("gc", "quickstart")
    bench.cli("run", "toy.toml", "--force", "--out", "out", "--no-mlflow")
    assert (bench.told("make"), bench.told("show")) == (1, 2)


@pytest.mark.slow
def test_one_that_failed_is_left_alone_until_retried(bench: Bench) -> None:
    bench.spec.write_text(FIGURE.replace('"artefact"', '"artefact"\ntrouble = "fit"'))
    told = bench.cli("run", "toy.toml", "--out", "out", "--no-mlflow", code=1)
    assert "failed: RuntimeError: nothing to be seen" in told
    told = bench.cli("run", "toy.toml", "--out", "out", "--no-mlflow", code=1)
    assert "1 failed before and are left alone" in told
    assert bench.told("show") == 1
    assert "nothing to be seen" in bench.cli("status", "toy.toml", code=1)
    bench.cli("retry", "toy.toml", "--out", "out", "--no-mlflow", "--in-process", code=1)
    assert bench.told("show") == 2


@pytest.mark.slow
def test_costs_need_no_data(bench: Bench) -> None:
    bench.spec.write_text(COSTS)
    told = bench.cli("run", "toy.toml", "--out", "out", "--no-mlflow", "--in-process")
    assert "16.000" in told
    assert "parameters (M)" in told
    assert bench.told("count") == 2
    assert (bench.folder / "out" / "toy.md").is_file()


def test_absent_data_block_it(bench: Bench) -> None:
    bench.spec.write_text(FIGURE.replace('["toy"]', '["toy", "absent"]'))
    first, second = assess_goals(bench.plan(), Store(bench.store))
    assert (first.state, first.reason) == ("to run", "new")
    assert second.state == "blocked"
    assert "get it from nowhere" in second.reason


def test_a_spoilt_digest_is_stale(bench: Bench) -> None:
    from suite.job import Conditions
    from suite.run import make_artefact

    bench.spec.write_text(FIGURE)
    store, plan = Store(bench.store), bench.plan()
    make_artefact(plan.goals[0], store, Conditions())
    assert [goal.state for goal in assess_goals(plan, store)] == ["done"]
    path = store.artefact_folder("strip", plan.goals[0].key) / "done.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": "other"}))
    assert [goal.state for goal in assess_goals(plan, store)] == ["stale"]
    assert [goal.state for goal in assess_goals(plan, store, force=True)] == ["to run"]


def test_a_method_that_has_nothing_to_show_is_told_with_those_that_have(tmp_path: Path) -> None:
    text = (
        FIGURE.replace('"fake"', '"pixel_knn"').replace('uses = "artefact"', "").replace('"toy"', '"phantom"')
    )
    (line,) = spec_files.faults(tmp_path, text)
    assert line == "figure.kind: pixel_knn has no strip to show; methods that have: dia"


def test_a_setting_that_shows_nothing_is_told(bench: Bench) -> None:
    from suite.vocabulary import SpecErrors

    bench.spec.write_text(FIGURE.replace('"artefact"', '"nothing"'))
    with pytest.raises(SpecErrors, match="there is nothing to show"):
        load_spec(bench.spec)


def test_masks_name_no_data_and_tables_of_scores_have_no_costs() -> None:
    assert presumed(load_spec("figure6")) == {"dataset": "phantom"}
    assert presumed(load_spec("figure1")) == {}
    assert costs_of(load_spec("cost_macs")) == ("macs", "parameters")
    assert costs_of(load_spec("main_results")) == ()
    assert all(need.data == {} for need in expand(load_spec("figure6")).goals)
