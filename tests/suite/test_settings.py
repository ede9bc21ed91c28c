"""Equal settings have equal keys, whatever the way in which they were written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from suite.settings import (
    Int,
    Settings,
    canonical,
    fields_of,
    flatten,
    key_of,
    keys_along,
    nest,
    prune,
    setting,
)

NAMES = st.text(st.characters(codec="ascii", categories=("Ll",)), min_size=1, max_size=4)
TREES = st.recursive(
    st.integers() | st.floats(allow_nan=False) | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
    max_leaves=8,
)
NESTED = st.dictionaries(NAMES, TREES, max_size=3)
GOLDEN = "496e995264d13bf271289c59e77b8337d2b9ca188c5b269f7a21ce4441167041"


class Inner(Settings):
    batch: Int = setting(32, ge=1)
    lr: float = setting(0.1)
    added_later: bool = setting(False, neutral=False)


class Outer(Settings):
    train: Inner = setting(Inner())
    steps: tuple[Int, Int] = setting((30, 130))
    name: str = setting("x")


@given(NESTED)
def test_nest_undoes_flatten(nested: dict[str, Any]) -> None:
    assert nest(flatten(nested)) == nested


def test_dotted_and_nested_names_are_the_same() -> None:
    assert nest({"train.batch": 8, "train": {"lr": 0.5}}) == {"train": {"batch": 8, "lr": 0.5}}


@pytest.mark.parametrize("clash", [{"train": 1, "train.batch": 2}, {"train.batch": 2, "train": 1}])
def test_a_value_cannot_be_a_table_too(clash: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="train"):
        nest(clash)


def test_numbers_that_are_equal_have_equal_keys() -> None:
    whole = Outer.parse({"train": {"batch": 48.0, "lr": 1}, "steps": [30.0, 130]})
    exact = Outer.parse({"train": {"batch": 48, "lr": 1.0}, "steps": [30, 130]})
    assert key_of(canonical(whole)) == key_of(canonical(exact))


@given(NESTED, NAMES)
def test_keys_along_an_entry_are_those_of_the_whole_payloads(shared: dict[str, Any], name: str) -> None:
    assume("Infinity" not in json.dumps(shared))
    key = keys_along(shared, name)
    for value in (7, "x", [1]):
        assert key(value) == key_of({**shared, name: value})


@given(st.permutations(["a", "b", "c", "d"]))
def test_a_key_does_not_depend_on_the_order_of_its_parts(order: list[str]) -> None:
    assert key_of(dict.fromkeys(order, 1)) == key_of(dict.fromkeys("abcd", 1))


def test_a_key_stays_what_it_is() -> None:
    assert key_of(canonical(Outer())) == GOLDEN


def test_a_setting_added_later_moves_no_key_at_its_neutral_value() -> None:
    assert "added_later" not in canonical(Outer())["train"]
    assert canonical(Outer.parse({"train": {"added_later": True}}))["train"]["added_later"] is True
    assert key_of(canonical(Outer.parse({"train": {"added_later": False}}))) == GOLDEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": {"batch": "32"}},
        {"train": {"batch": 32.5}},
        {"train": {"batch": 0}},
        {"train": {"batch": True}},
        {"train": {"lr": "fast"}},
        {"name": 3},
        {"steps": [30]},
        {"trian": {}},
    ],
)
def test_what_would_lose_meaning_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Outer.parse(wrong)


def test_what_is_not_a_number_has_no_key() -> None:
    with pytest.raises(ValueError, match="JSON"):
        key_of({"lr": float("nan")})


def test_settings_that_cannot_act_fall_away() -> None:
    raw = {"train": {"batch": 8, "momentum": 0.9}, "dissolve": {"kernel": 7}, "name": "y"}
    assert prune(Outer, raw) == {"train": {"batch": 8}, "name": "y"}


def test_the_vocabulary_is_dotted() -> None:
    names = [name for name, _ in fields_of(Outer)]
    assert names == ["train.batch", "train.lr", "train.added_later", "steps", "name"]


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Inner().batch = 3  # type: ignore[misc]
