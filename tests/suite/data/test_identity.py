"""What names the data of a run, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from suite.data.identity import DataSettings, data_identity
from suite.registry import DataInfo

INFO = DataInfo("toy", "Toy", "nowhere:pack", size=28, channels=1, sizes=(28, 64), normal_classes=(3, 1))
PLAIN = {
    "name": "toy",
    "recipe": 1,
    "size": 28,
    "split": "paper",
    "split_seed": 0,
    "normal_class": [1, 3],
}


def test_the_plain_identity_stays_what_it_is() -> None:
    assert data_identity(INFO, DataSettings()) == PLAIN


def test_the_defaults_written_out_name_the_same_data() -> None:
    written = DataSettings(size=28, split="paper", normal_class=(1, 3), contamination=0.0, max_train=None)
    assert data_identity(INFO, written) == PLAIN


@pytest.mark.parametrize(
    ("settings", "entry"),
    [
        (DataSettings(size=64), {"size": 64}),
        (DataSettings(split="clean"), {"split": "clean"}),
        (DataSettings(normal_class=(2,)), {"normal_class": [2]}),
        (DataSettings(contamination=0.1), {"contamination": 0.1}),
        (DataSettings(max_train=100), {"max_train": 100}),
    ],
)
def test_each_setting_names_other_data(settings: DataSettings, entry: dict[str, object]) -> None:
    assert data_identity(INFO, settings) == {**PLAIN, **entry}


def test_words_about_a_data_set_do_not_name_it() -> None:
    told = replace(INFO, title="Another", licence="CC0", url="https://example.org", faults=("a pair",))
    assert data_identity(told, DataSettings()) == PLAIN
    assert data_identity(replace(INFO, recipe=2), DataSettings()) == {**PLAIN, "recipe": 2}


def test_a_validation_split_is_cut_only_where_there_is_none() -> None:
    cut = data_identity(INFO, DataSettings(), cut_validation=True)
    assert cut == {**PLAIN, "validation": "cut"}
    own = data_identity(replace(INFO, validation=True), DataSettings(), cut_validation=True)
    assert own == PLAIN


def test_a_size_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(ValueError, match="toy comes in sizes 28, 64, not 32"):
        data_identity(INFO, DataSettings(size=32))
    assert data_identity(replace(INFO, sizes=()), DataSettings(size=32))["size"] == 32


@pytest.mark.parametrize(
    "wrong", [{"contamination": 1.0}, {"contamination": -0.1}, {"size": 4}, {"max_train": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DataSettings.parse(wrong)
