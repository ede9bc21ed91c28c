"""The space of a search: what may be written, what is drawn from it, and what it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.search.space import Range, Span, label
from suite.spec import SpecErrors, load_spec

SEARCH = """
title = "Steps"
seeds = [0, 1]
[settings]
method = "dia"
dataset = "pneumonia_mnist"
"diffusion.times" = [0, 999]
{settings}
[search]
validation = "own"
{search}
[search.space]
{space}
"""
STEPS = '"dissolve.steps" = { t_low = { low = 10, high = 600, step = 10 }, width = { low = 20, high = 300 } }'


def read(folder: Path, space: str = STEPS, search: str = "", settings: str = "") -> Any:
    path = folder / "steps.toml"
    path.write_text(SEARCH.format(space=space, search=search, settings=settings))
    return load_spec(path)


def faults(folder: Path, **parts: str) -> list[str]:
    with pytest.raises(SpecErrors) as caught:
        read(folder, **parts)
    return [line.partition(".toml: ")[2] for line in caught.value.messages]


def drawn(space: Any, number: int = 20) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.draw(study.ask()) for _ in range(number)]


def test_every_kind_of_setting_is_drawn_within_its_bounds(tmp_path: Path) -> None:
    space = f'{STEPS}\ntrain.lr = {{ low = 1e-4, high = 1e-2, log = true }}\nshift = ["rotate", "perm"]'
    found = drawn(read(tmp_path, space=space).search, 40)
    assert {one["shift"] for one in found} == {"rotate", "perm"}
    assert all(1e-4 <= one["train.lr"] <= 1e-2 for one in found)
    assert min(one["train.lr"] for one in found) < 1e-3 < max(one["train.lr"] for one in found)
    for low, high in (one["dissolve.steps"] for one in found):
        assert 10 <= low <= 600
        assert low % 10 == 0
        assert 20 <= high - low <= 300


@given(st.integers(0, 50), st.integers(1, 50), st.integers(1, 50), st.integers(0, 50))
def test_a_range_never_stands_upside_down(low: int, more: int, width: int, wider: int) -> None:
    steps = Range(t_low=Span(low=low, high=low + more), width=Span(low=width, high=width + wider + 1))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    first, last = steps.draw(study.ask(), "steps")
    assert first < last


def test_lists_are_choices_too(tmp_path: Path) -> None:
    space = '"dissolve.steps" = [[30, 130], [130, 230]]'
    found = [one["dissolve.steps"] for one in drawn(read(tmp_path, space=space).search)]
    assert all(one in ([30, 130], [130, 230]) for one in found)
    assert [30, 130] in found


def test_a_search_is_scored_on_validation_images(tmp_path: Path) -> None:
    spec = read(tmp_path)
    assert spec.settings["score_on"] == "val"
    assert (spec.search.section.trials, spec.search.section.startup) == (50, 8)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    space = """
"dissolve.steps" = { t_low = { low = 10, high = 900 }, width = { low = 20, high = 300 } }
train.lr = { low = 1e-1, high = 1e-2, log = true }
shift = ["rotate", "prm"]
foo = { low = 3, high = 4 }
train.batch = 3
network.stem = ["cifar"]
selection = ["last", "best_test"]"""
    told = faults(tmp_path, space=space, settings='score_on = "test"')
    assert sorted(told) == sorted(
        [
            "search.space.dissolve.steps: a step range is [low, high] with 1 <= low <= high < 1000, not [900, 1200]",
            "search.space.train.lr: low (0.1) must be below high (0.01)",
            'search.space.shift: "prm" is not one of "rotate", "perm"; did you mean "perm"?',
            "search.space.foo: unknown key",
            "search.space.train.batch: must be a list of values, or a table with low and high (or t_low and width)",
            "search.space.network.stem: needs at least two values to choose from",
            'settings.score_on: is "test": a search is scored on validation images, at the last weights',
            "search.space.selection: is not to be searched",
        ]
    )


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({"search": "trials = 0"}, "search.trials: must be at least 1, not 0"),
        ({"search": "tirals = 3"}, 'search.tirals: unknown key; did you mean "trials"?'),
        ({"space": ""}, "search.space: has nothing to vary"),
        ({"settings": "[table]\nselection = 'best_test'\n[other]"}, "table.selection: is"),
        ({"space": STEPS + "\n[grid]\ndataset = ['phantom']"}, "grid: a search has none"),
        (
            {"space": "train.lr = { low = 0, high = 1, log = true }"},
            "search.space.train.lr: a logarithmic scale",
        ),
    ],
)
def test_one_fault(tmp_path: Path, parts: dict[str, str], line: str) -> None:
    assert any(told.startswith(line) for told in faults(tmp_path, **parts)), faults(tmp_path, **parts)


def test_where_validation_images_come_from_must_be_said_and_true(tmp_path: Path) -> None:
    path = tmp_path / "steps.toml"
    text = SEARCH.format(space=STEPS, search="", settings="")
    path.write_text(text.replace('validation = "own"\n', ""))
    with pytest.raises(SpecErrors, match=r"search\.validation: missing"):
        load_spec(path)
    path.write_text(text.replace('"own"', '"cut"'))
    with pytest.raises(SpecErrors, match='must be "own": pneumonia_mnist has a validation split of its own'):
        load_spec(path)
    path.write_text(text.replace('"pneumonia_mnist"', '"sars_cov_2"'))
    with pytest.raises(SpecErrors, match='must be "cut": sars_cov_2 has no validation split'):
        load_spec(path)


def test_what_a_trial_is_called() -> None:
    assert label({"dissolve.steps": [40, 140], "train.lr": 0.001}) == "dissolve.steps 40-140, train.lr 0.001"
