"""What is to come, against what there is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from engine import Bench
from fabric import finish, plan_of

from suite.executors import Task
from suite.executors.foresight import Foresight, amount, foresee, timed
from suite.executors.order import with_artefacts
from suite.past import Past
from suite.plan import Plan
from suite.store import Store


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def _foresee(plan: Plan, store: Store, **options: Any) -> Foresight:
    past = Past(store)
    tasks = timed([Task(run, profile=plan.profile) for run in plan.runs], past)
    return foresee(with_artefacts(tasks, store, past), past, **{"keep": "all", "slots": 2, **options})


PACKS = 784 * (1214 + 3494 + 135 + 389 + 234 + 390 + 399 + 147 + 57 + 21 + 114 + 42)
"""Bytes of PneumoniaMNIST and BreastMNIST."""


def test_nothing_known_is_said_so(plan: Plan, store: Store) -> None:
    seen = _foresee(plan, store)
    assert (seen.size, seen.sure, seen.seconds) == (PACKS, PACKS, 0.0)
    assert seen.unknown == ("18 of 18 runs", "2 of 2 artefacts")
    assert str(seen).startswith("to come: about 5.2 MB of ")
    assert str(seen).endswith(
        "; unknown what 18 of 18 runs, 2 of 2 artefacts take, as nothing like them is done"
    )


def test_past_runs_tell_of_disk_and_time(plan: Plan, store: Store) -> None:
    done, *others = (run for run in plan.runs if run.method == "csi" and run.dataset == "breast_mnist")
    finish(store, done, 0.8, fit_seconds=95.0)
    (store.run_folder(done.train_key) / "weights.pt").write_bytes(bytes(10**6))
    assert len(others) == 5
    past = Past(store)
    tasks = timed([Task(run) for run in others], past)
    seen = foresee(tasks, past, keep="all", slots=2)
    assert seen.seconds == 250.0
    assert seen.unknown == ()
    assert 5_000_000 < seen.sure - 784 * 780 <= seen.size - 784 * 780 < 5_100_000
    assert "about 4 min" in str(seen)
    assert "unknown" not in str(seen)
    assert foresee(tasks, past, keep="none", slots=2).size < 784 * 780 + 50_000
    assert foresee(tasks, past, keep="all", slots=9).seconds == 100.0, "no shorter than the longest run"
    assert _foresee(plan, store).unknown == ("12 of 18 runs", "2 of 2 artefacts")


def test_what_is_fitted_is_only_scored(bench: Bench) -> None:
    """The fit of a run that is asked for with another scoring is there; packed data are too."""
    run, again = bench.run(), bench.run(score__gain=2.0)
    store = Store(bench.store)
    finish(store, run, 0.8)
    (store.run_folder(run.train_key) / "fit.json").write_text("{}")
    past = Past(store)
    (task,) = timed([Task(again)], past)
    assert task.seconds == 5.0
    (anew,) = timed([Task(again, force="fit")], past)
    assert anew.seconds == 65.0
    assert foresee([task], past, keep="all", slots=1).unknown == ("the data of toy",)


def test_a_chain_of_artefact_and_run_is_no_shorter_on_many_places(bench: Bench) -> None:
    run = bench.run(uses="artefact")
    store = Store(bench.store)
    finish(store, bench.run(seed=1, uses="artefact"), 0.8)
    (need,) = run.needs
    for seed, seconds in ((7, 100.0), (8, 200.0)):
        folder = store.artefact_folder(need.kind, f"{seed}" * 64)
        folder.mkdir(parents=True)
        facts = {
            "version": need.version,
            "identity": {**need.identity, "seed": seed},
            "environment": {"device": "cpu"},
        }
        (folder / "done.json").write_text(json.dumps({**facts, "cost": {"seconds": seconds}}))
    past = Past(store)
    tasks = with_artefacts(timed([Task(run)], past), store, past)
    assert [task.seconds for task in tasks] == [150.0, 65.0]
    assert foresee(tasks, past, keep="all", slots=8).seconds == 215.0


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("free", "tight", "impossible"),
    [(2 * PACKS, False, False), (int(1.1 * PACKS), True, False), (PACKS - 1, True, True)],
)
def test_too_little_disk(
    plan: Plan, store: Store, monkeypatch: pytest.MonkeyPatch, free: int, tight: bool, impossible: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 0, free))
    seen = _foresee(plan, store)
    assert (seen.free, seen.tight, seen.impossible) == (free, tight, impossible)


def test_amounts() -> None:
    assert [amount(size) for size in (0, 1234, 56_000, 7.89e6, 123e9, 5e12)] == [
        "0.0 kB",
        "1.2 kB",
        "56 kB",
        "7.9 MB",
        "123 GB",
        "5000 GB",
    ]
