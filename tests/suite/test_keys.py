"""Keys name what is computed, and nothing else: properties of keys and of expansion, over random settings."""

from __future__ import annotations

import dataclasses
import json
import random
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite import registry
from suite.plan import Plan, expand
from suite.registry import MethodInfo
from suite.settings import Int, Settings, flatten, key_of, nest, setting
from suite.spec import Case, Spec, Table
from suite.vocabulary import vocabulary

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "train.batch": st.integers(2, 512),
    "train.epochs": st.integers(1, 999),
    "train.lr": st.floats(1e-6, 10, allow_nan=False),
    "train.warmup": st.integers(0, 20),
    "network.width": st.integers(1, 16).map(lambda eights: 8 * eights),
    "shift": st.sampled_from(["rotate", "perm"]),
    "contrast.design": st.sampled_from(["a", "b", "b_shift"]),
    "dissolve.op": st.sampled_from(["diffusion", "gaussian", "median", "none"]),
    "dissolve.size": st.sampled_from([16, 32, 64]),
    "diffusion.ratio": st.sampled_from([0.1, 0.5, 1]),
    "score.views": st.integers(1, 40),
    "score.balance": st.booleans(),
    "data.contamination": st.sampled_from([0, 0.05, 0.1]),
    "data.size": st.sampled_from([32, 64]),
}
SETTINGS = st.fixed_dictionaries({}, optional=VALUES)
METHODS = st.sampled_from(["csi", "dia"])


def spec_of(settings: dict[str, Any], method: str = "dia", **facts: Any) -> Spec:
    base = Spec(
        path=Path("specs/made_up.toml"),
        name="made_up",
        title="",
        description="",
        seeds=(0, 1),
        profile=None,
        settings={"method": method, "dataset": "phantom", **settings},
        cases=(Case(label="one"),),
        grid={},
        overrides=(),
        table=Table(rows=("case",)),
    )
    return dataclasses.replace(base, **facts)


def keys(found: Plan) -> list[tuple[str, str]]:
    return [(run.train_key, run.eval_key) for run in found.runs]


@given(SETTINGS, METHODS, st.randoms(use_true_random=False))
def test_the_order_of_settings_moves_no_key(
    settings: dict[str, Any], method: str, dice: random.Random
) -> None:
    shuffled = list(settings.items())
    dice.shuffle(shuffled)
    assert keys(expand(spec_of(settings, method))) == keys(expand(spec_of(dict(shuffled), method)))


@given(SETTINGS, METHODS)
def test_dotted_and_nested_settings_have_one_key(settings: dict[str, Any], method: str) -> None:
    dotted = expand(spec_of({}, method), sets=settings)
    nested = expand(spec_of({}, method), sets=nest(settings))
    assert keys(dotted) == keys(nested) == keys(expand(spec_of(settings, method)))
    assert flatten(nest(settings)) == settings


@given(SETTINGS, METHODS)
def test_whole_numbers_have_one_key_as_int_and_as_float(settings: dict[str, Any], method: str) -> None:
    floats = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in settings.items()
    }
    assert keys(expand(spec_of(settings, method))) == keys(expand(spec_of(floats, method)))


@given(SETTINGS, METHODS)
def test_naming_a_default_moves_no_key(settings: dict[str, Any], method: str) -> None:
    plain = expand(spec_of(settings, method))
    spelled = {**plain.cells[0].settings, **settings}
    assert keys(plain) == keys(expand(spec_of(spelled, method)))


@given(SETTINGS, METHODS, st.sampled_from(sorted(VALUES)), st.data())
def test_a_setting_that_acts_moves_a_key_and_one_that_cannot_does_not(
    settings: dict[str, Any], method: str, name: str, data: st.DataObject
) -> None:
    before = expand(spec_of(settings, method))
    after = expand(spec_of({**settings, name: data.draw(VALUES[name])}, method))
    same = before.cells[0].settings == after.cells[0].settings
    assert (keys(before) == keys(after)) == same


@given(SETTINGS, METHODS, st.sets(st.integers(0, 10**6), min_size=2, max_size=5))
def test_every_seed_is_another_fit(settings: dict[str, Any], method: str, seeds: set[int]) -> None:
    found = expand(spec_of(settings, method), seeds=tuple(seeds))
    assert (
        len({run.train_key for run in found.runs}) == len({run.eval_key for run in found.runs}) == len(seeds)
    )


