"""The 7:3 split: by content and seed alone, with equal images on one side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.data.split import deal, fill

GROUPS = st.lists(st.integers(0, 30), min_size=1, max_size=60).map(
    lambda g: np.unique(g, return_inverse=True)[1]
)


@given(GROUPS, st.floats(0.05, 0.95), st.integers(0, 5))
def test_groups_stay_together_and_the_share_is_kept(groups: np.ndarray, share: float, seed: int) -> None:
    taken = deal(groups, share, seed)
    assert len(np.unique(groups[taken])) + len(np.unique(groups[~taken])) == len(np.unique(groups))
    assert taken.any()
    sizes = np.bincount(groups)
    assert (
        taken.sum() <= share * len(groups) + 1e-9
        or sizes[groups[taken]].tolist() == [sizes.min()] * taken.sum()
    )
    left = share * len(groups) - taken.sum()
    assert left < sizes[np.unique(groups[~taken])].min(initial=10**9) + 1e-9, "there was room for more"


@given(GROUPS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_the_images_has_no_say(groups: np.ndarray, seed: int, random: object) -> None:
    order = np.array(sorted(range(len(groups)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert (deal(groups, 0.7, seed)[order] == deal(groups[order], 0.7, seed)).all()


def test_seven_to_three_exactly_and_another_for_another_seed() -> None:
    groups = np.arange(1000)
    one, other = deal(groups, 0.7, 0), deal(groups, 0.7, 1)
    assert one.sum() == other.sum() == 700
    assert (one != other).any()


@pytest.mark.parametrize(("rule", "anomalous_train"), [("normals", 0), ("classes", 35)])
def test_the_two_rules(rule: str, anomalous_train: int) -> None:
    classes = np.repeat([0, 1], (100, 50))
    splits = fill(np.full(150, ""), classes, np.arange(150), (0,), rule, 0)  # type: ignore[arg-type]
    assert (splits[classes == 0] == "train").sum() == 70
    assert (splits[classes == 1] == "train").sum() == anomalous_train
    assert set(splits) == {"train", "test"}


def test_given_splits_are_kept_and_equal_images_never_part() -> None:
    classes = np.repeat([0, 1], 40)
    groups = np.concatenate([np.arange(40), np.arange(40)])
    given_splits = np.where(np.arange(80) < 4, "val", "")
    splits = fill(given_splits, classes, groups, (0,), "classes", 0)
    assert (splits[:4] == "val").all()
    train, test = set(groups[splits == "train"]), set(groups[splits == "test"])
    assert train
    assert not train & test


SPLITS = st.lists(
    st.tuples(st.sampled_from(["", "train", "val", "test"]), st.integers(0, 3), st.integers(0, 12)),
    min_size=1,
    max_size=60,
)


@given(SPLITS, st.sampled_from(["normals", "classes"]), st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_leak_whatever_the_duplicates_and_the_order(
    rows: list[tuple[str, int, int]], rule: str, seed: int, random: object
) -> None:
    before, classes, pixels = (np.array(column) for column in zip(*rows, strict=True))
    groups = np.unique(pixels, return_inverse=True)[1]
    splits = fill(before, classes, groups, (0, 1), rule, seed)  # type: ignore[arg-type]
    assert (splits[before != ""] == before[before != ""]).all(), "given splits are kept"
    assert set(splits) <= {"train", "val", "test"}
    published = set(groups[before != ""])
    for group in np.unique(groups):
        dealt = set(splits[(groups == group) & (before == "")])
        assert len(dealt) <= 1, "equal images were parted"
        given_sides = set(before[(groups == group) & (before != "")])
        assert group not in published or not dealt or dealt <= given_sides, "an image left its equal"
    order = np.array(sorted(range(len(rows)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    again = fill(before[order], classes[order], groups[order], (0, 1), rule, seed)  # type: ignore[arg-type]
    assert (again == splits[order]).all()


def test_one_huge_group_does_not_end_the_deal() -> None:
    groups = np.concatenate([np.zeros(80, np.int64), np.arange(1, 21)])
    for seed in range(5):
        assert deal(groups, 0.7, seed).sum() == 20
