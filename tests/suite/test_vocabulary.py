"""What may be written in a spec, and the words for what may not."""

from __future__ import annotations

from typing import Any

import pytest

from suite.vocabulary import SpecErrors, did_you_mean, label_of, shown, vocabulary


def test_the_names_are_those_of_all_methods_and_data_sets() -> None:
    names = vocabulary().names
    for name in (
        "method",
        "selection",
        "data.size",
        "train.batch",
        "dissolve.kernel",
        "diffusion.ratio",
        "score.k",
    ):
        assert name in names
        assert vocabulary().unknown(name) is None
    assert list(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("train.batch", 32.0, 32),
        ("train.lr", 1, 1.0),
        ("dissolve.steps", [30.0, 130], [30, 130]),
        ("data.size", 64, 64),
        ("dissolve.size", 20, 20),  # for a blur; the UNet's multiple of 8 is a matter of the cell
        ("score.balance", False, False),
    ],
)
def test_a_legal_value_comes_back_as_it_is_meant(name: str, value: Any, meant: Any) -> None:
    found, fault = vocabulary().check(name, value)
    assert (found, fault) == (meant, None)
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("train.batch", True, "must be a whole number, not true"),
        ("train.batch", [32], "must be a whole number, not [32]"),
        ("train.lr", 0, "must be more than 0, not 0"),
        ("diffusion.ratio", 1.5, "must be at most 1, not 1.5"),
        ("data.contamination", 1, "must be less than 1, not 1"),
        ("diffusion.dim", 12, "must be a multiple of 8, not 12"),
        ("dissolve.size", 2, "must be at least 16, not 2, or must be at least 4, not 2"),
        ("dissolve.steps", 30, "must be a list, not 30"),
        ("dissolve.steps", ["a", "b"], 'must be a whole number, not "a"'),
        ("shift", 4, '4 is not one of "rotate", "perm"'),
        ("method", 4, "must be text, not 4"),
        ("dataset", "folder:", "unknown data set 'folder:'"),
        ("train.lr", float("inf"), "inf must be finite"),
    ],
)
def test_a_faulty_value_is_told_in_plain_words(name: str, value: Any, fault: str) -> None:
    assert fault in str(vocabulary().check(name, value)[1])


def test_a_suggestion_finds_slips_and_forgotten_tables() -> None:
    known = ("train.batch", "diffusion.batch", "shift")
    assert did_you_mean("shfit", known) == '; did you mean "shift"?'
    assert did_you_mean("batch", known) == '; did you mean "train.batch" or "diffusion.batch"?'
    assert did_you_mean("zzz", known) == ""


def test_labels_are_short_and_values_are_cut() -> None:
    assert [label_of(value) for value in (True, 7, 0.5, "b", [30, 130], (1,))] == [
        "true",
        "7",
        "0.5",
        "b",
        "30-130",
        "1",
    ]
    assert shown("a" * 99) == '"' + "a" * 56 + "..."


def test_errors_are_told_once_each_in_order() -> None:
    errors = SpecErrors(["b: 1", "a: 2", "b: 1"])
    assert errors.messages == ("b: 1", "a: 2")
    assert str(errors) == "b: 1\na: 2"
