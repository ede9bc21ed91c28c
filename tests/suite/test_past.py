"""What finished work took, and which work counts as like it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fabric import finish, plan_of

from suite.past import Past
from suite.plan import Plan, Run
from suite.registry import Need
from suite.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The runs of CSI, CSI-1.5 and DIA on pneumonia_mnist, then those on breast_mnist."""
    return plan_of(tmp_path)


def _of(plan: Plan, case: str, dataset: str = "pneumonia_mnist") -> tuple[Run, ...]:
    return next(cell.runs for cell in plan.cells if cell.labels == {"dataset": dataset, "case": case})


def _seconds(past: Past, run: Run, profile: str = "paper", *, fitted: bool = False) -> float | None:
    fits = past.fits(run, profile)
    return fits.seconds(fitted=fitted) if fits else None


def test_the_nearest_past_tells(store: Store, plan: Plan) -> None:
    first, second, third = _of(plan, "CSI")
    other = _of(plan, "CSI-1.5")
    assert Past(store).fits(first, "paper") is None
    finish(store, other[0], 0.8, fit_seconds=900.0)
    past = Past(store)
    assert _seconds(past, first) == 905.0, "the same method on the same data"
    assert _seconds(past, first, fitted=True) == 5.0
    assert _seconds(past, first, "cpu") is None, "another profile is other work"
    elsewhere = _of(plan, "CSI", "breast_mnist")[0]
    assert past.fits(elsewhere, "paper") is None
    rough = past.rough(elsewhere, "paper")
    assert rough is not None
    assert rough.seconds(fitted=False) == 905.0
    finish(store, first, 0.8, fit_seconds=100.0)
    finish(store, second, 0.8, fit_seconds=300.0)
    assert _seconds(Past(store), third) == 205.0, "other seeds of the same settings know better"


def test_another_kind_of_device_tells_nothing_of_time(store: Store, plan: Plan) -> None:
    run = _of(plan, "CSI")[0]
    finish(store, run, 0.8, device="cuda (NVIDIA H100)")
    assert Past(store, "cpu").fits(run, "paper") is None
    assert Past(store, "cuda").fits(run, "paper") is not None


def test_outcomes_that_were_read_already_are_not_read_again(store: Store, plan: Plan) -> None:
    run = _of(plan, "CSI")[0]
    outcome = finish(store, run, 0.8)
    assert Past(Store(Path("/nowhere")), outcomes=lambda: [outcome]).fits(run, "paper") is not None


def test_disk_by_what_is_kept(store: Store, plan: Plan) -> None:
    run = _of(plan, "CSI")[0]
    finish(store, run, 0.8)
    folder = store.run_folder(run.train_key)
    (folder / "checkpoints").mkdir()
    (folder / "weights.pt").write_bytes(bytes(10_000))
    for number, size in ((1, 1000), (2, 3000)):
        (folder / "checkpoints" / f"snapshot-{number}.pt").write_bytes(bytes(size))
    past = Past(store)
    fits = past.fits(run, "paper")
    assert fits is not None
    (rest,) = past.fit_sizes(fits, "none")
    assert 0 < rest < 10_000
    assert past.fit_sizes(fits, "last") == [rest + 10_000]
    assert past.fit_sizes(fits, "best") == [rest + 13_000]
    assert past.fit_sizes(fits, "all") == [rest + 14_000]
    assert past.fit_sizes(type(fits)({"f" * 64: 1.0}), "all") == [], "gone meanwhile"


def _need(dataset: str = "toy", seed: int = 0, size: int = 28, steps: int = 100) -> Need:
    identity = {"data": {"name": dataset, "size": size}, "seed": seed, "settings": {"steps": steps}}
    return Need("diffusion", 1, identity, "a:b")


def _make(store: Store, need: Need, seconds: float, **facts: Any) -> None:
    folder = store.artefact_folder(need.kind, need.key)
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(bytes(5000))
    told = {
        "version": 1,
        "identity": need.identity,
        "cost": {"seconds": seconds},
        "environment": {"device": "cpu"},
    }
    (folder / "done.json").write_text(json.dumps({**told, "key": need.key, **facts}))


def test_artefacts_like_one(store: Store) -> None:
    assert Past(store).seconds(_need()) is None
    assert Past(store).sizes(_need()) == []
    _make(store, _need("other"), 50.0)
    assert Past(store).seconds(_need()) == 50.0, "of other data of the same size"
    for seed, seconds in ((1, 10.0), (2, 30.0)):
        _make(store, _need(seed=seed), seconds)
    past = Past(store, "cpu")
    assert past.seconds(_need()) == 20.0, "the same data know better"
    assert all(5000 < size < 6000 for size in past.sizes(_need()))
    assert past.seconds(_need(size=64)) is None
    assert past.seconds(_need(steps=200)) is None
    assert Past(store, "cuda").seconds(_need()) is None


def test_a_spoilt_file_tells_nothing(store: Store) -> None:
    folder = store.artefact_folder("diffusion", _need().key)
    folder.mkdir(parents=True)
    (folder / "done.json").write_text("{")
    assert Past(store).seconds(_need()) is None
