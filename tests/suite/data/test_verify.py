"""A set is wrong when its content, counts or own split are; faults that it is known to have are told and counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from suite.data import pack, verify
from suite.data.identity import DataSettings
from suite.data.pack import Pack
from suite.data.source import Contents
from suite.registry import DataInfo

DIGESTS: dict[tuple[str, int], str] = {}
MADE: list[Contents] = []
INFO = DataInfo(
    name="toy",
    title="Toy",
    source=f"{__name__}:handed",
    size=32,
    channels=1,
    normal_classes=(0,),
    class_names=("normal", "ill"),
    licence="CC0",
)


def handed(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Contents:
    return MADE[-1]


def packed(
    folder: Path, numbers: list[int], classes: list[int], splits: list[str], info: DataInfo = INFO
) -> Pack:
    """A set of random images; equal numbers are equal images."""
    images = np.stack([np.random.default_rng(n).integers(0, 256, (1, 32, 32), np.uint8) for n in numbers])
    ids = np.array([f"i{at}" for at in range(len(numbers))])
    MADE.append(Contents(images, np.array(classes), np.array(splits, "<U5"), ids))
    return pack.load(info, DataSettings(), folder, folder)


def whole(folder: Path, info: DataInfo = INFO) -> Pack:
    return packed(folder, [1, 2, 3, 4], [0, 0, 0, 1], ["train", "train", "test", "test"], info)


def test_equal_images_are_counted_and_no_fault_of_the_copy(tmp_path: Path) -> None:
    splits = ["train", "train", "train", "test", "test", "val"]
    found = verify.verify(packed(tmp_path, [1, 1, 2, 2, 3, 4], [0, 0, 0, 1, 1, 0], splits))
    assert found.wrong == ()
    assert (found.duplicates, found.leaks, found.conflicts) == ({"train": 1}, {"train+test": 1}, 1)
    assert found.counts == {"train": {"normal": 3}, "val": {"normal": 1}, "test": {"ill": 2}}
    assert "1 image(s) have conflicting labels: i2 = class 0 and i3 = class 1" in found.notes
    assert found.near is None
    assert found.plain()["ok"] is True


def test_the_official_digest_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = whole(tmp_path)
    monkeypatch.setitem(DIGESTS, ("toy", 32), made.digest)
    assert (verify.verify(made).official, verify.verify(made).wrong) == (made.digest, ())
    monkeypatch.setitem(DIGESTS, ("toy", 32), "0" * 64)
    assert verify.verify(made).wrong == (
        f"not the official content: digest {made.digest[:12]} instead of 000000000000",
    )


def test_a_pixel_that_changed_since_is_found(tmp_path: Path) -> None:
    folder = whole(tmp_path).folder
    images = np.load(folder / "images.npy")
    images[2, 0, 5, 5] ^= 1
    np.save(folder / "images.npy", images)
    (line,) = verify.verify(pack.load(INFO, DataSettings(), tmp_path, tmp_path, heal=False)).wrong
    assert line == f"the pack has changed since it was made: delete {folder}"


def test_counts_are_those_published_or_known_to_be_served(tmp_path: Path) -> None:
    def wrong(**facts: object) -> tuple[str, ...]:
        return verify.verify(replace(whole(tmp_path), info=replace(INFO, **facts))).wrong  # type: ignore[arg-type]

    assert wrong(published={"normal": 3, "ill": 1}, counts={"train": (2, 0), "test": (1, 1)}) == ()
    assert wrong(published={"normal": 4, "ill": 1}) == ("normal: 3 images instead of 4",)
    assert wrong(published={"normal": 4, "ill": 1}, served={"normal": 3}) == ()
    assert wrong(published={"normal": 1200}, served={"normal": 5}) == (
        "normal: 3 images instead of 5 or 1,200",
    )
    assert wrong(counts={"train": (2, 0), "test": (0, 7)}) == (
        "test: 1 normal and 1 anomalous images instead of 0 and 7",
    )


def test_a_split_of_ones_own_that_parts_equal_images_is_wrong(tmp_path: Path) -> None:
    made = packed(tmp_path, [1, 1, 2, 3, 4, 5], [0] * 5 + [1], [""] * 6)
    assert verify.verify(made).wrong == ()
    twins = np.flatnonzero(np.bincount(made.groups)[made.groups] > 1)
    parted = made.splits.copy()
    parted[twins] = ["train", "test"]
    (line,) = [w for w in verify.verify(replace(made, splits=parted)).wrong if "should not" in w]
    assert line.startswith("1 image(s) stand in both train and test")


def test_near_duplicates_are_counted_when_asked(tmp_path: Path) -> None:
    made = packed(tmp_path, [1, 2, 3, 4], [0] * 4, ["train", "train", "test", "test"])
    assert verify.verify(made, near=True).near == verify.Near(0, 0, 1, {})
    again = packed(tmp_path / "b", [1, 2, 1, 4], [0] * 4, ["train", "train", "test", "test"])
    assert verify.verify(again, near=True).near == verify.Near(1, 2, 2, {"train+test": 1})
