"""Packs: complete or absent, the same from any order, made once by however many processes."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite.data import build
from suite.data import pack as packs
from suite.data.errors import DataFault, DataMissing
from suite.data.identity import DataSettings
from suite.data.source import Contents
from suite.registry import DataInfo

SETTINGS = DataSettings()
LICENCE = "of this test"


def write_source(folder: Path, name: str, contents: str) -> DataInfo:
    """A data set of its own in a module on the import path, as another package would bring it."""
    (folder / f"{name}.py").write_text(contents)
    return DataInfo(name, name, f"{name}:pack", 8, 1, licence=LICENCE, class_names=("good", "bad"))


SOURCE = """
import numpy as np
from suite.data.errors import DataMissing
from suite.data.source import Contents

ORDER = {order}

def pack(info, size, data_root, scratch):
    order = np.random.default_rng(ORDER).permutation(40)
    images = np.random.default_rng(0).integers(0, 256, (40, 1, size, size), dtype=np.uint8)
    images[39] = images[0]
    with (data_root / "calls").open("a") as calls:
        calls.write("packed\\n")
    return Contents(
        images=images[order],
        classes=(np.arange(40) % 2)[order],
        splits=np.array(["train", "train", "val", "test"] * 10)[order],
        ids=np.array([f"image-{{n}}" for n in range(40)])[order],
        extras={{"number": np.arange(40)[order]}},
    )

def absent(info, size, data_root, scratch):
    (scratch / "half.npy").touch()
    raise DataMissing(info.obtain)
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataInfo:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"source_{tmp_path.name}"
    return write_source(tmp_path, name, SOURCE.format(order=1))


def test_a_pack_is_what_was_handed_over(source: DataInfo, tmp_path: Path) -> None:
    pack = packs.load(source, SETTINGS, tmp_path / "store", tmp_path)
    original = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
    original[39] = original[0]
    numbers = np.array([int(name.removeprefix("image-")) for name in pack.ids])
    assert isinstance(pack.images, np.memmap)
    assert not pack.images.flags.writeable
    assert (pack.images == original[numbers]).all()
    assert (pack.classes == numbers % 2).all()
    assert (pack.splits == np.array(["train", "train", "val", "test"] * 10)[numbers]).all()
    assert (pack.extra("number") == numbers).all()
    assert sorted(numbers) == list(range(40))
    assert pack.notes == (
        "1 image(s) stand in both train and test: image-0 and image-39",
        "1 image(s) have conflicting labels: image-0 = class 0 and image-39 = class 1",
    )
    assert pack.digest == packs.digest(pack.images, pack.classes, pack.splits)
    with pytest.raises(KeyError):
        pack.extra("images")
    manifest = json.loads((pack.folder / "manifest.json").read_text())
    assert manifest["licence"] == LICENCE
    assert manifest["counts"] == {"train": [10, 10], "val": [10, 0], "test": [0, 10]}
    assert not list(pack.folder.parent.glob("*.part")), "nothing is left beside it"


