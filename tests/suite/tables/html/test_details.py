"""What a cell opens is what lies in the store, thinned; whatever is spoilt there is left out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from fabric import fill, plan_of
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from pages import scored

from suite import metrics
from suite.store import Store
from suite.tables.frame import collect
from suite.tables.html.details import POINTS, Details, Pool, to_json
from suite.tables.html.thumbnails import Thumbnails

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def opened(store: Store, folder: Path, out: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """All runs of the plan of six cells, by short key, and what they share."""
    plan = plan_of(folder)
    details = Details(store, out, Thumbnails(False, store.root, None), options.get("links", {}))
    for row in collect(plan, store, assessments=()):
        details.add([row])
    runs = {key: json.loads(told) for key, told in details.blocks()}
    return runs, details.shared()


@given(JSON)
def test_json_comes_back_out_of_a_page(value: Any) -> None:
    page = f'<html><body><script id="x" type="application/json">{to_json(value)}</script></body></html>'
    (script,) = html.document_fromstring(page).xpath("//script")
    assert json.loads(script.text) == value
    assert page.isascii()


def test_what_is_not_finite_is_null() -> None:
    assert json.loads(to_json({"a": [1.0, float("nan")], "b": {"c": float("inf")}})) == {
        "a": [1, None],
        "b": {"c": None},
    }


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "]]>", "\u2028", "\ud800", "&lt;"])
def test_json_cannot_end_its_element(text: str) -> None:
    told = to_json({text: text})
    assert not set("<>&") & set(told)
    assert json.loads(told) == {text: text}


def test_a_pool_keeps_equal_values_once() -> None:
    pool = Pool()
    assert [pool.place({"a": 1, "b": 2}), pool.place({"b": 2, "a": 1}), pool.place({"a": 2})] == [0, 0, 1]
    assert pool.values == [{"a": 1, "b": 2}, {"a": 2}]


def test_a_run_is_told_in_full(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    run = plan.cells[2].runs[1]
    scored(store, run, 0.9, images=60, points=7, notes=["a note"])
    told, shared = opened(store, tmp_path, tmp_path / "out dir")
    one = told[run.eval_key[:12]]
    outcome = store.outcome(run.train_key, run.eval_key)
    assert outcome is not None
    assert one["metrics"] == dict(outcome.metrics)
    assert (one["seed"], one["method"], one["dataset"]) == (1, run.method, run.dataset)
    assert (one["train_key"], one["eval_key"]) == (run.train_key, run.eval_key)
    assert shared["settings"][one["settings"]] == json.loads(json.dumps(dict(run.settings)))
    assert shared["data"][one["data"]]["digest"] == outcome.data["digest"]
    assert shared["environment"][one["environment"]]["torch"] == "2.14.1"
    assert shared["data"][one["data"]]["notes"] == ["a note"]
    assert one["cost"]["fit_seconds"] == 60.0
    assert one["curve"] == {
        "step": list(range(1, 8)),
        "values": {"loss": [float(f"{1 / n:.4g}") for n in range(1, 8)]},
    }
    folder = os.path.normpath(tmp_path / "out dir" / unquote(one["folder"]))
    assert Path(folder) == store.run_folder(run.train_key)


def test_scores_are_drawn_from_the_file(tmp_path: Path, store: Store) -> None:
    run = plan_of(tmp_path).cells[0].runs[0]
    scored(store, run, 0.9, images=60)
    one = opened(store, tmp_path, tmp_path)[0][run.eval_key[:12]]
    kept = store.scores(run.train_key, run.eval_key)
    false, true = one["roc"]
    area = np.trapezoid(np.array(true) / true[-1], np.array(false) / false[-1])
    assert area == pytest.approx(metrics.auroc(kept["labels"], kept["score"]))
    _, _, normal, anomalous = one["histogram"]
    assert (sum(normal), sum(anomalous)) == (30, 30)
    ids, labels, scores, wrong = zip(*one["worst"], strict=True)
    assert list(wrong) == sorted(wrong, reverse=True)
    for name, label, score in zip(ids, labels, scores, strict=True):
        (at,) = np.flatnonzero(kept["ids"] == name)
        assert label == kept["labels"][at]
        assert score == pytest.approx(kept["score"][at], rel=1e-3)


def test_undone_runs_say_why(tmp_path: Path, store: Store) -> None:
    told, shared = opened(store, tmp_path, tmp_path)
    assert len(told) == 18
    assert {(one["state"], one["reason"]) for one in told.values()} == {("to run", "new")}
    assert not any("metrics" in one or "roc" in one for one in told.values())
    # Three seeds of a cell share their settings.
    assert len(shared["settings"]) == 6


def test_spoilt_files_leave_the_rest_standing(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    first, second, third = plan.cells[0].runs
    for run in (first, second, third):
        scored(store, run, 0.9)
    store.run_folder(first.train_key).joinpath("metrics.jsonl").write_bytes(b"\xff\n{")
    torn = store.eval_folder(second.train_key, second.eval_key) / "scores.npz"
    torn.write_bytes(torn.read_bytes()[:80] + b"torn" + torn.read_bytes()[84:])
    with store.eval_folder(third.train_key, third.eval_key).joinpath("scores.npz").open("wb") as stream:
        np.savez(stream, ids=np.array(["a"]), labels=np.array([1]), score=np.array([0.5]))
    told = opened(store, tmp_path, tmp_path)[0]
    assert told[first.eval_key[:12]]["curve"] == {"step": [], "values": {}}
    assert "roc" in told[first.eval_key[:12]]
    for run in (second, third):
        assert told[run.eval_key[:12]]["metrics"]["auroc"] == 0.9
        assert "roc" not in told[run.eval_key[:12]]


def test_long_curves_are_thinned(tmp_path: Path, store: Store) -> None:
    run = plan_of(tmp_path).cells[0].runs[0]
    scored(store, run, 0.9, images=3000, points=9000)
    one = opened(store, tmp_path, tmp_path)[0][run.eval_key[:12]]
    most = POINTS[1]
    assert most - 2 <= len(one["curve"]["step"]) <= most
    assert one["curve"]["step"][-1] == 9000
    assert len(one["roc"][0]) <= most


def test_links_to_the_tracker_when_they_are_known(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"CSI pneumonia_mnist": (0.8, 0.9)})
    first, second = plan.cells[0].runs[:2]
    link = {"experiment": "batch_control"}
    told = opened(store, tmp_path, tmp_path, links={first.eval_key: link})[0]
    assert told[first.eval_key[:12]]["mlflow"] == link
    assert "mlflow" not in told[second.eval_key[:12]]
