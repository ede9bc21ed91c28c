"""``suite search`` as it is typed: trials in the store, a table, pictures, and the winner on the test images."""

from __future__ import annotations

import os
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import engine
import pytest

pytestmark = pytest.mark.slow
SPEC = """
title = "Toy"
seeds = [0, 1]
[settings]
method = "fake"
dataset = "toy"
[search]
validation = "own"
trials = 6
startup = 3
[search.space]
"train.steps" = { low = 4, high = 40, step = 4 }
"""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[engine.Bench]:
    with engine.registered(monkeypatch):
        made = engine.Bench(tmp_path)
        monkeypatch.setenv("FAKE_LOG", str(made.log))
        (tmp_path / "find.toml").write_text(SPEC)
        yield made


def test_trials_are_runs_and_the_winner_is_run_on_the_test_images(bench: engine.Bench) -> None:
    said = bench.cli("search", "find.toml", "--no-mlflow")
    assert "6 of 6" not in said.splitlines()[0]
    assert said.count("validation AUROC") == 6
    assert "VALIDATION images" in said
    out = bench.folder / "reports" / "out"
    winner = tomllib.loads((out / "find_winner.toml").read_text())
    assert winner["seeds"] == [2, 3]
    found, reference = winner["case"]
    assert (reference["label"], reference["set"]) == ("Reference", {})
    assert found["set"]["train.steps"] in range(4, 41, 4)
    assert (out / "find-history.png").exists()
    assert "VALIDATION images" not in (out / "find_winner.md").read_text()
    assert "VALIDATION images" in (out / "find_trials.md").read_text()
    fits = bench.told("fit")
    again = bench.cli("search", "find.toml", "--no-mlflow")
    assert bench.told("fit") == fits, "nothing is computed twice"
    assert "6 of 6 trials" in again


@pytest.mark.long
def test_more_trials_go_on_where_the_first_ended(bench: engine.Bench) -> None:
    words = ("search", "find.toml", "--no-mlflow", "--trials", "2", "--no-final")
    assert "unfinished: the time is up" in bench.cli(*words, "--max-time", "0.1s", code=3)
    assert bench.told("fit") == 0
    bench.cli(*words)
    assert not (bench.folder / "reports" / "out" / "find_winner.md").exists()
    said = bench.cli("search", "find.toml", "--no-mlflow", "--trials", "3", "--no-final")
    assert "2 of 3 trials" in said
    assert said.count("validation AUROC") == 1


@pytest.mark.long
def test_killed_twice_it_ends_with_all_trials(bench: engine.Bench) -> None:
    path = bench.folder / "find.toml"
    path.write_text(SPEC.replace('dataset = "toy"', 'dataset = "toy"\n"train.pause" = 0.05'))
    for fits in (2, 4):
        process = bench.start("search", "find.toml", "--no-mlflow", "--no-final")
        bench.wait_for(lambda fits=fits: bench.told("fit") >= fits)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = bench.cli("search", "find.toml", "--no-mlflow", "--no-final")
    assert "the winner is trial" in said
    assert "6 of 6 trials" in bench.cli("search", "find.toml", "--no-mlflow", "--no-final")


def test_each_command_points_at_the_other(bench: engine.Bench) -> None:
    assert "find is a search, not a table: suite search find" in bench.cli("run", "find.toml", code=2)
    assert "toy.toml has no [search] section: suite run toy" in bench.cli("search", "toy.toml", code=2)
    assert "give one spec" in bench.cli("search", "find.toml", "toy.toml", code=2)


@pytest.mark.long
def test_trials_are_shown_in_mlflow_with_their_seeds(bench: engine.Bench) -> None:
    from mlflow.tracking import MlflowClient

    bench.cli("search", "find.toml", "--trials", "3", "--no-final", seconds=900)
    # What a slow machine left behind.
    bench.cli("sync", seconds=900)
    client = MlflowClient(tracking_uri=f"sqlite:///{bench.store / 'mlflow.db'}")
    found = client.get_experiment_by_name("find_trials")
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    trials = [run for run in runs if run.data.tags["suite.kind"] == "trial"]
    assert {run.data.tags["suite.trial"] for run in trials} == {"0", "1", "2"}
    complete = [run for run in trials if run.data.tags["suite.trial_state"] == "complete"]
    (best,) = [run for run in trials if run.data.tags["suite.best"] == "true"]
    assert best.data.metrics["objective"] == max(run.data.metrics["objective"] for run in complete)
    assert best.info.run_name.startswith("best: train.steps ")
    for trial in trials:
        seeds = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == trial.info.run_id]
        assert len(seeds) == (2 if trial in complete else trial.data.metrics["auroc_n"])
        assert trial.data.params["train.steps"] in {str(steps) for steps in range(4, 41, 4)}
    (report,) = [run for run in runs if run.data.tags["suite.kind"] == "report"]
    names = {one.path for one in client.list_artifacts(report.info.run_id)}
    assert {"find_trials.md", "find-history.png", "find-history.pdf"} <= names
    assert "0 cells, 0 runs and 0 tables" in bench.cli("sync", seconds=900)
