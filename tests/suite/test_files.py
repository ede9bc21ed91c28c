"""Files are whole or not there."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from disks import fill, small

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


def _no_room(*arguments: object, **named: object) -> None:
    raise OSError(28, "No space left on device", "/store/x")


def test_a_full_disk_is_told_from_a_fault_of_the_work() -> None:
    for led in (OSError(28, "No space left on device", "/store/x"), RuntimeError("from it")):
        try:
            try:
                _no_room()
            except OSError as error:
                raise led from error
        except Exception as error:
            told = files.surroundings(error)
            assert told.endswith("/store/x: the disk is full: make room, then give the same command again")
    assert files.surroundings(ValueError("broke")) == ""
    assert files.surroundings(FileNotFoundError(2, "No such file", "x")) == ""
    assert files.surroundings(None) == ""


def _by_numpy(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(10**6))


def _by_archive(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, x=np.zeros(10**6))


def _by_torch(path: Path) -> None:
    torch.save({"x": torch.zeros(10**6)}, path)


@pytest.mark.parametrize("write", [_by_numpy, _by_torch, _by_archive])
def test_libraries_that_hide_why_writing_failed_are_seen_through(tmp_path: Path, write: Any) -> None:
    with small(tmp_path / "disk", "2m") as disk:
        with pytest.raises(OSError, match="No space left") as caught, files.replacing(disk / "a") as part:
            write(part)
        assert list(disk.iterdir()) == []
        fill(disk)
        with pytest.raises(OSError, match="No space left"), files.blaming_the_disk(disk):
            raise RuntimeError("short of something")
        assert [one.name for one in disk.iterdir()] == ["filler"]
    assert files.surroundings(caught.value)


def test_a_fault_of_the_work_stays_what_it_is_where_there_is_room(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="of its own"), files.blaming_the_disk(tmp_path):
        raise RuntimeError("of its own")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_can_be_removed_where_nothing_more_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "mkdtemp", _no_room)
    files.remove(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []
