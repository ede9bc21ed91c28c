"""The MLflow mirror: the same numbers as the table, nothing twice, and never in the way."""

from __future__ import annotations

import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fabric import fill, finish, plan_of

from suite import claims, tracking
from suite.mirror.cells import records
from suite.mirror.stamp import Put, Stamp, Written
from suite.store import Store
from suite.tables import text
from suite.tables.table import build


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, made once: making one takes mlflow seconds."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path: Path, database: Path) -> Store:
    store = Store(tmp_path / "runs")
    store.root.mkdir()
    shutil.copy(database, store.root / "mlflow.db")
    return store


def runs_of(store: Store, experiment: str = "batch_control") -> tuple[list[Any], list[Any]]:
    """The mirrored cells and seeds, with a client of the test's own."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking.tracking_uri(store))
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = list(client.search_runs([found.experiment_id], max_results=1000))
    cells, seeds = ([run for run in runs if run.data.tags["suite.kind"] == kind] for kind in ("cell", "seed"))
    assert all("mlflow.parentRunId" in run.data.tags for run in seeds)
    return cells, seeds


def history(store: Store, run: Any, metric: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking.tracking_uri(store))
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, metric)]


def test_mirror_holds_the_numbers_of_the_rendered_table(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(
        store,
        plan,
        {
            "CSI pneumonia_mnist": (0.8214, 0.8377, 0.8592),
            "DIA pneumonia_mnist": (0.9031, 0.9178, 0.9524),
            "DIA breast_mnist": (0.7123, 0.7511),
            "CSI-1.5 breast_mnist": (0.6,),
        },
    )
    assert tracking.sync([plan], store) == tracking.Synced(tracking.tracking_uri(store), 4, 9, 1)
    cells, seeds = runs_of(store)
    mirrored = {run.info.run_name: run for run in cells}
    printed = {}
    for entry in build(plan, store, assessments=()).entries:
        name = ", ".join(entry.cell.labels.values())
        printed[name] = text.value(entry)
        if entry.n == 0:
            assert name not in mirrored
            continue
        held = mirrored[name].data.metrics
        digits = 3 if entry.complete else 2
        spread = f"±{held['auroc_std']:.{digits}f}" if "auroc_std" in held else ""
        count = "" if entry.complete else f" ({held['auroc_n']:.0f}/3)"
        assert f"{held['auroc_mean']:.{digits}f}{spread}{count}" == printed[name]
    assert printed["DIA, pneumonia_mnist"] == "0.924±0.025"
    assert len(seeds) == 9
    for seed in seeds:
        parent = next(run for run in cells if run.info.run_id == seed.data.tags["mlflow.parentRunId"])
        assert parent.data.tags["suite.cell_key"] == seed.data.tags["suite.cell_key"]
        assert seed.info.status == parent.info.status == "FINISHED"
        assert seed.data.params["train.batch"] == parent.data.params["train.batch"]
        outcome = store.outcome(seed.data.tags["suite.train_key"], seed.data.tags["suite.eval_key"])
        assert outcome is not None
        assert seed.data.metrics["auroc"] == outcome.metrics["auroc"]


def test_writing_twice_adds_nothing(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.91), "CSI pneumonia_mnist": (0.8,)})
    tracking.sync([plan], store)
    before = runs_of(store)
    for check in (True, False):
        assert tracking.sync([plan], store, check=check) == tracking.Synced(tracking.tracking_uri(store))
    (store.root / "mlflow-mirrored.json").unlink()
    assert (tracking.sync([plan], store).cells, tracking.sync([plan], store).seeds) == (0, 0)
    after = runs_of(store)
    assert [[run.info.run_id for run in part] for part in after] == [
        [run.info.run_id for run in part] for part in before
    ]
    for run in after[0]:
        assert len(history(store, run, "auroc_mean")) == 1


def test_a_further_seed_moves_the_mean_and_keeps_the_runs(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    tracking.sync([plan], store)
    (before,) = runs_of(store)[0]
    finish(store, _runs(plan, "DIA pneumonia_mnist")[2], 0.97)
    assert tracking.sync([plan], store, check=False).seeds == 1
    cells, seeds = runs_of(store)
    assert [run.info.run_id for run in cells] == [before.info.run_id]
    assert len(seeds) == 3
    assert history(store, cells[0], "auroc_mean") == [(2, pytest.approx(0.91)), (3, pytest.approx(0.93))]
    assert cells[0].data.tags["suite.complete"] == "3/3"


def test_a_result_computed_anew_replaces_the_old_one(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    tracking.sync([plan], store)
    finish(store, _runs(plan, "DIA pneumonia_mnist")[0], 0.70, finished="2026-01-01T00:00:00+00:00")
    tracking.sync([plan], store, check=False)
    (cell,), seeds = runs_of(store)
    assert cell.data.metrics["auroc_mean"] == pytest.approx(0.81)
    assert history(store, cell, "auroc_mean") == [(2, pytest.approx(0.81))]
    assert sorted(run.data.metrics["auroc"] for run in seeds) == [0.70, 0.92]
    assert {run.data.tags["mlflow.parentRunId"] for run in seeds} == {cell.info.run_id}


def test_a_half_written_run_is_written_again(tmp_path: Path, store: Store) -> None:
    from mlflow.tracking import MlflowClient

    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    tracking.sync([plan], store)
    client = MlflowClient(tracking_uri=tracking.tracking_uri(store))
    (cell,), seeds = runs_of(store)
    for run in (cell, seeds[0]):
        client.update_run(run.info.run_id, status="RUNNING")
    assert tracking.sync([plan], store).seeds == 1
    (again,), both = runs_of(store)
    assert {run.info.status for run in (again, *both)} == {"FINISHED"}
    assert len(both) == 2
    assert {run.data.tags["mlflow.parentRunId"] for run in both} == {again.info.run_id}


def test_a_stamp_of_a_database_that_was_deleted_is_not_believed(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    cells = {cell.key: Put(cell.fingerprint, "run") for cell in records(plan, store)}
    stamp = Stamp(store.root, tracking.tracking_uri(store), "")
    stamp.write("batch_control", Written("1", cells), "an earlier file")
    assert tracking.sync([plan], store, check=False).seeds == 1
    assert tracking.sync([plan], store, check=False).seeds == 0


def test_curves_and_description_go_along(tmp_path: Path, store: Store) -> None:
    from mlflow.tracking import MlflowClient

    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    folder = store.run_folder(_runs(plan, "DIA pneumonia_mnist")[0].train_key)
    (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 9, "loss": 0.5}\n')
    tracking.sync([plan], store)
    _, (seed,) = runs_of(store)
    assert history(store, seed, "curve.loss") == [(1, 2.5), (9, 0.5)]
    client = MlflowClient(tracking_uri=tracking.tracking_uri(store))
    experiment = client.get_experiment_by_name("batch_control")
    assert experiment is not None
    (report,) = client.search_runs([experiment.experiment_id], "tags.`suite.kind` = 'report'")
    assert "| 0.90 (1/3) (paper 0.903, −0.003) |" in report.data.tags["mlflow.note.content"]
    assert f"/runs/{report.info.run_id}/artifacts" in experiment.tags["mlflow.note.content"]
    names = {one.path for one in client.list_artifacts(report.info.run_id)}
    assert names == {"batch_control.md", "batch_control.tex", "batch_control.csv", "index.html"}
    assert experiment.artifact_location.startswith(store.root.absolute().as_uri())


def test_two_specs_that_share_runs_have_them_both(tmp_path: Path, store: Store) -> None:
    plans = [plan_of(tmp_path), plan_of(tmp_path, name="another")]
    fill(store, plans[0], {"DIA pneumonia_mnist": (0.90,)})
    assert tracking.sync(plans, store).seeds == 2
    assert len(runs_of(store, "another")[1]) == len(runs_of(store)[1]) == 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("case", ["server away", "no database", "not a database"])
def test_an_unreachable_store_is_one_warning(
    tmp_path: Path, store: Store, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    (tmp_path / "garbage.db").write_bytes(b"this is no database at all" * 100)
    uri = {
        "server away": f"http://name:secret@127.0.0.1:{_free_port()}",
        "no database": "sqlite:////dev/null/none/mlflow.db",
        "not a database": f"sqlite:///{tmp_path / 'garbage.db'}",
    }[case]
    began = time.monotonic()
    with caplog.at_level("WARNING"):
        done = tracking.sync([plan], store, uri)
    assert time.monotonic() - began < 30
    assert done.warning.startswith("MLflow (")
    assert "secret" not in done.warning
    assert [record.getMessage() for record in caplog.records] == [done.warning]
    assert len(done.warning.splitlines()) == 1


def test_without_mlflow_there_is_one_warning(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    for name in ("mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    mirror = tracking.Mirror([plan], store)
    with caplog.at_level("WARNING"):
        mirror.update()
        warning = mirror.close().warning
    assert warning.startswith("MLflow is not installed")
    assert [record.getMessage() for record in caplog.records] == [warning]


class Silent:
    """A server that accepts and never answers."""

    def __enter__(self) -> str:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=50)
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()


@pytest.mark.long
def test_a_server_that_never_answers_delays_nothing(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    with Silent() as uri, caplog.at_level("WARNING"):
        mirror = tracking.Mirror([plan], store, uri)
        began = time.monotonic()
        mirror.update()
        assert time.monotonic() - began < 1
        done = mirror.close(timeout=0.5)
        assert "slow and was left behind" in done.warning
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        tracking._WRITING.acquire(timeout=60)
        tracking._WRITING.release()
        began = time.monotonic()
        assert "is not up to date" in tracking.sync([plan], store, uri).warning
        assert time.monotonic() - began < 30
    assert all(len(record.getMessage().splitlines()) == 1 for record in caplog.records)


@pytest.mark.slow
def test_a_locked_database_is_one_warning_and_healed(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    holder = sqlite3.connect(store.root / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        began = time.monotonic()
        mirror = tracking.Mirror([plan], store)
        mirror.update()
        assert time.monotonic() - began < 1
        warning = mirror.close().warning
    finally:
        holder.rollback()
        holder.close()
    assert "locked" in warning or "slow" in warning
    assert len(warning.splitlines()) == 1
    assert tracking.sync([plan], store).seeds == 1


def everything(uri: str, experiment: str = "batch_control") -> Any:
    """All that an experiment holds but the numbers that MLflow gives and the links made of them."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = {run.info.run_id: run for run in client.search_runs([found.experiment_id], max_results=1000)}

    def named(text: str) -> str:
        for run_id, run in runs.items():
            text = text.replace(run_id, run.data.tags["suite.row"])
        return text.replace(f"experiments/{found.experiment_id}/", "experiments/N/")

    def told(run: Any) -> Any:
        tags = {name: named(value) for name, value in run.data.tags.items() if name != "suite.note"}
        points = {
            name: [
                (one.step, one.value, one.timestamp)
                for one in client.get_metric_history(run.info.run_id, name)
            ]
            for name in run.data.metrics
        }
        files = {}
        for one in client.list_artifacts(run.info.run_id):
            path = client.download_artifacts(run.info.run_id, one.path)
            text = named(Path(path).read_text(encoding="utf-8"))
            files[one.path] = re.sub(r"http://127.0.0.1:\d+", "", text)
        times = (run.info.start_time, run.info.end_time, run.info.status)
        return tags, run.data.params, points, files, times

    tags = {name: named(value) for name, value in found.tags.items() if name != "suite.note"}
    return tags, {run.data.tags["suite.row"]: told(run) for run in runs.values()}


