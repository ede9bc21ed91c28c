"""The writer against a client in memory that is as strict as a server."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fabric import fill, finish, plan_of

from suite.mirror import records
from suite.mirror_writer import Writer
from suite.store import Store

Metric = namedtuple("Metric", "key value timestamp step")
Param = namedtuple("Param", "key value")


class Page(list[Any]):
    token: str | None = None


class Client:
    """Keeps runs in a list; refuses what a server refuses; counts what is written. Pages hold two runs."""

    def __init__(self) -> None:
        self.experiments: dict[str, Any] = {}
        self.runs: list[Any] = []
        self.points: list[tuple[str, str, int]] = []
        self.writes = 0

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiments.get(name)

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        self.experiments[name] = SimpleNamespace(experiment_id=name, lifecycle_stage="active")
        return name

    def restore_experiment(self, name: str) -> None:
        self.experiments[name].lifecycle_stage = "active"

    def search_runs(self, names: list[str], max_results: int, page_token: str | None) -> Page:
        start = int(page_token or 0)
        page = Page(self.runs[start : start + 2])
        page.token = str(start + 2) if start + 2 < len(self.runs) else None
        return page

    def create_run(self, experiment: str, start_time: int, tags: dict[str, str]) -> Any:
        self.writes += 1
        info = SimpleNamespace(run_id=f"run{self.writes}", status="RUNNING")
        run = SimpleNamespace(info=info, data=SimpleNamespace(tags=dict(tags), params={}, metrics={}))
        self.runs.append(run)
        return run

    def _run(self, run_id: str) -> Any:
        return next(run for run in self.runs if run.info.run_id == run_id)

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100
        assert len(metrics) + len(params) <= 1000
        self.writes += 1
        for param in params:
            held = self._run(run_id).data.params
            assert held.get(param.key, param.value) == param.value, "a changed parameter is refused"
            held[param.key] = param.value
        for metric in metrics:
            self.points.append((run_id, metric.key, metric.step))
            self._run(run_id).data.metrics[metric.key] = metric.value

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        self.writes += 1
        self._run(run_id).data.tags[name] = value

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self._run(run_id).info.status = status

    def delete_run(self, run_id: str) -> None:
        self.writes += 1
        self.runs.remove(self._run(run_id))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def write(client: Client, plan: Any, store: Store) -> list[tuple[bool, int]]:
    writer = Writer(client, Metric, Param)
    writer.open("table", None)
    return [writer.cell(cell) for cell in records(plan, store)]


def test_once_and_no_more(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI pneumonia_mnist": (0.8, 0.8, 0.8)})
    assert sum(seeds for _, seeds in write(client, plan, store)) == 5
    assert len(client.runs) == 7
    writes = client.writes
    assert write(client, plan, store) == [(False, 0), (False, 0)]
    assert client.writes == writes
    assert len(client.points) == len(set(client.points))


def test_many_parameters_and_points_go_in_requests_a_server_takes(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    run = plan.cells[0].runs[0]
    finish(store, run, 0.8, settings={f"many.s{n}": n for n in range(250)})
    lines = "".join(f'{{"step": {n}, "loss": 1.0, "accuracy": 0.5}}\n' for n in range(1500))
    (store.run_folder(run.train_key) / "metrics.jsonl").write_text(lines)
    write(client, plan, store)
    seed = next(run for run in client.runs if "suite.eval_key" in run.data.tags)
    assert len(seed.data.params) == 251
    assert len([point for point in client.points if point[1] == "curve.loss"]) == 750


def test_a_run_that_was_not_finished_is_replaced(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    write(client, plan, store)
    parent = next(run for run in client.runs if "suite.eval_key" not in run.data.tags)
    parent.info.status = "RUNNING"
    assert write(client, plan, store) == [(True, 0)]
    (again,) = [run for run in client.runs if "suite.eval_key" not in run.data.tags]
    assert again.info.run_id != parent.info.run_id
    children = [run for run in client.runs if "suite.eval_key" in run.data.tags]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {again.info.run_id}


def test_a_deleted_experiment_is_taken_up_again(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    write(client, plan, store)
    client.experiments["table"].lifecycle_stage = "deleted"
    write(client, plan, store)
    assert client.experiments["table"].lifecycle_stage == "active"
