"""``--set``, ``--only`` and ``--seeds`` as text."""

from __future__ import annotations

import pytest

from suite.options import check_only, check_seeds, check_sets, parse_only, parse_sets
from suite.vocabulary import SpecErrors


def test_values_of_set_are_toml_and_else_text() -> None:
    given = [
        "train.batch=48",
        "train.lr = 1e-4",
        "shift=perm",
        "score.balance=false",
        "dissolve.steps=30,130",
        "data.normal_class=[1, 2]",
        "dataset=folder:/a/b,c",
        'contrast.design="b"',
    ]
    assert check_sets(parse_sets(given)) == {
        "train.batch": 48,
        "train.lr": 1e-4,
        "shift": "perm",
        "score.balance": False,
        "dissolve.steps": [30, 130],
        "data.normal_class": [1, 2],
        "dataset": "folder:/a/b,c",
        "contrast.design": "b",
    }


def test_only_splits_at_commas_and_keeps_lists_whole() -> None:
    assert parse_only(["method=dia,csi", "dataset = phantom", "method=pixel_knn"]) == {
        "method": {"dia", "csi", "pixel_knn"},
        "dataset": {"phantom"},
    }
    assert parse_only(["dissolve.steps=[30, 130],[130,230]", "case=CSI-1.5"]) == {
        "dissolve.steps": {"30-130", "130-230"},
        "case": {"CSI-1.5"},
    }


def test_only_is_understood_in_the_spelling_of_the_labels() -> None:
    assert check_only({"diffusion.ratio": {"1"}})["diffusion.ratio"] == {"1", "1.0"}
    assert check_only({"score.balance": {"true"}})["score.balance"] == {"true"}


@pytest.mark.parametrize("option", ["train.batch", "=3", "", "train.batch:3"])
def test_an_option_without_key_or_value_says_how_to_write_it(option: str) -> None:
    with pytest.raises(SpecErrors, match=r"--set: .*write key=value"):
        parse_sets([option])
    with pytest.raises(SpecErrors, match=r"--only: .*write key=value"):
        parse_only([option])


def test_all_faulty_options_are_told_together() -> None:
    with pytest.raises(SpecErrors) as caught:
        parse_sets(["a", "shift=perm", "shift=rotate"])
    assert len(caught.value.messages) == 2
    assert caught.value.messages[1] == "--set: shift: is given twice"
    with pytest.raises(SpecErrors) as caught:
        check_sets({"x": 1, "train": {"batch": "y"}})
    assert len(caught.value.messages) == 2


def test_seeds_are_whole_and_distinct() -> None:
    assert check_seeds([2, 0]) == (2, 0)
    with pytest.raises(SpecErrors, match="0 is given more than once"):
        check_seeds([0, 0])
