"""Seals: size and SHA-256 of the files that a finished fit or artefact leaves, noted where it is said to be finished.

With them a file that was cut short or changed since is told from one that is whole before anything is computed from
it, and is then made again, which gives the same to the bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Seals = Mapping[str, Mapping[str, Any]]
_END = 22
"""Bytes of the record with which a zip archive ends: where its directory stands, and how long that is."""
_known: dict[tuple[str, int, int, int], str] = {}


def of(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """The seals of files in ``folder`` by their names relative to it, as plain JSON."""
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _digest(path)}
        for path in sorted(paths)
    }


def broken(folder: Path, seals: Seals, *, thorough: bool = False) -> list[str]:
    """The names of the sealed files that are not as they were: absent, of another size, or (``thorough``, which
    reads them, once a process) of other content.
    """
    return [name for name, seal in seals.items() if not _whole(folder / name, seal, thorough)]


def archive_fault(path: Path | str) -> str:
    """What is wrong with a zip archive (``.npz``) at a glance, without reading it: ``has no``, ``has a damaged``;
    empty when its end is where its directory says.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _END))
            end = stream.read()
    except FileNotFoundError:
        return "has no"
    directory = sum(int.from_bytes(end[at : at + 4], "little") for at in (12, 16))
    return "" if end.startswith(b"PK\5\6") and directory == size - _END else "has a damaged"


def _whole(path: Path, seal: Mapping[str, Any], thorough: bool) -> bool:
    try:
        if os.stat(path).st_size != seal["bytes"]:
            return False
        return not thorough or _digest(path) == seal["sha256"]
    except (OSError, KeyError):
        return False


def _digest(path: Path) -> str:
    found = os.stat(path)
    mark = str(path), found.st_ino, found.st_size, found.st_mtime_ns
    if mark not in _known:
        with path.open("rb") as stream:
            _known[mark] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _known[mark]
