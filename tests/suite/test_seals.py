"""Seals: what became of finished files since, at a glance or by reading them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from suite import seals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"")
    return tmp_path


def test_whole_files_are_not_broken(folder: Path) -> None:
    sealed = seals.of(folder, [folder / "deep" / "a", folder / "b"])
    assert set(sealed) == {"deep/a", "b"}
    assert sealed["b"]["bytes"] == 0
    assert seals.broken(folder, sealed) == seals.broken(folder, sealed, thorough=True) == []


def test_what_is_gone_cut_or_changed_is_named(folder: Path) -> None:
    sealed = seals.of(folder, [folder / "deep" / "a", folder / "b"])
    (folder / "deep" / "a").write_bytes(b"12346")
    os.utime(folder / "deep" / "a", (1, 1))
    assert seals.broken(folder, sealed) == [], "at a glance it is as long as it was"
    assert seals.broken(folder, sealed, thorough=True) == ["deep/a"]
    (folder / "deep" / "a").write_bytes(b"1234")
    (folder / "b").unlink()
    assert sorted(seals.broken(folder, sealed)) == ["b", "deep/a"]


def test_a_spoilt_seal_counts_as_broken(folder: Path) -> None:
    assert seals.broken(folder, {"b": {}}) == ["b"]


def test_an_archive_is_judged_by_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    assert seals.archive_fault(path) == "has no"
    np.savez_compressed(path, x=np.arange(1000), y=np.arange(3))
    assert seals.archive_fault(path) == ""
    whole = path.read_bytes()
    for length in (0, 1, 21, 22, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert seals.archive_fault(path) == "has a damaged", length
    path.write_bytes(whole[: len(whole) // 2] + whole[len(whole) // 2 + 1 :])
    assert seals.archive_fault(path) == "has a damaged"
