"""The writer against a client in memory that is as strict as a server."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fabric import fill, finish, plan_of

from suite.mirror.cells import records
from suite.mirror.records import NOTE
from suite.mirror.report import report_of
from suite.mirror.stamp import Links
from suite.mirror.writer import Writer
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
        self.files: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.writes = 0

    def get_experiment_by_name(self, name: str) -> Any:
        return self.experiments.get(name)

    def create_experiment(self, name: str, artifact_location: str | None) -> str:
        made = SimpleNamespace(experiment_id=name, lifecycle_stage="active", tags={})
        self.experiments[name] = made
        return name

    def restore_experiment(self, name: str) -> None:
        self.experiments[name].lifecycle_stage = "active"

    def search_runs(
        self, names: list[str], filter_string: str, max_results: int, page_token: str | None
    ) -> Page:
        self.asked.append(filter_string)
        tag, _, value = filter_string.removeprefix("tags.").partition(" = ")
        wanted = [
            run
            for run in self.runs
            if not filter_string or run.data.tags.get(tag.strip("`")) == value.strip("'")
        ]
        start = int(page_token or 0)
        page = Page(wanted[start : start + 2])
        page.token = str(start + 2) if start + 2 < len(wanted) else None
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
        assert len(value) <= 8_000
        self.writes += 1
        self._run(run_id).data.tags[name] = value

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self._run(run_id).info.status = status

    def set_experiment_tag(self, name: str, key: str, value: str) -> None:
        assert len(value) <= 20_000
        self.writes += 1
        self.experiments[name].tags[key] = value

    def log_artifact(self, run_id: str, path: str) -> None:
        self.writes += 1
        self.files.setdefault(run_id, {})[Path(path).name] = Path(path).read_bytes()

    def list_artifacts(self, run_id: str) -> list[Any]:
        return [SimpleNamespace(path=name) for name in self.files.get(run_id, {})]

    def delete_run(self, run_id: str) -> None:
        self.writes += 1
        self.runs.remove(self._run(run_id))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def write(client: Client, plan: Any, store: Store, draw: bool = False) -> list[tuple[bool, int]]:
    """As a sync does."""
    writer = Writer(client, Metric, Param)
    cells = records(plan, store)
    writer.open("table", None)
    report = report_of(plan, store, cells, draw=draw)
    if report is not None:
        writer.place(report)
    written = [writer.cell(cell) for cell in cells]
    if report is not None and draw:
        writer.draw(report, Links(), check=True)
    writer.describe("# Title", {"kind": "training"})
    return written


def dia_runs(plan: Any) -> Any:
    return next(cell.runs for cell in plan.cells if " ".join(cell.labels.values()) == "DIA pneumonia_mnist")


def kinds(client: Client, kind: str) -> list[Any]:
    return [run for run in client.runs if run.data.tags["suite.kind"] == kind]


def test_once_and_no_more(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI pneumonia_mnist": (0.8, 0.8, 0.8)})
    assert sum(seeds for _, seeds in write(client, plan, store)) == 5
    assert [len(kinds(client, kind)) for kind in ("report", "cell", "seed")] == [1, 2, 5]
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
    (parent,) = kinds(client, "cell")
    parent.info.status = "RUNNING"
    assert write(client, plan, store) == [(True, 0)]
    (again,) = kinds(client, "cell")
    assert again.info.run_id != parent.info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in kinds(client, "seed")} == {again.info.run_id}


def test_a_deleted_experiment_is_taken_up_again(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    write(client, plan, store)
    client.experiments["table"].lifecycle_stage = "deleted"
    write(client, plan, store)
    assert client.experiments["table"].lifecycle_stage == "active"


def test_tables_are_drawn_once_and_again_when_something_is_new_or_gone(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    write(client, plan, store)
    (report,) = kinds(client, "report")
    assert (report.info.status, client.files) == ("RUNNING", {}), (
        "while it runs there is only a place for them"
    )
    write(client, plan, store, draw=True)
    held = client.files[report.info.run_id]
    assert set(held) == {"batch_control.md", "batch_control.tex", "batch_control.csv", "index.html"}
    assert b"0.91" in held["batch_control.md"]
    assert "0.91±0.01 (2/3)" in report.data.tags[NOTE]
    assert report.info.status == "FINISHED"
    writes = client.writes
    write(client, plan, store, draw=True)
    assert client.writes == writes
    del held["index.html"]
    write(client, plan, store, draw=True)
    assert "index.html" in held
    finish(store, dia_runs(plan)[2], 0.97)
    write(client, plan, store, draw=True)
    assert b"0.930" in held["batch_control.md"]
    assert len(kinds(client, "report")) == 1


def test_cells_link_to_the_tables(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    write(client, plan, store, draw=True)
    (report,), (cell,) = kinds(client, "report"), kinds(client, "cell")
    way = f"(#/experiments/table/runs/{report.info.run_id}/artifacts)"
    assert f"[DIA against a batch-size increment]{way}" in cell.data.tags[NOTE]
    assert f"[Table: DIA against a batch-size increment]{way}" in client.experiments["table"].tags[NOTE]


def test_a_description_that_somebody_edited_stays(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    write(client, plan, store, draw=True)
    (cell,), (report,) = kinds(client, "cell"), kinds(client, "report")
    for tags in (cell.data.tags, report.data.tags, client.experiments["table"].tags):
        tags[NOTE] = "reviewed by me"
    finish(store, dia_runs(plan)[2], 0.97)
    write(client, plan, store, draw=True)
    assert cell.data.metrics["auroc_n"] == 3
    for tags in (cell.data.tags, report.data.tags, client.experiments["table"].tags):
        assert tags[NOTE] == "reviewed by me"


def test_what_is_gone_from_the_store_goes(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI pneumonia_mnist": (0.8,)})
    write(client, plan, store)
    gone = {run.eval_key for run in (plan.cells[0].runs[0], dia_runs(plan)[1])}
    for run in (plan.cells[0].runs[0], dia_runs(plan)[1]):
        (store.eval_folder(run.train_key, run.eval_key) / "outcome.json").unlink()
    writer = Writer(client, Metric, Param)
    cells = records(plan, store)
    writer.open("table", None)
    for cell in cells:
        writer.cell(cell)
    writer.prune(lambda fit, evaluation: store.outcome(fit, evaluation) is not None)
    (cell,), (seed,) = kinds(client, "cell"), kinds(client, "seed")
    assert cell.data.metrics["auroc_n"] == 1
    assert seed.data.tags["suite.eval_key"] not in gone


def test_a_few_cells_are_asked_for_one_by_one(tmp_path: Path, store: Store) -> None:
    client, plan = Client(), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI pneumonia_mnist": (0.8,)})
    write(client, plan, store)
    cells = records(plan, store)
    csi, dia = cells
    report = report_of(plan, store, cells, draw=False)
    assert report is not None
    client.asked.clear()
    writer = Writer(client, Metric, Param)
    writer.open("table", None, [dia.key])
    writer.place(report)
    assert writer.cell(dia) == (False, 0)
    assert len([one for one in client.asked if dia.key in one]) == 2
    assert not [one for one in client.asked if csi.key in one or not one]