@given(
    st.lists(st.integers(2, 99), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(1, 99), min_size=1, max_size=4, unique=True),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_expansion_has_the_size_of_the_product(
    batches: list[int], views: list[int], cases: int, seeds: int
) -> None:
    spec = spec_of(
        {},
        cases=tuple(Case(label=str(n), set={"train.epochs": n + 1}) for n in range(cases)),
        grid={"train.batch": tuple(batches), "score.views": tuple(views)},
        table=Table(rows=("case",), columns=("train.batch", "score.views")),
        seeds=tuple(range(seeds)),
    )
    found = expand(spec)
    assert len(found.cells) == cases * len(batches) * len(views)
    assert len(found.runs) == len(found.cells) * seeds
    assert len(found.fits) == cases * len(batches) * seeds
    assert len({tuple(cell.labels.values()) for cell in found.cells}) == len(found.cells)


@given(SETTINGS)
def test_keys_are_those_of_the_payloads(settings: dict[str, Any]) -> None:
    for run in expand(spec_of(settings)).runs:
        assert run.train_key == key_of(json.loads(json.dumps(run.train)))
        assert run.eval_key == key_of(json.loads(json.dumps(run.evaluation)))
        assert run.evaluation["train"] == run.train_key
        assert run.train["artefacts"] == {need.kind: need.key for need in run.needs}


class Inner(Settings):
    depth: Int = setting(3)


class NewInner(Inner):
    slope: float = setting(1.0, neutral=1.0)


class Old(Settings):
    inner: Inner = setting(Inner())


class New(Settings):
    inner: NewInner = setting(NewInner())
    tricks: tuple[str, ...] = setting((), neutral=[])


def fake(model: type[Settings]) -> MethodInfo:
    return MethodInfo("fake", 1, "Fake", "nowhere:Nothing", training=lambda nested: model, models=(model,))


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Register a method for the length of a test."""
    real = registry.methods()

    def add(info: MethodInfo) -> None:
        monkeypatch.setattr(registry, "methods", lambda: {**real, info.name: info})
        vocabulary.cache_clear()

    yield add
    monkeypatch.undo()
    vocabulary.cache_clear()


def test_a_setting_added_at_its_neutral_value_moves_no_key(register: Any) -> None:
    register(fake(Old))
    before = keys(expand(spec_of({"inner.depth": 5}, "fake")))
    register(fake(New))
    assert keys(expand(spec_of({"inner.depth": 5}, "fake"))) == before
    assert keys(expand(spec_of({"inner.depth": 5, "inner.slope": 1}, "fake"))) == before
    assert keys(expand(spec_of({"inner.depth": 5, "inner.slope": 2}, "fake"))) != before
    assert keys(expand(spec_of({"inner.depth": 5, "tricks": ["a"]}, "fake"))) != before
    assert expand(spec_of({}, "fake")).cells[0].settings["inner.slope"] == 1.0


def test_a_new_version_of_a_method_moves_its_keys(register: Any) -> None:
    register(fake(Old))
    before = keys(expand(spec_of({}, "fake")))
    register(dataclasses.replace(fake(Old), version=2))
    assert not set(keys(expand(spec_of({}, "fake")))) & set(before)


def test_a_diffusion_model_of_each_run_is_an_artefact_of_each_seed() -> None:
    shared, own = expand(spec_of({})), expand(spec_of({"diffusion.seed": "per_run"}))
    assert len(shared.artefacts) == 1
    assert len(own.artefacts) == 2
    assert tempfile.gettempdir() not in json.dumps(shared.runs[0].train)


@given(SETTINGS, METHODS, st.sampled_from(["best_val", "best_test"]))
def test_the_number_of_candidates_is_in_the_key_of_a_choice_alone(
    settings: dict[str, Any], method: str, selection: str
) -> None:
    def found(selection: str, number: int) -> list[tuple[str, str]]:
        with mock.patch("suite.resolve.SNAPSHOTS", number):
            return keys(expand(spec_of({**settings, "selection": selection}, method)))

    assert found("last", 8) == found("last", 9)
    few, many = found(selection, 8), found(selection, 9)
    assert [train for train, _ in few] == [train for train, _ in many]
    assert not {chosen for _, chosen in few} & {chosen for _, chosen in many}
