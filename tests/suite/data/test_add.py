"""Adding a set: looked through first, packed, noted; or nothing has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from images import as_folder, as_zip, png

from suite.data import pack as packs
from suite.data.add import Added, add
from suite.data.errors import DataFault, DataMissing
from suite.data.identity import DataSettings
from suite.registry import dataset

INFO = dataset("sars_cov_2")
FILES = {f"{kind}/{n}.png": png(n + at) for at, kind in ((0, "COVID"), (20, "non-COVID")) for n in range(9)}
CUT = {**FILES, "COVID/cut.png": png(1)[:50]}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def take_in(home: Path, path: Path, *sizes: int, **options: bool) -> list[Added]:
    return add(INFO, path, sizes or (16,), home / "store", home / "root", **options)


def state(home: Path) -> dict[str, bytes]:
    return {
        path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()
    }


def test_what_was_added_is_packed_noted_and_packed_again_at_another_size(home: Path, tmp_path: Path) -> None:
    path = as_zip(tmp_path / "Downloads/archive.zip", FILES)
    one, two = take_in(home, path, 16, 24)
    assert (one.made, two.made) == (True, True)
    assert (one.pack.images.shape, two.pack.images.shape) == ((18, 1, 16, 16), (18, 1, 24, 24))
    assert json.loads((home / "root/sars_cov_2.json").read_text())["path"] == str(path)
    other = packs.load(INFO, DataSettings(size=20), home / "store", home / "root")
    assert other.images.shape == (18, 1, 20, 20)
    before = state(home)
    assert [added.made for added in take_in(home, path, 16, 24)] == [False, False]
    assert state(home) == before


def test_the_same_images_in_another_container_are_the_same_pack(home: Path, tmp_path: Path) -> None:
    (first,) = take_in(home, as_zip(tmp_path / "x.zip", FILES))
    (again,) = take_in(home, as_folder(tmp_path / "folder", FILES))
    assert not again.made
    assert again.pack.digest == first.pack.digest
    assert json.loads((home / "root/sars_cov_2.json").read_text())["path"] == str(tmp_path / "folder")


def test_other_images_take_the_place_of_the_pack(home: Path, tmp_path: Path) -> None:
    (first,) = take_in(home, as_zip(tmp_path / "x.zip", FILES))
    (other,) = take_in(home, as_zip(tmp_path / "y.zip", {**FILES, "COVID/more.png": png(77)}))
    assert other.made
    assert other.pack.folder == first.pack.folder
    assert len(other.pack.ids) == 19
    assert packs.known_digest(INFO, DataSettings(size=16), home / "store", home / "root") == other.pack.digest


def test_faulty_images_are_left_out_only_by_choice_which_is_remembered(home: Path, tmp_path: Path) -> None:
    (whole,) = take_in(home, as_zip(tmp_path / "whole.zip", FILES))
    before = state(home)
    cut = as_zip(tmp_path / "cut.zip", CUT)
    with pytest.raises(DataFault, match=r"1 of 19 images are faulty: COVID/cut\.png"):
        take_in(home, cut)
    assert state(home) == before, "nothing half-made, and the old pack is still there"
    (chosen,) = take_in(home, cut, skip_faulty=True)
    assert chosen.pack.digest == whole.pack.digest, "the whole images are the same"
    manifest = json.loads((chosen.pack.folder / "manifest.json").read_text())
    assert manifest["origin"]["skipped"][0].startswith("COVID/cut.png: cannot be read")
    assert any(note.startswith("left out by choice: 1 faulty images") for note in chosen.pack.notes)
    packs.load(INFO, DataSettings(size=24), home / "store", home / "root")
    assert [one.made for one in take_in(home, cut, skip_faulty=True)] == [False]
    with pytest.raises(DataFault, match="faulty"):
        take_in(home, cut)


def test_what_lies_in_the_data_root_needs_no_note(home: Path) -> None:
    take_in(home, as_folder(home / "root/sars_cov_2", FILES))
    assert [path.name for path in (home / "root").iterdir()] == ["sars_cov_2"]


def test_nothing_is_left_of_what_is_not_the_set(home: Path, tmp_path: Path) -> None:
    for path in (as_zip(tmp_path / "x.zip", {"dogs/1.png": png(1)}), tmp_path / "nowhere"):
        with pytest.raises((DataFault, DataMissing)):
            take_in(home, path)
    assert list(home.iterdir()) == []


def test_sets_that_are_not_added_say_what_to_do(home: Path, tmp_path: Path) -> None:
    for name, said in (
        ("pneumonia_mnist", "suite data fetch pneumonia_mnist"),
        ("digits", "name it in a spec"),
    ):
        with pytest.raises(DataFault, match=said):
            add(dataset(name), tmp_path, (), home, home)


def test_a_data_root_that_cannot_be_written_is_told(home: Path, tmp_path: Path) -> None:
    (home / "root").write_text("a file")
    with pytest.raises(DataFault, match=r"sars_cov_2\.json cannot be written .*--data-root"):
        take_in(home, as_zip(tmp_path / "x.zip", FILES))