def test_it_is_made_once_and_found_without_being_opened(source: DataInfo, tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert packs.known_digest(source, SETTINGS, store, tmp_path) is None
    made = packs.load(source, SETTINGS, store, tmp_path)
    again = packs.load(source, SETTINGS, store, tmp_path)
    assert (tmp_path / "calls").read_text().count("packed") == 1
    assert again.digest == made.digest == packs.known_digest(source, SETTINGS, store, tmp_path)
    assert packs.find(source, SETTINGS, store, tmp_path) == made.folder
    other = packs.load(source, DataSettings(size=16), store, tmp_path)
    assert other.images.shape == (40, 1, 16, 16)
    assert other.folder != made.folder


def test_the_order_of_the_source_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    one, other = (
        packs.load(
            write_source(tmp_path, f"order_{n}_{tmp_path.name}", SOURCE.format(order=n)),
            SETTINGS,
            tmp_path,
            tmp_path,
        )
        for n in (1, 2)
    )
    assert (one.images == other.images).all()
    assert (one.ids == other.ids).all()
    assert one.digest == other.digest


def _load(info: DataInfo, store: Path, start: float) -> str:
    while time.time() < start:
        time.sleep(0.001)
    return packs.load(info, SETTINGS, store, None).digest


@pytest.mark.slow
def test_processes_that_pack_at_once_end_with_one_pack(tmp_path: Path) -> None:
    from suite.registry import dataset

    start = time.time() + 3
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        digests = pool.starmap(_load, [(dataset("phantom"), tmp_path, start)] * 3)
    assert len(set(digests)) == 1
    assert len(list((tmp_path / "artefacts" / "data").iterdir())) == 1


def test_a_failing_source_leaves_nothing_half_made(source: DataInfo, tmp_path: Path) -> None:
    broken = replace(source, source=f"{source.source.partition(':')[0]}:absent", obtain="get it")
    with pytest.raises(DataMissing, match="get it"):
        packs.load(broken, SETTINGS, tmp_path / "store", tmp_path)
    assert packs.missing(broken).endswith("get it")
    assert list((tmp_path / "store").rglob("*.*")) == []


def _flipped(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


DAMAGE = [
    ("images.npy", lambda content: content[:-100]),
    ("images.npy", _flipped),
    ("images.npy", lambda content: b""),
    ("classes.npy", _flipped),
    ("hashes.npy", _flipped),
    ("splits.npy", lambda content: content[: len(content) // 2]),
    ("manifest.json", lambda content: b"{"),
    ("manifest.json", lambda content: b""),
]


@pytest.mark.parametrize(("name", "spoil"), DAMAGE)
def test_a_damaged_pack_is_made_anew_with_a_line(
    source: DataInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, spoil: Any
) -> None:
    whole = packs.load(source, SETTINGS, tmp_path, tmp_path)
    images, folder = np.array(whole.images), whole.folder
    (folder / name).write_bytes(spoil((folder / name).read_bytes()))
    with caplog.at_level(logging.WARNING, "suite"):
        again = packs.load(source, SETTINGS, tmp_path, tmp_path)
    (line,) = caplog.messages
    assert str(folder) in line
    assert line.endswith("it is made anew")
    assert again.digest == whole.digest
    assert np.array_equal(again.images, images)
    assert [one.name for one in folder.parent.iterdir()] == [folder.name]
    caplog.clear()
    packs.load(source, SETTINGS, tmp_path, tmp_path)
    assert caplog.messages == []


def test_damage_that_cannot_be_mended_is_a_line_and_the_pack_stays(source: DataInfo, tmp_path: Path) -> None:
    folder = packs.load(source, SETTINGS, tmp_path, tmp_path).folder
    before = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(_flipped(before))
    gone = replace(source, source=f"{source.source.partition(':')[0]}:absent", obtain="get it")
    with pytest.raises(DataFault, match=r"cannot be made anew: .*get it"):
        packs.load(gone, SETTINGS, tmp_path, tmp_path)
    assert (folder / "images.npy").exists(), "most of it may be whole"
    (folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(DataFault, match=f"delete {folder}"):
        packs.load(source, SETTINGS, tmp_path, tmp_path, heal=False)


def test_of_two_that_find_a_pack_damaged_one_makes_it_anew(source: DataInfo, tmp_path: Path) -> None:
    folder = packs.load(source, SETTINGS, tmp_path, tmp_path).folder
    damaged = build.identity_of(folder)
    (folder / "manifest.json").write_bytes(b"{")
    packs.load(source, SETTINGS, tmp_path, tmp_path)
    mended = build.identity_of(folder)
    identity = packs._identity(source, SETTINGS, tmp_path, tmp_path)
    build.build(source, identity, tmp_path, folder, damaged=damaged)
    assert build.identity_of(folder) == mended


def test_a_pack_that_was_only_copied_is_looked_through_and_believed(
    source: DataInfo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = packs.load(source, SETTINGS, tmp_path, tmp_path).folder
    before = build.identity_of(folder)
    for path in folder.glob("*.npy"):
        os.utime(path, (5, 5))
    packs.load(source, SETTINGS, tmp_path, tmp_path)
    assert (build.identity_of(folder), caplog.messages) == (before, [])
    marks = json.loads((folder / "looked.json").read_text())["files"]
    assert all(time == 5 * 10**9 for _, time in marks.values())


def test_what_a_killed_process_left_is_removed_after_a_day(source: DataInfo, tmp_path: Path) -> None:
    folder = packs.load(source, SETTINGS, tmp_path, tmp_path).folder
    (folder / "manifest.json").unlink()
    folder.rename(folder.with_name(f"{folder.name}.old.part"))
    recent = folder.with_name(f"{folder.name}.new.part")
    recent.mkdir()
    os.utime(folder.with_name(f"{folder.name}.old.part"), (0, 0))
    packs.load(source, SETTINGS, tmp_path, tmp_path)
    assert sorted(p.name for p in folder.parent.iterdir()) == sorted([folder.name, recent.name])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": np.zeros((4, 8, 8), np.uint8)}, "must be uint8"),
        ({"images": np.zeros((4, 1, 8, 8), np.float32)}, "must be uint8"),
        ({"images": np.zeros((4, 2, 8, 8), np.uint8)}, "must be uint8"),
        ({"images": np.zeros((0, 1, 8, 8), np.uint8)}, "0 images"),
        ({"classes": np.zeros(3, np.int64)}, "4 images but {'classes': 3}"),
        ({"splits": np.array(["train", "dev", "test", ""])}, "not 'dev'"),
        ({"ids": np.array(["a", "b", "b", "c"])}, "1 image ids are not unique"),
    ],
)
def test_wrong_contents_are_refused(change: dict[str, np.ndarray], said: str) -> None:
    from suite.data.build import _check

    good = Contents(
        images=np.zeros((4, 1, 8, 8), np.uint8),
        classes=np.zeros(4, np.int64),
        splits=np.array(["train", "val", "test", ""]),
        ids=np.array(["a", "b", "c", "d"]),
    )
    info = DataInfo("set", "Set", "nowhere:pack", 8, 1)
    _check(info, good)
    with pytest.raises(DataFault) as fault:
        _check(info, replace(good, **change))
    assert said in str(fault.value)
