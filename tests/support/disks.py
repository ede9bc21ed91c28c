"""File systems for tests: one that is soon full, one that is read-only. They need the right to mount (root)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small(place: Path, size: str) -> Iterator[Path]:
    """A file system in memory at ``place`` (made) that holds ``size`` (``8m``)."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def read_only(place: Path) -> Iterator[Path]:
    """A folder as it is, but nothing in it can be changed, by root neither."""
    _mount("--bind", str(place), str(place))
    try:
        _mount("-o", "remount,bind,ro", str(place))
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, *, leave: int = 0) -> Path:
    """Fill the file system at ``place`` up to ``leave`` bytes; the file that does it."""
    filler = place / "filler"
    free = os.statvfs(place)
    size = free.f_bavail * free.f_frsize - leave
    with filler.open("wb") as stream:
        if size > 0:
            os.posix_fallocate(stream.fileno(), 0, size)
    return filler


def _mount(*arguments: str) -> None:
    try:
        done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no mount command here")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
