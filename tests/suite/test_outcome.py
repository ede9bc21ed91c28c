"""An outcome survives the way through JSON, and what is none is refused with the entry that is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from suite.outcome import Outcome, OutcomeFault

OUTCOME = Outcome(
    method="csi",
    version=1,
    dataset="phantom",
    seed=2,
    profile="cpu",
    train_key="a" * 64,
    eval_key="b" * 64,
    train={"method": "csi"},
    evaluation={"selection": "best_val"},
    settings={"train.batch": 32},
    metrics={"auroc": 0.8125, "aupr": 0.5},
    counts={"train": 10, "normal": 4, "anomalous": 4},
    data={"digest": "c" * 64},
    selection="best_val",
    epoch=0.5,
    environment={"torch": "2"},
    cost={"fit_seconds": 1.5},
    notes=("shared",),
    candidates=({"epoch": 0.5, "auroc": 0.8},),
)


def _plain(**changes: Any) -> dict[str, Any]:
    return {**OUTCOME.to_json(), **changes}


def test_json_and_back_loses_nothing() -> None:
    assert Outcome.from_json(json.loads(json.dumps(OUTCOME.to_json()))) == OUTCOME


def test_entries_of_a_later_version_do_not_disturb() -> None:
    assert Outcome.from_json(_plain(added_later=1)) == OUTCOME


def test_entries_that_were_added_later_may_be_missing() -> None:
    plain = _plain()
    for name in ("notes", "candidates", "artefacts", "artefact_info", "source", "finished"):
        del plain[name]
    assert Outcome.from_json(plain).metrics == OUTCOME.metrics


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": 2}, "format 2 is not 1"),
        ({"seed": "2"}, "seed is a str"),
        ({"seed": True}, "seed is a bool"),
        ({"metrics": []}, "metrics is a list"),
        ({"metrics": {"aupr": 0.5}}, "auroc among them"),
        ({"metrics": {"auroc": "0.8"}}, "must be numbers"),
        ({"epoch": "last"}, "epoch is a str"),
    ],
)
def test_a_wrong_entry_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(OutcomeFault, match=told):
        Outcome.from_json(_plain(**changes))


def test_a_missing_entry_is_named() -> None:
    plain = _plain()
    del plain["eval_key"]
    with pytest.raises(OutcomeFault, match="has no eval_key"):
        Outcome.from_json(plain)


@pytest.mark.parametrize(
    ("facts", "signs"),
    [
        ({"l1": 0.25, "variance": {"0": 0.04, "100": 0.03}}, {"diffusion_loss": 0.25, "variance_kept": 0.75}),
        ({"l2": 0.5, "variance": {"0": 0.0, "100": 0.0}}, {"diffusion_loss": 0.5}),
        ({}, {}),
        (None, {}),
    ],
)
def test_signs_of_the_diffusion_model(facts: Any, signs: dict[str, float]) -> None:
    known = {} if facts is None else {"diffusion": {"facts": facts}}
    assert Outcome.from_json(_plain(artefact_info=known)).signs == pytest.approx(signs)
