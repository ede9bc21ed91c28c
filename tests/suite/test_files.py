"""Files are whole or not there."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from suite import files


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def fail(stream: object) -> None:
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        files.write(path, fail)
    assert files.read_json(path) == {"old": 1}
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_replacing_takes_files_that_the_writer_itself_renames(tmp_path: Path) -> None:
    with files.replacing(tmp_path / "deep" / "w.pt") as part:
        other = part.with_suffix(".other")
        other.write_bytes(b"new")
        other.replace(part)
    assert (tmp_path / "deep" / "w.pt").read_bytes() == b"new"


def test_what_is_written_is_readable_by_others_as_the_umask_says(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a", "x")
    (tmp_path / "plain").write_text("x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "plain")}
    assert len(modes) == 1


@pytest.mark.parametrize("text", ["", "{", "[1]", "<html>", '{"a": 1'])
def test_spoilt_json_is_told_apart_from_absent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    assert files.read_json(path) is None
    path.write_text(text)
    with pytest.raises(files.FileFault, match=r"a\.json"):
        files.read_json(path)
    assert files.peek_json(path) == {}


def test_not_a_number_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert files.read_json(tmp_path / "a.json") == {"x": 1}


def test_removing_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("12345")
    assert files.size_of(tmp_path / "a") == 5
    files.remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
