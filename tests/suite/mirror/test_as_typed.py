"""MLflow as people meet it: typed commands, with MLflow absent and silent."""

from __future__ import annotations

import os
import socket

import engine
import pytest

from suite.store import Store

pytestmark = pytest.mark.slow
HIDDEN = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, path=None, target=None: None if name.split(".")[0] == "mlflow" else find(name, path, target)
)
"""
"""A machine on which mlflow is not installed."""
ONE = ("toy.toml", "--only", "train.steps=8", "-j", "1")


@pytest.fixture
def without_mlflow(bench: engine.Bench, monkeypatch: pytest.MonkeyPatch) -> engine.Bench:
    (bench.folder / "hidden").mkdir()
    (bench.folder / "hidden" / "sitecustomize.py").write_text(HIDDEN)
    path = os.pathsep.join([str(bench.folder / "hidden"), os.environ["PYTHONPATH"]])
    monkeypatch.setenv("PYTHONPATH", path)
    return bench


def test_where_mlflow_is_not_installed_all_but_its_pages_work(without_mlflow: engine.Bench) -> None:
    bench = without_mlflow
    told = bench.cli("run", *ONE)
    assert [line for line in told.splitlines() if "MLflow" in line] == [
        line for line in told.splitlines() if line.startswith("warning: MLflow is not installed")
    ]
    assert told.count("MLflow is not installed") == 1
    assert "Traceback" not in told
    assert len(list(Store(bench.store).outcomes())) == 2
    bench.cli("report", "--formats", "md,html")
    assert "MLflow" not in bench.cli("run", *ONE, "--no-mlflow")
    assert bench.cli("sync", code=1).count("MLflow is not installed") == 1
    told = bench.cli("ui", "toy.toml", code=2)
    assert "MLflow is not installed: pip install mlflow" in told
    assert "Traceback" not in told


def test_a_server_that_never_answers_changes_no_result(
    bench: engine.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        told = bench.cli("run", *ONE, "--tracking-uri", f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert len(list(Store(bench.store).outcomes())) == 2
    assert len([line for line in told.splitlines() if line.startswith("warning: MLflow")]) == 1
    assert "`suite sync`" in told
    assert "Traceback" not in told