@pytest.mark.slow
def test_all_is_rebuilt_from_the_run_tree(tmp_path: Path, store: Store, database: Path) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92), "CSI pneumonia_mnist": (0.8, 0.7, 0.9)})
    for run in plan.runs:
        if (folder := store.run_folder(run.train_key)).exists():
            (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 9, "loss": 0.5}\n')
    uri = tracking.tracking_uri(store)
    tracking.sync([plan], store)
    before = everything(uri)
    assert len(before[1]) == 1 + 2 + 5
    assert "batch_control.md" in before[1]["0000"][3]
    # Nothing but the run tree is kept.
    other = Store(tmp_path / "other")
    shutil.copytree(store.root / "runs", other.root / "runs")
    shutil.copy(database, other.root / "mlflow.db")
    done = tracking.sync([plan], other)
    assert (done.cells, done.seeds, done.reports, done.warning) == (2, 5, 1, "")
    assert everything(tracking.tracking_uri(other)) == before


def test_a_store_that_was_moved_keeps_its_mirror(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    tracking.sync([plan], store)
    before = everything(tracking.tracking_uri(store))
    store.root.rename(tmp_path / "elsewhere")
    store = Store(tmp_path / "elsewhere")
    done = tracking.sync([plan], store)
    assert (done.cells, done.seeds, done.reports, done.warning) == (0, 0, 0, "")
    assert everything(tracking.tracking_uri(store)) == before
    assert not (tmp_path / "runs").exists()


def test_reports_link_to_what_was_mirrored(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    assert tracking.links([plan], store).cells == {}
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    tracking.sync([plan], store)
    (cell,), seeds = runs_of(store)
    found = tracking.links([plan], store)
    assert list(found.cells.values()) == [
        f"http://127.0.0.1:5000/#/experiments/{cell.info.experiment_id}/runs/{cell.info.run_id}"
    ]
    assert {key: url.rpartition("/")[2] for key, url in found.seeds.items()} == {
        run.data.tags["suite.eval_key"]: run.info.run_id for run in seeds
    }
    assert (
        tracking.links([plan], store, base="http://host")
        .cells[cell.data.tags["suite.cell_key"]]
        .startswith("http://host/#/")
    )
    (store.root / "mlflow.db").unlink()
    assert tracking.links([plan], store).cells == {}, "of a database that is gone nothing is known"


def test_nothing_is_imported_while_nothing_is_new(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from pathlib import Path
from fabric import plan_of
from suite.store import Store
from suite import tracking
plan = plan_of(Path({str(tmp_path)!r}))
mirror = tracking.Mirror([plan], Store(Path({str(tmp_path / "runs")!r})))
mirror.update()
mirror.close()
print("mlflow" in sys.modules, Path({str(tmp_path / "runs")!r}).exists())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.slow
def test_a_new_database_is_made_in_silence(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from pathlib import Path
from fabric import fill, plan_of
from suite.store import Store
from suite import tracking
plan, store = plan_of(Path({str(tmp_path)!r})), Store(Path({str(tmp_path / "runs")!r}))
fill(store, plan, {{"DIA pneumonia_mnist": (0.9,)}})
print(tracking.sync([plan], store).seeds)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_mirror_follows_a_running_plan(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    mirror = tracking.Mirror([plan], store)
    runs = _runs(plan, "DIA pneumonia_mnist")
    for run, auroc in zip(runs, (0.90, 0.91, 0.92), strict=True):
        finish(store, run, auroc)
        began = time.monotonic()
        mirror.update()
        assert time.monotonic() - began < 0.5
    done = mirror.close()
    assert (done.seeds, done.warning) == (3, "")
    (cell,), seeds = runs_of(store)
    assert len(seeds) == 3
    assert cell.data.metrics["auroc_mean"] == pytest.approx(0.91)
    assert mirror.close() == done


def test_another_writer_is_waited_for_and_then_said(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    held = claims.claim(store.root / "mlflow")
    assert held is not None
    with held:
        assert re.search(
            r"another process \(.*, process \d+\) is writing",
            tracking.sync([plan], store, patience=0.2).warning,
        )
    assert tracking.sync([plan], store).seeds == 1


def test_a_running_mirror_comes_back_to_what_it_found_busy(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    held = claims.claim(store.root / "mlflow")
    assert held is not None
    mirror = tracking.Mirror([plan], store)
    with held:
        mirror.update()
        time.sleep(1.0)
    done = mirror.close()
    assert (done.seeds, done.warning) == (1, "")
    assert not [record for record in caplog.records if record.name == "suite"]


def test_one_mirror_serves_several_plans(tmp_path: Path, store: Store) -> None:
    plans = [plan_of(tmp_path, name=name) for name in ("first", "second", "third")]
    fill(store, plans[0], {"DIA pneumonia_mnist": (0.90, 0.91)})
    mirror = tracking.Mirror(plans, store)
    mirror.update()
    done = mirror.close()
    assert (done.seeds, done.reports, done.warning) == (6, 3, "")


def test_where_the_mirror_is(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.tracking_uri(store) == f"sqlite:///{store.root.absolute()}/mlflow.db"
    assert tracking.tracking_uri(store, "http://host") == "http://host"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other")
    assert tracking.tracking_uri(store) == "http://other"


def _runs(plan: Any, label: str) -> Any:
    return next(cell.runs for cell in plan.cells if " ".join(cell.labels.values()) == label)
