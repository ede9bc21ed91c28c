"""Data sets as their sites serve them: a zip, a tar of any compression or an unpacked folder, read in place.

Nothing is unpacked to the disk, so no member can land outside a folder; still an archive whose members' paths
lead out of it, that holds links or devices, or that would unpack to far more than its own size is refused as a
whole, in one line. Hidden files and what macOS adds are passed over.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, cast

from suite.data.errors import DataFault, DataMissing

MEMBER_LIMIT = 2**28
"""Bytes of the largest file that is read out of a set."""
RATIO_LIMIT, RATIO_FREE = 200, 2**26
"""An archive may unpack to this many times its size, and to this much in any case."""

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)
_OPENERS: Mapping[str, Callable[[Path], Any]] = {
    "gzip": gzip.open,
    "bzip2": bz2.open,
    "xz": lzma.open,
    "tar": partial(open, mode="rb"),
}
Reader = Callable[[], bytes]


@dataclass(frozen=True)
class Entry:
    """A file of a set: its size in bytes, and what else changes when its content does (a checksum or a time)."""

    size: int
    state: str = ""


class Source(Protocol):
    """The files of a set by name (parts joined by ``/``)."""

    path: Path

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What there is, by name."""

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Reader]]:
        """Each name with a function that reads it (OSError or another of its format when it is damaged), in
        whatever order is fast. The functions may be called in several threads, before the next step or after.
        """


class Files:
    """Files on the disk under names of one's choosing."""

    def __init__(self, path: Path, files: Mapping[str, Path]) -> None:
        self.path, self._files = path, files
        self.entries = {name: _on_disk(file) for name, file in sorted(files.items())}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Reader]]:
        for name in names:
            yield name, partial(_read_file, self._files[name])


def _on_disk(file: Path) -> Entry:
    try:
        state = file.stat()
    except OSError:
        return Entry(-1, "absent")
    return Entry(state.st_size, str(state.st_mtime_ns))


def _read_file(file: Path) -> bytes:
    if file.stat().st_size > MEMBER_LIMIT:
        raise OSError(f"larger than the {MEMBER_LIMIT} bytes that are read")
    return file.read_bytes()


def folder(root: Path) -> Files:
    """All visible files below a folder."""
    return Files(root, {file.relative_to(root).as_posix(): file for file in visible(root)})


def visible(root: Path) -> Iterator[Path]:
    """The files below a folder that are neither hidden nor macOS's own, in no order to rely on."""
    for here, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if _shown(name))
        yield from (Path(here, name) for name in sorted(files) if _shown(name))


def _shown(name: str) -> bool:
    return not name.startswith((".", "__MACOSX")) and name != "Thumbs.db"


class _Zip:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = zipfile.ZipFile(path)
        members = [member for member in self._file.infolist() if not member.is_dir()]
        for member in members:
            if member.flag_bits & 1:
                raise DataFault(f"{path} is encrypted ({member.filename}): unpack it and give the folder")
            if (member.external_attr >> 16) & 0o170000 not in (0, 0o100000):
                raise DataFault(f"{path} holds {member.filename!r}, which is a link or a device, not a file")
        _no_bomb(path, sum(member.file_size for member in members))
        self._names = _safe(path, (member.filename for member in members))
        sizes = {member.filename: Entry(member.file_size, f"{member.CRC:08x}") for member in members}
        self.entries = {name: sizes[original] for name, original in self._names.items()}

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Reader]]:
        for name in names:
            yield name, partial(self._read, name)

    def _read(self, name: str) -> bytes:
        if self.entries[name].size > MEMBER_LIMIT:
            raise OSError(f"larger than the {MEMBER_LIMIT} bytes that are read")
        return self._file.read(self._names[name])

    def close(self) -> None:
        self._file.close()


