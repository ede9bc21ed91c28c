"""A run that travels is what it says, or is refused in one line that says why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import Bench

from suite import carry
from suite.carry import Unfit
from suite.files import write_json
from suite.job import Conditions, run_to_json
from suite.plan import expand
from suite.run import execute, make_artefact
from suite.spec import load_spec
from suite.store import Store


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))


@pytest.fixture
def places(bench: Bench) -> tuple[Path, Path]:
    """The folders of a finished fit and of its evaluation."""
    run, store = bench.run(), Store(bench.store)
    execute(run, store)
    return store.run_folder(run.train_key), store.eval_folder(run.train_key, run.eval_key)


def look(fit: Path, evaluation: Path) -> None:
    run = carry.fit_in(fit)
    assert carry.outcome_in(evaluation, run.train_key) is not None


def swapped(path: Path) -> None:
    """Other scores under the same names."""
    with np.load(path / "scores.npz") as kept:
        arrays = dict(kept)
    arrays["score"] = arrays["score"][::-1] ** 3
    np.savez(path / "scores.npz", **arrays)


DAMAGE: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "settings": (
        lambda fit, _: edit(fit / "settings.json", lambda s: s["train"].update(seed=9)),
        "do not give its key",
    ),
    "needs": (
        lambda fit, _: edit(fit / "settings.json", lambda s: s["train"]["artefacts"].update(fake="0" * 64)),
        "do not give its key",
    ),
    "no settings": (lambda fit, _: (fit / "settings.json").unlink(), "no description of a run"),
    "spoilt settings": (lambda fit, _: (fit / "settings.json").write_text("{"), "settings.json is spoilt"),
    "a list": (
        lambda fit, _: edit(fit / "settings.json", lambda s: s.update(needs=[5])),
        "no description of a run",
    ),
    "cut outcome": (
        lambda _, place: (place / "outcome.json").write_text((place / "outcome.json").read_text()[:200]),
        "truncated",
    ),
    "outcome of other settings": (
        lambda _, place: edit(place / "outcome.json", lambda o: o["train"].update(version=7)),
        "do not give its key",
    ),
    "outcome of another evaluation": (
        lambda _, place: edit(place / "outcome.json", lambda o: o["evaluation"].update(split="val")),
        "do not give its key",
    ),
    "a better number": (
        lambda _, place: edit(place / "outcome.json", lambda o: o["metrics"].update(auroc=0.99)),
        "do not give its AUROC of 0.9900",
    ),
    "other scores": (lambda _, place: swapped(place), "do not give its AUROC"),
    "no scores": (lambda _, place: (place / "scores.npz").unlink(), "has no scores.npz"),
    "cut scores": (
        lambda _, place: (place / "scores.npz").write_bytes((place / "scores.npz").read_bytes()[:300]),
        "scores.npz is truncated",
    ),
}


def test_what_is_damaged_is_refused_in_one_line(places: tuple[Path, Path], tmp_path: Path) -> None:
    for how, (damage, told) in DAMAGE.items():
        fit = tmp_path / how / places[0].name
        shutil.copytree(places[0], fit)
        evaluation = fit / "eval" / places[1].name
        damage(fit, evaluation)
        with pytest.raises(Unfit, match=told) as caught:
            look(fit, evaluation)
        assert "\n" not in str(caught.value)
        assert fit.name in str(caught.value)


def test_what_is_whole_passes_and_what_has_no_outcome_is_not_finished(places: tuple[Path, Path]) -> None:
    look(*places)
    (places[1] / "outcome.json").unlink()
    assert carry.outcome_in(places[1], carry.fit_in(places[0]).train_key) is None
    moved = places[0].rename(places[0].with_name("0" * 12))
    with pytest.raises(Unfit, match="do not give its key"):
        carry.fit_in(moved)


def test_a_fit_with_several_artefacts_of_one_kind_is_known_by_all_of_them(tmp_path: Path) -> None:

    sets = {"dissolve.bank": 50}
    plan = expand(load_spec("quickstart"), only={"method": ["dia"]}, seeds=(0,), sets=sets)
    (run,) = plan.runs
    assert len([need for need in run.needs if need.kind == "bank"]) > 1
    folder = tmp_path / run.train_key[:12]
    write_json(folder / "settings.json", run_to_json(run))
    assert carry.fit_in(folder).needs == run.needs
    edit(folder / "settings.json", lambda s: s["needs"].pop())
    with pytest.raises(Unfit, match="do not give its key"):
        carry.fit_in(folder)


def test_artefacts_are_known_by_their_identity_and_by_those_they_are_made_from(bench: Bench) -> None:
    run, store = bench.run(uses="artefact"), Store(bench.store)
    (need,) = run.needs
    make_artefact(need, store, Conditions())
    folder = store.artefact_folder(need.kind, need.key)
    facts = carry.artefact_in(folder, {})
    assert facts is not None
    assert facts["key"] == need.key
    assert [path.name for path in carry.files_of(folder)][-1] == "done.json"
    edit(folder / "done.json", lambda one: one["identity"].update(seed=5))
    with pytest.raises(Unfit, match="does not give its key"):
        carry.artefact_in(folder, carry.used_by([run]))
    # From before artefacts told what they are made from: known by the run that uses it.
    edit(folder / "done.json", lambda one: one.update(identity=dict(need.identity), needs={"other": "1"}))
    with pytest.raises(Unfit):
        carry.artefact_in(folder, {})
    assert carry.artefact_in(folder, carry.used_by([run])) is not None
