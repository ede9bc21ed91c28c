"""The run tree: outcomes are whole or absent, states are told truly."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import fabric
import numpy as np
import pytest

from suite import files
from suite.outcome import Outcome, OutcomeFault
from suite.plan import Plan
from suite.store import State, Store


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return fabric.plan_of(tmp_path / "specs")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_an_outcome_comes_back_as_it_was(store: Store, plan: Plan) -> None:
    run = plan.runs[0]
    written = fabric.finish(store, run, 0.8, candidates=({"epoch": 1.0, "auroc": 0.8},))
    assert store.outcome(run.train_key, run.eval_key) == written
    assert list(store.outcomes()) == [written]
    assert store.state(run) == State("done")
    kept = store.scores(run.train_key, run.eval_key)
    assert {name: array.dtype.kind for name, array in kept.items()} == {
        "ids": "U",
        "labels": "u",
        "score": "f",
    }


def test_nothing_is_created_by_looking(store: Store, plan: Plan) -> None:
    assert store.state(plan.runs[0]) == State(None)
    assert list(store.outcomes()) == []
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[: len(text) // 2], "not readable as JSON"),
        (lambda text: "", "not readable as JSON"),
        (lambda text: "[1, 2]", "no JSON object"),
        (lambda text: '{"format": 7}', "format 7"),
        (lambda text: json.dumps({**json.loads(text), "metrics": "good"}), "metrics is a str"),
        (lambda text: json.dumps({**json.loads(text), "metrics": {"aupr": 1}}), "auroc among them"),
        (lambda text: json.dumps({**json.loads(text), "eval_key": "0" * 64}), "belongs to another run"),
    ],
)
def test_a_spoilt_outcome_is_absent_named_and_healed(
    store: Store, plan: Plan, caplog: pytest.LogCaptureFixture, spoil: object, said: str
) -> None:
    run = plan.runs[0]
    fabric.finish(store, run, 0.8)
    path = store.eval_folder(run.train_key, run.eval_key) / "outcome.json"
    path.write_text(spoil(path.read_text()))  # type: ignore[operator]
    with caplog.at_level(logging.WARNING, "suite"):
        assert store.outcome(run.train_key, run.eval_key) is None
        assert store.state(run) == State(None)
        list(store.outcomes())
    assert len(caplog.messages) == 1, "one warning a file"
    assert str(path) in caplog.messages[0]
    assert said in caplog.messages[0]
    fabric.finish(store, run, 0.7)
    assert store.state(run) == State("done")


def test_an_outcome_without_scores_is_absent(store: Store, plan: Plan) -> None:
    run = plan.runs[0]
    fabric.finish(store, run, 0.8)
    (store.eval_folder(run.train_key, run.eval_key) / "scores.npz").unlink()
    assert store.outcome(run.train_key, run.eval_key) is None


@pytest.mark.parametrize("length", [0, 30, -1])
def test_scores_that_were_cut_short_are_absent_named_and_healed(
    store: Store, plan: Plan, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    run = plan.runs[0]
    fabric.finish(store, run, 0.8)
    path = store.eval_folder(run.train_key, run.eval_key) / "scores.npz"
    path.write_bytes(path.read_bytes()[:length])
    assert store.state(run) == State(None)
    assert "has a damaged scores.npz" in caplog.messages[0]
    fabric.finish(store, run, 0.8)
    assert store.state(run) == State("done")


def test_scores_that_were_changed_are_a_line_that_says_what_to_do(store: Store, plan: Plan) -> None:
    run = plan.runs[0]
    fabric.finish(store, run, 0.8)
    path = store.eval_folder(run.train_key, run.eval_key) / "scores.npz"
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    path.write_bytes(content)
    with pytest.raises(files.FileFault, match="delete it, and the next run scores again"):
        store.scores(run.train_key, run.eval_key)


def test_a_failure_while_writing_leaves_no_outcome(
    store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = plan.runs[0]

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        fabric.finish(store, run, 0.8)
    assert store.state(run) == State(None)
    monkeypatch.undo()
    fabric.finish(store, run, 0.8)
    assert store.state(run) == State("done")


def test_the_outcome_before_stays_until_the_new_one_is_complete(store: Store, plan: Plan) -> None:
    run = plan.runs[0]
    fabric.finish(store, run, 0.8)
    fabric.finish(store, run, 0.9, finished="2026-01-01T00:00:00+00:00")
    outcome = store.outcome(run.train_key, run.eval_key)
    assert outcome is not None
    assert outcome.metrics["auroc"] == 0.9
    folder = store.eval_folder(run.train_key, run.eval_key) / "previous"
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".npz"]
    assert len(list(store.outcomes())) == 1


def test_states(store: Store, plan: Plan) -> None:
    run, other = plan.runs[0], plan.runs[1]
    store.fail(run, "loss is nan", stage="fit")
    assert store.state(run) == State("failed", "loss is nan")
    assert store.state(other) == State(None)
    store.fail(run, "no memory", stage="score", state="interrupted")
    assert store.state(run).name == "interrupted", (
        "what befell the evaluation comes before what befell the fit"
    )
    store.clear(run)
    assert store.state(run) == State(None)
    with store.claim(store.run_folder(run.train_key)):  # type: ignore[union-attr]
        assert store.state(run).name == "running"


def test_a_failed_fit_stands_for_all_its_evaluations(store: Store, plan: Plan) -> None:
    run = plan.runs[0]
    sibling = replace(run, eval_key="f" * 64)
    store.fail(run, "broke", stage="fit")
    assert store.state(sibling) == State("failed", "broke")
    store.clear(run)
    store.fail(run, "broke", stage="score")
    assert store.state(sibling) == State(None)


def test_from_json_names_what_is_missing() -> None:
    with pytest.raises(OutcomeFault, match="has no method"):
        Outcome.from_json({"format": 1})


@pytest.mark.slow
def test_scanning_ten_thousand_outcomes(store: Store, plan: Plan) -> None:
    first = fabric.outcome_of(plan.runs[0], 0.8).to_json()
    empty = b"PK\5\6" + bytes(18)
    for number in range(10_000):
        folder = store.root / "runs" / f"{number:012x}" / "eval" / f"{number:012x}"
        folder.mkdir(parents=True)
        (folder / "scores.npz").write_bytes(empty)
        (folder / "outcome.json").write_text(json.dumps(first))
    start = time.process_time()
    assert sum(1 for _ in store.outcomes()) == 10_000
    assert time.process_time() - start < 3
