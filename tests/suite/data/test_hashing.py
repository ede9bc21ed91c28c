"""Digests that know the content and not its order, and the faults that equal images are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from suite.data import hashing

IMAGES = arrays(
    np.uint8, st.tuples(st.integers(1, 12), st.just(1), st.just(2), st.just(2)), elements=st.integers(0, 2)
)


@given(IMAGES, st.randoms(use_true_random=False))
def test_the_digest_does_not_know_the_order(images: np.ndarray, random: object) -> None:
    classes = np.arange(len(images)) % 2
    order = np.array(sorted(range(len(images)), key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert hashing.digest(images, classes) == hashing.digest(images[order], classes[order])


def test_the_digest_knows_pixels_classes_splits_and_shape() -> None:
    images = np.zeros((2, 1, 4, 4), np.uint8)
    classes, splits = np.array([0, 1]), np.array(["train", "test"])
    other = images.copy()
    other[0, 0, 0, 0] = 1
    found = {
        hashing.digest(images, classes, splits),
        hashing.digest(other, classes, splits),
        hashing.digest(images, np.array([1, 1]), splits),
        hashing.digest(images, classes, np.array(["train", "val"])),
        hashing.digest(images, classes, splits[::-1]),
        hashing.digest(images.reshape(2, 1, 2, 8), classes, splits),
        hashing.digest(images[:1], classes[:1], splits[:1]),
    }
    assert len(found) == 7


@given(IMAGES)
def test_groups_are_the_equal_images(images: np.ndarray) -> None:
    groups = hashing.groups(hashing.pixel_hashes(images))
    equal = (images[:, None] == images[None]).all(axis=(2, 3, 4))
    assert ((groups[:, None] == groups[None]) == equal).all()


def test_faults_are_counted_and_named() -> None:
    pixels = [0, 0, 0, 1, 1, 2, 3, 3]
    images = np.array(pixels, np.uint8)[:, None, None, None] * np.ones((1, 1, 2, 2), np.uint8)
    splits = np.array(["train", "train", "val", "test", "test", "train", "train", "test"])
    classes = np.array([0, 0, 0, 1, 1, 0, 0, 1])
    ids = np.array([f"i{number}" for number in range(8)])
    assert hashing.faults(hashing.pixel_hashes(images), classes, splits, ids) == (
        "1 image(s) of train repeat another one there: i0 and i1",
        "1 image(s) of test repeat another one there: i3 and i4",
        "1 image(s) stand in both train and val: i0 and i1 and i2",
        "1 image(s) stand in both train and test: i6 and i7",
        "1 image(s) have conflicting labels: i6 = class 0 and i7 = class 1",
    )


def test_repeats_tell_where_the_images_of_a_group_stand() -> None:
    group = np.array([0, 0, 0, 1, 2, 2])
    splits = np.array(["train", "train", "test", "val", "val", "val"])
    found = hashing.repeats(group, np.array([0, 0, 0, 1, 0, 1]), splits)
    assert {split: found.extra(split) for split in found.sizes} == {"train": 1, "val": 1, "test": 0}
    assert {both: at.tolist() for both, at in found.across.items()} == {
        ("train", "val"): [],
        ("train", "test"): [0],
        ("val", "test"): [],
    }
    assert found.conflicting.tolist() == [2]
    empty = np.array([], np.int64)
    assert not len(hashing.repeats(empty, empty, np.array([], "<U5")).conflicting)
