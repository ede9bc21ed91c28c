"""Class folders are found wherever they stand, and what is left out is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from images import as_folder, as_zip

from suite.data.archive import opened
from suite.data.errors import DataFault
from suite.data.layout import Chosen, class_folders, listing, several
from suite.registry import DataInfo

INFO = DataInfo("pets", "Pets", "nowhere:pack", 8, 3, class_names=("cat", "Non-Cat"))
TWO = {"cat/b.png": b"1", "cat/a.jpg": b"22", "Non-Cat/a.png": b"333"}


def choose(path: Path, **options: object) -> Chosen:
    with opened(path) as source:
        return class_folders(INFO, source, **options)  # type: ignore[arg-type]


def test_levels_above_container_and_order_leave_no_trace(tmp_path: Path) -> None:
    plain = as_folder(tmp_path / "plain", TWO)
    zipped = as_zip(tmp_path / "x.zip", {f"a/b c/{name}": TWO[name] for name in reversed(TWO)})
    first, other = choose(plain), choose(zipped)
    assert [(i.id, i.label) for i in first.items] == [
        ("Non-Cat/a.png", 1),
        ("cat/a.jpg", 0),
        ("cat/b.png", 0),
    ]
    assert [(i.id, i.label) for i in other.items] == [(i.id, i.label) for i in first.items]
    with opened(plain) as one, opened(zipped) as two:
        assert listing(one, first) == listing(two, other)
    changed = as_folder(tmp_path / "changed", {**TWO, "cat/b.png": b"11"})
    with opened(plain) as one, opened(changed) as two:
        assert listing(one, first) != listing(two, choose(changed))


def test_folders_may_be_written_otherwise(tmp_path: Path) -> None:
    found = choose(as_folder(tmp_path / "x", {"CAT/a.PNG": b"", "non-cat /b.png": b""}))
    assert [i.id for i in found.items] == ["Non-Cat/b.png", "cat/a.PNG"]


def test_splits_are_a_level_above(tmp_path: Path) -> None:
    files = {f"Data /{split}/{name}": b"" for split in ("train", "test", "val") for name in TWO}
    found = choose(as_folder(tmp_path / "x", files), splits=("train", "test"), unused=("val",))
    assert len(found.items) == 6
    assert {i.split for i in found.items} == {"train", "test"}
    assert found.items[0].id == "test/Non-Cat/a.png"
    assert found.notes == ("left out: 3 images in its folders (Data /val/Non-Cat; Data /val/cat)",)


def test_what_is_no_part_of_it_is_said(tmp_path: Path) -> None:
    more = {"cat/notes.txt": b"", "masks/a.png": b"", "readme.md": b""}
    found = choose(as_folder(tmp_path / "x", {**TWO, **more}))
    assert len(found.items) == 3
    assert found.notes == (
        "left out: 1 files that are no images in its folders (cat)",
        "left out: 1 images beside its folders (masks)",
    )


def test_a_second_copy_is_taken_once_unless_it_differs(tmp_path: Path) -> None:
    twice = {**{f"pets/{name}": c for name, c in TWO.items()}, **{f"old/pets/{n}": c for n, c in TWO.items()}}
    found = choose(as_folder(tmp_path / "x", twice))
    assert all(i.name.startswith("pets/") for i in found.items)
    assert found.notes == ()
    as_folder(tmp_path / "x", {"old/pets/cat/c.png": b""})
    with pytest.raises(DataFault, match="Pets twice, and differently: in pets and old/pets"):
        choose(tmp_path / "x")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "and holds nothing"),
        ({"cat/a.png": b""}, "it should hold the folders cat/, Non-Cat/ with images, and holds cat"),
        ({"dog/a.png": b"", "x/y/z/b.png": b""}, "and holds dog; y/z"),
        ({"cat/a.txt": b"", "Non-Cat/b.png": b""}, "is not Pets"),
        ({"a.png": b""}, "and holds a.png"),
    ],
)
def test_another_set_is_told_by_what_it_holds(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(DataFault) as fault:
        choose(as_zip(tmp_path / "x.zip", files))
    assert said in str(fault.value)
    assert "x.zip" in str(fault.value)


def test_a_missing_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="inside train/ and test/"):
        choose(as_folder(tmp_path / "x", {f"train/{n}": b"" for n in TWO}), splits=("train", "test"))


def test_several() -> None:
    assert several("abc", 3) == "a; b; c"
    assert several("abcd", 2) == "a; b; and 2 more"
