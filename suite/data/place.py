"""Where the files of a data set lie on this machine: in the data root, or wherever ``suite data add`` was told.

What was added stays where it is; the data root keeps a note ``<name>.json`` of its path. A set that lies in the
data root itself (a folder or an archive of its name, or a file named as its site does) needs no note.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from suite import files
from suite.registry import DataInfo

FORMAT = 1
_SUFFIXES = ("", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Place:
    """An archive or a folder, and whether faulty images in it are left out by choice."""

    path: Path
    skip_faulty: bool = False


def note_of(info: DataInfo, data_root: Path) -> Path:
    """The file that notes where an added set lies."""
    return data_root / f"{info.name}.json"


def note(info: DataInfo, data_root: Path, place: Place) -> None:
    """Remember where a set lies."""
    content = {"format": FORMAT, "path": str(place.path), "skip_faulty": place.skip_faulty}
    files.write_json(note_of(info, data_root), content)


def places(info: DataInfo, data_root: Path) -> Iterator[Place]:
    """Where the set may be, the noted place first; all of them exist."""
    noted = files.peek_json(note_of(info, data_root))
    if (path := noted.get("path")) and Path(str(path)).exists():
        yield Place(Path(str(path)), bool(noted.get("skip_faulty")))
    names = [*(info.name + suffix for suffix in _SUFFIXES), *info.files]
    yield from (Place(data_root / name) for name in names if (data_root / name).exists())


def place_of(info: DataInfo, data_root: Path) -> Place | None:
    """Where the set lies, or None when it is not at hand."""
    return next(places(info, data_root), None)


def find(info: DataInfo, size: int, data_root: Path) -> Path | None:
    """The archive or folder at hand, or None (see :mod:`suite.data.source`)."""
    found = place_of(info, data_root)
    return found.path if found else None