class _Tar:
    """A tar can only be gone through from its beginning: once for the names, once for each reading."""

    def __init__(self, path: Path, opener: Callable[[Path], Any]) -> None:
        self.path, self._opener = path, opener
        sizes: dict[str, int] = {}
        names: list[str] = []
        total = 0
        for member, _ in self._members():
            total += member.size
            _no_bomb(path, total)
            if member.isdir():
                continue
            if not member.isreg():
                raise DataFault(f"{path} holds {member.name!r}, which is a link or a device, not a file")
            names.append(member.name)
            sizes[member.name] = member.size
        self._names = _safe(path, names)
        self.entries = {name: Entry(sizes[original]) for name, original in self._names.items()}

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
        try:
            with (
                self._opener(self.path) as stream,
                tarfile.TarFile(fileobj=cast(IO[bytes], _Metered(stream))) as file,
            ):
                for member in file:
                    yield member, partial(_content, file, member)
                    cast(Any, file).members = []  # it would keep all of them
        except _BROKEN as error:
            raise _not_whole(self.path, "tar", error) from error

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, Reader]]:
        wanted = {self._names[name]: name for name in names}
        for member, content in self._members():
            if (name := wanted.pop(member.name, None)) is not None:
                try:
                    here = content()
                except _BROKEN as error:
                    raise _not_whole(self.path, "tar", error) from error
                yield name, partial(bytes, here)
            if not wanted:
                return

    def close(self) -> None:
        """Nothing is open between two readings."""


def _content(file: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = file.extractfile(member)
    # What is too large is no image, and told as one that cannot be read.
    return stream.read() if stream and member.size <= MEMBER_LIMIT else b""


class _Metered:
    """A stream that gives no more at once than a file may have: headers can ask for any amount."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MEMBER_LIMIT:
            raise tarfile.ReadError("a header of absurd length")
        return self._stream.read(count)


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The files of an archive or a folder. DataMissing when there is none, DataFault when it is none of these,
    damaged, encrypted, or not safe to read; also for damage that shows while it is read.
    """
    if not path.exists():
        raise DataMissing(f"there is no {path}")
    if path.is_dir():
        yield folder(path)
        return
    with path.open("rb") as stream:
        kind = kind_of(stream.read(1024))
    if kind != "zip" and kind not in _OPENERS:
        raise DataFault(f"{path} is {_WHAT.get(kind, 'no zip or tar archive')}")
    source = _Tar(path, _OPENERS[kind]) if kind in _OPENERS else _zip(path)
    try:
        yield source
    finally:
        source.close()


def _zip(path: Path) -> _Zip:
    try:
        return _Zip(path)
    except _BROKEN as error:
        raise _not_whole(path, "zip", error) from error


def _not_whole(path: Path, kind: str, error: Exception) -> DataFault:
    return DataFault(f"{path} is not a whole {kind} archive ({error}): download it again")


def content_of(source: Source, name: str) -> bytes:
    """One file of a set, or DataFault when it cannot be read."""
    ((_, read),) = source.read([name])
    try:
        return read()
    except _BROKEN as error:
        raise DataFault(f"{source.path}: {name} cannot be read ({error})") from error


_WHAT = {
    "": "no zip or tar archive, nor a folder",
    "empty": "empty: download it again",
    "html": "a web page, not an archive: the site sent a page instead of the file; log in there and download it",
    "7z": "a 7z archive: unpack it and give the folder",
    "rar": "a rar archive: unpack it and give the folder",
}
_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
)


def kind_of(head: bytes) -> str:
    """What a file is by its first bytes: zip, gzip, bzip2, xz, tar, html, 7z, rar, empty, or the empty string."""
    if not head:
        return "empty"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[257:262] == b"ustar":
        return "tar"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return (
        "html" if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--", b"<script")) else ""
    )


def _safe(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Clean name -> the archive's own, of what is shown. DataFault for a path that leads out, or one twice."""
    found: dict[str, str] = {}
    for name in names:
        slashed = name.replace("\\", "/")
        if slashed.startswith("/") or ".." in slashed.split("/") or re.match(r"[A-Za-z]:", slashed):
            raise DataFault(f"{path} holds {name!r}, a path that leads out of it: it is not read")
        clean = posixpath.normpath(slashed)
        if not all(map(_shown, clean.split("/"))):
            continue
        if clean in found:
            raise DataFault(f"{path} holds {name!r} twice: it is not read")
        found[clean] = name
    return dict(sorted(found.items()))


def _no_bomb(path: Path, unpacked: int) -> None:
    packed = path.stat().st_size
    if unpacked > RATIO_LIMIT * packed + RATIO_FREE:
        raise DataFault(
            f"{path} has {packed} bytes and would unpack to {unpacked} or more: a bomb, not a data set"
        )
