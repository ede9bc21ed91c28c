"""MLflow as people meet it: typed commands, with MLflow absent, silent, and in a real browser."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engine
import pytest
from browser import chromium
from fabric import fill, plan_of

from suite import tracking
from suite.store import Store

pytestmark = pytest.mark.long
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


@pytest.fixture
def shown(bench: engine.Bench) -> Iterator[tuple[engine.Bench, str, str]]:
    """A small spec that has run, the address at which ``suite ui`` shows it, and what it said."""
    bench.cli("run", "toy.toml", "-j", "1", "--no-mlflow")
    log = bench.folder / "ui.log"
    with socket.create_server(("127.0.0.1", 0)) as taken, log.open("w") as stream:
        port = str(taken.getsockname()[1])
        words = [sys.executable, "-P", "-m", "suite.cli", "ui", "toy.toml", "--no-browser", "--port", port]
        served = subprocess.Popen(
            words, cwd=bench.folder, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            bench.wait_for(lambda: "Ctrl-C" in log.read_text() or served.poll() is not None, 600)
            told = log.read_text()
            assert served.poll() is None, told
            assert f"port {port} is taken" in told
            yield bench, re.findall(r"http://\S+#\S+", told)[0], told
        finally:
            served.send_signal(signal.SIGTERM)
            assert served.wait(120) == 0
    address = re.findall(r"http://127.0.0.1:(\d+)/", told)[0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address)), timeout=5)


def test_the_pages_show_what_the_table_shows(shown: tuple[engine.Bench, str, str], tmp_path: Path) -> None:
    bench, address, _ = shown
    with chromium(tmp_path / "profile", "127.0.0.1") as context:
        page = context.new_page()
        page.set_default_timeout(400_000)
        # Columns out of sight are not in the page at all.
        page.set_viewport_size({"width": 2600, "height": 1000})
        page.goto(address)
        table = (bench.folder / "reports" / "out" / "toy.md").read_text()
        for steps in (8, 16):
            row = _row(page, str(steps))
            mean, std = float(row["metrics.`auroc_mean`"]), float(row["metrics.`auroc_std`"])
            assert re.search(rf"^\| {steps} \|.* \*{{0,2}}{mean:.3f}±{std:.3f}", table, re.MULTILINE)
            assert (row["metrics.`auroc_n`"], row["tags.`suite.complete`"]) == ("2", "2/2")
        _save(page, "experiment")
        base = address.partition("/#")[0]
        bench.cli("report", "--formats", "html", "--mlflow-url", base)
        _from_report_to_mlflow_and_back(context, bench, base)
    _another_store_through_the_server(tmp_path, base)


def _from_report_to_mlflow_and_back(context: Any, bench: engine.Bench, base: str) -> None:
    page = context.new_page()
    page.set_default_timeout(400_000)
    page.goto((bench.folder / "reports" / "out" / "index.html").as_uri())
    link = page.locator("td.num a.tracker").first
    value = page.locator("td.num .value").first.inner_text()
    with context.expect_page() as opened:
        link.click()
    run = opened.value
    run.set_default_timeout(400_000)
    run.wait_for_url(lambda url: url.startswith(f"{base}/#/experiments/"))
    run.get_by_text(value).first.wait_for()
    assert "row 8" in run.inner_text("body")
    _save(run, "cell")
    way = run.get_by_role("link", name="Toy", exact=True).get_attribute("href")
    run.goto(f"{base}/{way}")
    run.get_by_text("index.html").first.click()
    frame = run.frame_locator("iframe").first
    frame.locator("td.num .value").first.wait_for()
    assert frame.locator("td.num .value").first.inner_text() == value
    _save(run, "report")


def _another_store_through_the_server(tmp_path: Path, uri: str) -> None:
    """The server takes what another machine's store sends it, files too, and a second time nothing."""
    from mlflow.tracking import MlflowClient

    store, plan = Store(tmp_path / "other"), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92, 0.97)})
    done = tracking.sync([plan], store, uri)
    assert (done.cells, done.seeds, done.reports, done.warning) == (1, 3, 1, "")
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name("batch_control")
    assert found is not None
    (report,) = client.search_runs([found.experiment_id], "tags.`suite.kind` = 'report'")
    path = client.download_artifacts(report.info.run_id, "batch_control.md", str(tmp_path))
    assert "0.930±0.036" in Path(path).read_text()
    assert report.info.artifact_uri.startswith("mlflow-artifacts:")
    for check in (True, False):
        assert tracking.sync([plan], store, uri, check=check) == tracking.Synced(uri)
    assert len(client.search_runs([found.experiment_id])) == 5


def _row(page: Any, name: str) -> dict[str, str]:
    """What the row of a cell shows, by column. It is drawn in two parts, one of which stays when one scrolls."""
    page.get_by_role("link", name=name, exact=True).wait_for()
    row = page.locator(".ag-pinned-left-cols-container [row-id], .ag-center-cols-container [row-id]")
    (key,) = {
        one.get_attribute("row-id")
        for one in row.all()
        if name in [text.strip() for text in one.inner_text().splitlines()]
        and one.get_by_role("link").count()
    }
    cells = page.locator(f'[row-id="{key}"] [col-id]')
    cells.first.wait_for()
    return {one.get_attribute("col-id"): one.inner_text().strip() for one in cells.all()}


def _save(page: Any, name: str) -> None:
    """For eyes: where SUITE_SHOTS names a folder."""
    if folder := os.environ.get("SUITE_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")
