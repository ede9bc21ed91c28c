"""Where a set lies: noted, or in the data root under its own name or its site's."""

from __future__ import annotations

from pathlib import Path

from suite.data.place import Place, find, note, place_of
from suite.registry import DataInfo

INFO = DataInfo("scans", "Scans", "nowhere:pack", 8, 1, files=("served.zip",))


def test_a_note_comes_before_what_lies_in_the_data_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert place_of(INFO, root) is None
    root.mkdir()
    (root / "served.zip").touch()
    assert find(INFO, 8, root) == root / "served.zip"
    (root / "scans.tar.gz").touch()
    assert find(INFO, 8, root) == root / "scans.tar.gz"
    (root / "scans").mkdir()
    assert find(INFO, 8, root) == root / "scans"
    elsewhere = tmp_path / "elsewhere.zip"
    elsewhere.touch()
    note(INFO, root, Place(elsewhere, skip_faulty=True))
    assert place_of(INFO, root) == Place(elsewhere, skip_faulty=True)
    elsewhere.unlink()
    assert find(INFO, 8, root) == root / "scans", "a note of what is gone counts for nothing"


def test_a_spoilt_note_is_no_note(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"path": 3}', "{}"):
        (tmp_path / "scans.json").write_text(text)
        assert place_of(INFO, tmp_path) is None
