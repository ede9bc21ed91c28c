"""What names the data of a run, and what does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from suite.data.identity import (
    DataSettings,
    at_most,
    contamination_count,
    data_identity,
    known_to_be_too_contaminated,
    unknown_class,
)
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


def test_a_normal_class_is_one_of_the_sets_own() -> None:
    named = replace(INFO, class_names=("a", "b", "c", "d"))
    assert unknown_class(named, PLAIN) == ""
    assert (
        unknown_class(named, {**PLAIN, "normal_class": [1, 4, -1]}) == "toy has the classes 0 to 3, not 4, -1"
    )
    assert unknown_class(INFO, {**PLAIN, "normal_class": [99]}) == "", "its facts do not tell"


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
        (DataSettings(group="phash"), {"group": "phash"}),
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


@given(st.integers(0, 5000), st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3, 0.5]))
def test_the_contamination_count_is_the_papers(normals: int, ratio: float) -> None:
    count = contamination_count(normals, ratio)
    assert count <= ratio * (count + normals) + 1e-6, "not more than the proportion"
    assert count + 1 > ratio * (count + 1 + normals) - 1e-6, "one more would be too many"


def test_ten_percent_of_pneumonia_mnist() -> None:
    assert contamination_count(1214, 0.1) == 134


def test_the_largest_training_set_has_room_for_the_contamination() -> None:
    assert at_most(1000, {}) == 1000
    assert at_most(1000, {"max_train": 100, "contamination": 0.2}) == 80
    assert at_most(1000, {"max_train": 100, "contamination": 0.2}, contaminated=False) == 100
    assert at_most(60, {"max_train": 100, "contamination": 0.2}) == 60


KVASIR = replace(INFO, name="kvasir", counts={"train": (4900, 700), "test": (2100, 300)})
SARS = replace(INFO, name="sars", counts={"train": (860, 0), "test": (369, 1252)})


@pytest.mark.parametrize(
    ("info", "settings", "expected"),
    [
        (KVASIR, {"contamination": 0.2}, "needs 1225 anomalies, and the training split has 700: lower"),
        (KVASIR, {"contamination": 0.1}, ""),
        (KVASIR, {"contamination": 0.2, "max_train": 3000}, ""),
        (SARS, {"contamination": 0.6}, "needs 1290 anomalies, and the test split has 1252: lower"),
        (SARS, {"contamination": 0.5}, ""),
        (INFO, {"contamination": 0.9}, ""),
        (KVASIR, {"contamination": 0.2, "normal_class": (0,)}, ""),
        (KVASIR, {"contamination": 0.2, "split": "clean"}, ""),
    ],
)
def test_too_much_contamination_is_known_before_the_data_are(
    info: DataInfo, settings: dict[str, object], expected: str
) -> None:
    told = known_to_be_too_contaminated(info, data_identity(info, DataSettings(**settings)))
    assert expected in told
    assert bool(told) == bool(expected)
