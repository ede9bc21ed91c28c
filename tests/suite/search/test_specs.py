"""The specs that a search writes are specs: read, planned, and the same runs as the trials'."""

from __future__ import annotations

from pathlib import Path

from suite.plan import expand
from suite.search import specs
from suite.search.study import Trial
from suite.spec import load_spec

from .test_space import read

TRIALS = [
    Trial(0, {"dissolve.steps": [40, 140]}, (0.8, 0.9), "complete"),
    Trial(1, {"dissolve.steps": [300, 340]}, (0.5,), "pruned"),
    Trial(2, {"dissolve.steps": [500, 600]}, (), "failed", "out of memory"),
]


def test_trials_are_the_cases_of_a_table_of_validation_images(tmp_path: Path) -> None:
    spec = read(tmp_path)
    path = tmp_path / "trials.toml"
    path.write_text(specs.trials(spec, TRIALS, "cpu"))
    plan = expand(load_spec(path))
    assert [cell.labels["case"] for cell in plan.cells] == [
        "dissolve.steps 40-140 (trial 0)",
        "dissolve.steps 300-340 (trial 1)",
        "Reference",
    ]
    assert {run.evaluation["split"] for run in plan.runs} == {"val"}
    trial = expand(spec, profile="cpu", sets={"dissolve.steps": [40, 140]}, seeds=(1,)).runs[0]
    assert trial.eval_key in {run.eval_key for run in plan.cells[0].runs}, "the very run of the trial"


def test_the_winner_stands_beside_the_reference_on_test_images_with_fresh_seeds(tmp_path: Path) -> None:
    for search, seeds in (("", {2, 3}), ("fresh = [10, 11, 12]", {10, 11, 12})):
        spec = read(tmp_path, search=search)
        path = tmp_path / "winner.toml"
        path.write_text(specs.winner(spec, TRIALS[0], "cpu"))
        plan = expand(load_spec(path))
        assert [cell.labels["case"] for cell in plan.cells] == ["Found: dissolve.steps 40-140", "Reference"]
        assert {run.evaluation["split"] for run in plan.runs} == {"test"}
        assert {run.seed for run in plan.runs} == seeds
        assert plan.cells[0].settings["dissolve.steps"] == [40, 140]
        assert plan.cells[1].settings["dissolve.steps"] == [30, 130]
        assert plan.profile == "cpu"


def test_overrides_of_the_search_come_along(tmp_path: Path) -> None:
    path = tmp_path / "steps.toml"
    read(tmp_path)
    path.write_text(
        path.read_text() + '[[override]]\nwhere = { profile = "cpu" }\nset = { "train.epochs" = 3 }\n'
    )
    spec = load_spec(path)
    written = tmp_path / "winner.toml"
    written.write_text(specs.winner(spec, TRIALS[0], "cpu"))
    assert {cell.settings["train.epochs"] for cell in expand(load_spec(written)).cells} == {3}
