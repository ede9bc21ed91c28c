"""The record of a plan's tables and figures: what it holds, and when it is another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric import fill, plan_of

from suite.mirror.cells import records
from suite.mirror.report import ReportRecord, report_of
from suite.mirror.stamp import Links
from suite.plan import Plan
from suite.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def record(plan: Plan, store: Store) -> ReportRecord:
    found = report_of(plan, store, records(plan, store), draw=True)
    assert found is not None
    return found


def test_nothing_to_show_has_no_record(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    assert report_of(plan, store, records(plan, store), draw=True) is None


def test_it_holds_every_format_the_same_each_time(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path, profile="smoke")
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)}, profile="smoke")
    made = record(plan, store)
    assert made.tags["mlflow.runName"] == "Table: DIA against a batch-size increment (smoke)"
    assert (made.key, made.tags["suite.complete"]) == ("batch_control-smoke", "1/6 cells")
    shown = made.shown()
    (cell,) = records(plan, store)
    links = Links({cell.cell: "http://127.0.0.1:5000/#/experiments/1/runs/abc"})
    files = dict(made.files(shown, links))
    assert files == dict(made.files(shown, links))
    assert set(files) == {f"batch_control-smoke.{kind}" for kind in ("md", "tex", "csv")} | {"index.html"}
    page = files["index.html"].decode()
    assert 'href="http://127.0.0.1:5000/#/experiments/1/runs/abc"' in page
    assert str(tmp_path) not in page, "it stands elsewhere, so it names no place of this machine"
    assert "| 0.91±0.01 (2/3)" in made.note(shown)


def test_its_fingerprint_follows_results_and_spec(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    one = record(plan, store).fingerprint
    assert record(plan, store).fingerprint == one
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.92)})
    two = record(plan, store).fingerprint
    plan.spec.path.write_text(plan.spec.path.read_text().replace("increment", "increase"))
    assert len({one, two, record(plan, store).fingerprint}) == 3


def test_too_long_a_table_leaves_the_title(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90,)})
    monkeypatch.setattr("suite.mirror.report.NOTE_LENGTH", 100)
    assert (
        record(plan, store)
        .note(record(plan, store).shown())
        .startswith("# DIA against a batch-size increment")
    )
