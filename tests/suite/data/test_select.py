"""Selections: contamination by the run's seed, nothing tested that was trained on, clean splits without
leaks.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite import registry
from suite.data import select
from suite.data.errors import DataFault
from suite.data.identity import DataSettings, data_identity
from suite.data.pack import Pack, load
from suite.data.split import fill
from suite.registry import DataInfo


def small_pack(
    splits: np.ndarray, classes: np.ndarray, pixels: np.ndarray | None = None, near: np.ndarray | None = None
) -> Pack:
    """A pack in memory; images with the same number in ``pixels`` are equal, those that share one in ``near``
    (which has to agree with that) near-duplicates.
    """
    numbers = np.arange(len(classes)) if pixels is None else pixels
    images = np.repeat(numbers.astype("<u4").view(np.uint8).reshape(len(classes), 1, 1, 4), 4, axis=2)
    info = DataInfo("small", "Small", "nowhere:pack", 4, 1)
    ids = np.array([f"{split}/{number:04d}" for number, split in enumerate(splits)])
    pack = Pack(
        "small", images, classes.astype(np.int64), splits.astype("<U5"), ids, "", Path("absent"), info
    )
    if near is not None:
        vars(pack)["near"] = near
    return pack


def identity(**more: Any) -> dict[str, Any]:
    """The data part of a key."""
    plain = {"name": "small", "recipe": 1, "size": 4, "split": "paper", "split_seed": 0, "normal_class": [0]}
    return {**plain, **more}


@st.composite
def packs(draw: st.DrawFn) -> Pack:
    """Any mixture of splits, classes and equal images, with some of what every selection needs."""
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from(["train", "val", "test"]), st.integers(0, 2), st.integers(0, 40)),
            max_size=60,
        )
    )
    sure = [("train", 0, 100 + n) for n in range(12)] + [("test", n % 2, 200 + n) for n in range(12)]
    splits, classes, pixels = (np.array(column) for column in zip(*rows, *sure, strict=True))
    relatives = draw(st.sampled_from([1, 3]))
    pack = small_pack(splits, classes, pixels, pixels // relatives)
    if draw(st.booleans()):
        # A set that came without splits, or with some.
        dealt = np.array(draw(st.lists(st.booleans(), min_size=len(splits), max_size=len(splits))))
        rule = draw(st.sampled_from(["normals", "classes"]))
        filled = fill(np.where(dealt, "", splits), classes, pack.groups, (0,), rule, 0)
        pack = replace(pack, splits=filled, unsplit=rule)
        vars(pack).update(near=pixels // relatives, dealt=dealt)
    return pack


IDENTITIES = st.builds(
    identity,
    split=st.sampled_from(["paper", "clean"]),
    group=st.sampled_from(["exact", "phash"]),
    normal_class=st.sampled_from([[0], [1]]),
    contamination=st.sampled_from([0.0, 0.1, 0.2]),
    max_train=st.sampled_from([5, 100]),
    validation=st.sampled_from(["cut", "own"]),
)


@given(packs(), IDENTITIES, st.integers(0, 3))
def test_no_image_is_trained_on_and_scored(pack: Pack, data: dict[str, Any], seed: int) -> None:
    try:
        chosen = {
            "train": select.training(pack, data, seed),
            "test": select.evaluation(pack, data, "test", seed),
        }
    except DataFault:
        return  # too few anomalies for the contamination: said, not hidden
    with contextlib.suppress(DataFault):
        chosen["val"] = select.evaluation(pack, data, "val", seed)
    everything = np.concatenate([selection.indices for selection in chosen.values()])
    assert len(np.unique(everything)) == len(everything)
    groups = pack.near if data["group"] == "phash" else pack.groups
    if data["split"] == "clean":
        assert len(np.unique(pack.groups[everything])) == len(everything), "equal images remain"
    if data["split"] == "clean" or pack.dealt.all():
        sides = [set(groups[selection.indices]) for selection in chosen.values()]
        assert sum(map(len, sides)) == len(set().union(*sides)), "a group is on two sides"
    for selection in chosen.values():
        assert (np.diff(selection.indices) > 0).all()
        anomalous = ~np.isin(pack.classes[selection.indices], data["normal_class"])
        assert (anomalous == (selection.labels == 1)).all()
        assert (pack.ids[selection.indices] == selection.ids).all()
    assert len(chosen["train"].indices) <= data["max_train"]


@given(packs(), IDENTITIES, st.integers(0, 3))
def test_the_same_again_is_the_same(pack: Pack, data: dict[str, Any], seed: int) -> None:
    try:
        one, two = (select.training(pack, data, seed) for _ in range(2))
    except DataFault:
        return
    assert (one.indices == two.indices).all()


def test_contamination_is_drawn_by_the_seed_from_the_training_anomalies() -> None:
    pack = small_pack(np.repeat(["train", "test"], (160, 40)), np.tile([0, 0, 0, 1], 50))
    data = identity(contamination=0.1)
    one, other = select.training(pack, data, 0), select.training(pack, data, 1)
    assert one.labels.sum() == other.labels.sum() == int(0.1 * 120 / 0.9) == 13
    assert set(one.ids[one.labels == 1]) != set(other.ids[other.labels == 1])
    assert (pack.splits[one.indices] == "train").all()
    assert len(select.evaluation(pack, data, "test", 0).ids) == 40, "the test set is whole"


def test_anomalies_that_are_all_in_the_test_set_leave_it_when_drawn() -> None:
    splits, classes = np.repeat(["train", "test"], (90, 60)), np.repeat([0, 1], (110, 40))
    pixels = np.arange(150)
    pixels[149] = pixels[148]
    pack = small_pack(splits, classes, pixels)
    for seed in range(8):
        train = select.training(pack, identity(contamination=0.1), seed)
        test = select.evaluation(pack, identity(contamination=0.1), "test", seed)
        assert train.labels.sum() == 10
        assert not set(pack.groups[train.indices]) & set(pack.groups[test.indices])
    assert len(select.evaluation(pack, identity(), "test", 0).ids) == 60


def test_too_few_anomalies_say_how_many_there_are() -> None:
    pack = small_pack(
        np.repeat(["train", "train", "test"], (90, 5, 20)), np.repeat([0, 1, 0, 1], (90, 5, 10, 10))
    )
    with pytest.raises(DataFault, match=r"needs 10 anomalies, and the training split has 5"):
        select.training(pack, identity(contamination=0.1), 0)


def test_a_validation_split_is_cut_only_when_asked_for() -> None:
    splits, classes = np.repeat(["train", "test"], (150, 50)), np.repeat([0, 1, 0, 1], (100, 50, 25, 25))
    pack = small_pack(splits, classes)
    assert len(select.training(pack, identity(), 0).ids) == 100
    with pytest.raises(DataFault, match="no validation split"):
        select.evaluation(pack, identity(), "val", 0)
    cut = identity(validation="cut")
    assert len(select.training(pack, cut, 0).ids) == 90
    val = select.evaluation(pack, cut, "val", 0)
    assert (len(val.ids), val.labels.sum()) == (15, 5)
    assert set(val.ids) == set(select.evaluation(pack, cut, "val", 1).ids), "the split is not the run's"


def test_clean_keeps_the_test_copy_and_drops_conflicts() -> None:
    splits = np.array(["train", "train", "train", "val", "test", "test", "test", "test", "train", "val"])
    classes = np.array([0, 0, 0, 0, 0, 1, 1, 0, 0, 1])
    pixels = np.array([0, 1, 2, 2, 1, 3, 3, 4, 4, 5])
    pack = small_pack(splits, classes, pixels)
    clean = identity(split="clean")
    assert select.training(pack, clean, 0).indices.tolist() == [0]
    assert select.evaluation(pack, clean, "test", 0).indices.tolist() == [4, 5, 7]
    assert select.evaluation(pack, clean, "val", 0).indices.tolist() == [3, 9]
    conflicting = small_pack(splits, classes, np.array([0, 1, 2, 6, 7, 1, 3, 4, 8, 5]))
    assert 1 not in select.training(conflicting, clean, 0).indices
    assert 5 not in select.evaluation(conflicting, clean, "test", 0).indices


def test_what_a_diffusion_model_trains_on() -> None:
    splits, classes = np.repeat(["train", "test"], (60, 30)), np.repeat([0, 1, 0, 1], (40, 20, 10, 20))
    pack = small_pack(splits, classes)
    count = {w: select.diffusion_training(pack, identity(), w, 1.0, 0) for w in ("normal", "train", "all")}  # type: ignore[arg-type]
    assert {which: len(indices) for which, indices in count.items()} == {"normal": 40, "train": 60, "all": 90}
    contaminated = select.diffusion_training(pack, identity(contamination=0.2), "normal", 1.0, 0)
    assert contaminated.tolist() == count["normal"].tolist(), "never the contamination"
    tenth, half = (set(select.diffusion_training(pack, identity(), "normal", r, 0)) for r in (0.1, 0.5))
    assert (len(tenth), len(half)) == (4, 20)
    assert tenth < half
    assert tenth != set(select.diffusion_training(pack, identity(), "normal", 0.1, 1))


def test_the_whole_training_split_is_the_same_whichever_class_is_normal() -> None:
    """What lets the one-class problems of a set share one diffusion model, its order included."""
    pack = small_pack(np.repeat(["train", "test"], (60, 30)), np.tile([0, 1, 2], 30))
    seen = [
        select.diffusion_training(pack, identity(normal_class=[one]), "train", ratio, 0).tolist()
        for ratio in (1.0, 0.3)
        for one in (0, 1, 2)
    ]
    assert [len(one) for one in seen] == [60] * 3 + [18] * 3
    assert seen[0] == seen[1] == seen[2] == list(range(60))
    assert seen[3] == seen[4] == seen[5]


def test_a_diffusion_model_may_see_the_very_training_set_of_a_run() -> None:
    pack = small_pack(np.repeat(["train", "test"], (160, 40)), np.tile([0, 0, 0, 1], 50))
    plain = identity(contamination=0.1)
    for seed in (0, 1):
        data = identity(contamination=0.1, contamination_seed=seed)
        seen = select.diffusion_training(pack, data, "train", 1.0, 0)
        assert seen.tolist() == select.training(pack, plain, seed).indices.tolist()
        capped = {**data, "max_train": 50}
        seen = select.diffusion_training(pack, capped, "train", 1.0, 0)
        assert seen.tolist() == select.training(pack, {**plain, "max_train": 50}, seed).indices.tolist()


def test_the_test_set_is_the_same_for_every_seed_and_every_size_of_the_contamination_from_training() -> None:
    pack = small_pack(np.repeat(["train", "test"], (160, 40)), np.tile([0, 0, 0, 1], 50))
    small, large = (set(select.training(pack, identity(contamination=c), 0).ids) for c in (0.05, 0.1))
    assert small < large


def test_near_duplicates_stay_on_one_side_of_a_dealt_split() -> None:
    classes, near = np.repeat([0, 1], (80, 20)), np.repeat(np.arange(25), 4)
    pack = small_pack(np.repeat(["train", "test"], (56, 44)), classes, near=near)
    pack = replace(pack, unsplit="normals")
    vars(pack).update(near=near, dealt=np.ones(100, bool))
    exact, grouped = identity(), identity(group="phash")
    assert select.training(pack, exact, 0).indices.tolist() == list(range(56)), "as packed"
    train = select.training(pack, grouped, 0).indices
    test = select.evaluation(pack, grouped, "test", 0).indices
    assert len(train) == 56
    assert not set(near[train]) & set(near[test])
    other = select.training(pack, identity(normal_class=[1]), 0)
    assert (pack.classes[other.indices] == 1).all(), "the other class can be the normal one"
    assert len(other.ids) == 14


def test_clean_drops_relatives_of_scored_images_from_training_only() -> None:
    splits = np.array(["train", "train", "val", "val", "test", "test", "test"])
    near = np.array([0, 1, 1, 2, 2, 3, 3])
    pack = small_pack(splits, np.array([0, 0, 0, 1, 0, 1, 1]), near=near)
    clean = identity(split="clean", group="phash")
    assert select.training(pack, clean, 0).indices.tolist() == [0]
    assert select.evaluation(pack, clean, "test", 0).indices.tolist() == [4, 5, 6], "relatives may be tested"
    assert select.training(pack, identity(group="phash"), 0).indices.tolist() == [0, 1], "as published"


def test_ten_percent_of_pneumonia_mnist(shared_data: Path, tmp_path: Path) -> None:
    info = registry.dataset("pneumonia_mnist")
    data = data_identity(info, DataSettings(contamination=0.1))
    pack = load(info, DataSettings(), tmp_path, shared_data)
    drawn = []
    for seed in (0, 1):
        train = select.training(pack, data, seed)
        test = select.evaluation(pack, data, "test", seed)
        assert (int((train.labels == 0).sum()), int(train.labels.sum())) == (1214, 134)
        assert len(test.ids) == 624
        assert not set(pack.groups[train.indices]) & set(pack.groups[test.indices])
        drawn.append(set(train.ids[train.labels == 1]))
    assert len(drawn[0] & drawn[1]) < 30, "another seed draws others"
    too_much = data_identity(info, DataSettings(contamination=0.8))
    with pytest.raises(DataFault, match=r"needs 4856 anomalies, and the training split has 3494"):
        select.training(pack, too_much, 0)
