"""Folders as chunks of bytes, for machines that share no disk: packed at one end, landed at the other.

A parcel carries the files of a folder that are new to the other end, and the names of all of them, so that what
was removed at one end is removed at the other. Claims and half-written files stay behind. Landing is for the one
who holds the folder's claim: everything is unpacked and checked beside its place first, then moved in, and what
says "done" (``outcome.json``, ``done.json``) comes last, so that a landing cut short leaves nothing half done.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from suite import claims, files
from suite.job import run_to_json
from suite.outcome import Outcome, OutcomeFault
from suite.settings import KEY_LENGTH, key_of

if TYPE_CHECKING:
    from suite.executors import Task

CHUNK = 64 * 2**20
"""Bytes of a chunk: few enough for two of them in memory."""
SEALS = ("fit.json", "outcome.json", "done.json")
"""Files that say that what lies beside them (or landed before) is whole, in the order in which they land."""
_UNPACKING = ".landing."

Stamps = Mapping[str, tuple[int, int]]
"""Name of a file -> its size and time."""


class LandingFault(Exception):  # noqa: N818 - as FileFault: says what is wrong with something that came
    """What came is not what was asked for. The message is one line."""


@dataclass(frozen=True)
class Parcel:
    """``names``: every file of the folder. ``chunks``: a tar of those that travel, as what ``put`` made of its
    pieces.
    """

    names: tuple[str, ...]
    chunks: tuple[Any, ...]


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of a folder that travel, by names relative to it; empty when there is no such folder."""
    found: dict[str, tuple[int, int]] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith((".", claims.NAME)) or path.is_symlink():
                continue
            with suppress(FileNotFoundError):
                status = path.stat()
                found[path.relative_to(folder).as_posix()] = status.st_size, status.st_mtime_ns
    return found


def pack(folder: Path, put: Callable[[bytes], Any], known: Stamps | None = None) -> Parcel:
    """Pack what a folder holds, except files that still are as ``known`` says."""
    now, known = stamps(folder), known or {}
    travelling = [name for name, stamp in now.items() if known.get(name) != stamp]
    outlet = _Outlet(put)
    with tarfile.open(fileobj=cast(IO[bytes], outlet), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name in travelling:
            archive.add(folder / name, name, recursive=False)
    return Parcel(tuple(now), outlet.close() if travelling else ())


def unpack(parcel: Parcel, get: Callable[[Any], bytes], folder: Path) -> None:
    """Put the files that travelled into a folder (made if need be). LandingFault when they are damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    if not parcel.chunks:
        return
    inlet = _Inlet(map(get, parcel.chunks))
    try:
        with tarfile.open(fileobj=cast(IO[bytes], inlet), mode="r|") as archive:
            archive.extractall(folder, filter="data")
    except tarfile.TarError as error:
        raise LandingFault(f"what came from a worker is damaged: {error}") from error


def land(
    parcel: Parcel,
    get: Callable[[Any], bytes],
    folder: Path,
    sent: Collection[str] = (),
    check: Callable[[Path], None] = lambda unpacked: None,
) -> None:
    """Make ``folder``, whose claim the caller holds, what it is at the other end: files that travelled are put in,
    those that were ``sent`` and are gone there are removed.

    ``check`` is shown the unpacked files before any is moved; what it raises leaves the folder as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_UNPACKING}*"):
        files.remove(left)  # of a landing that was cut short: nobody else lands here
    with tempfile.TemporaryDirectory(prefix=_UNPACKING, dir=folder) as unpacked:
        unpack(parcel, get, Path(unpacked))
        check(Path(unpacked))
        came = sorted(stamps(Path(unpacked)), key=_rank)
        gone = set(sent) - set(parcel.names)
        for name in [*gone, *filter(_rank, came)]:
            (folder / name).unlink(missing_ok=True)
        for name in came:
            _move(Path(unpacked, name), folder / name)


def _rank(name: str) -> int:
    """When a file lands: 0 for most."""
    last = Path(name).name
    return SEALS.index(last) + 1 if last in SEALS else 0


def _move(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as written:
        os.fsync(written.fileno())
    os.replace(path, target)
    files.sync_folder(target.parent)


def checker(task: Task, *, done: bool) -> Callable[[Path], None]:
    """A check of what came for a task; of one that is ``done`` its result must be there and bear its keys."""

    def check(folder: Path) -> None:
        if task.need is not None:
            key = files.peek_json(folder / "done.json").get("key")
            if done and key != task.need.key:
                raise LandingFault(f"what came from a worker is not the {task.need} (its key is {key})")
            return
        assert task.run is not None
        described = files.peek_json(folder / "settings.json")
        if described and described.get("train_key") != task.run.train_key:
            raise LandingFault(f"what came from a worker belongs to the key {described.get('train_key')}")
        if done:
            _check_outcome(run_to_json(task.run), folder / "eval" / task.run.eval_key[:KEY_LENGTH])

    return check


def _check_outcome(asked: Mapping[str, Any], folder: Path) -> None:
    """The outcome's keys are those asked for and those that its settings have; the scores beside it are whole."""
    try:
        outcome = Outcome.from_json(files.read_json(folder / "outcome.json") or {})
        with np.load(folder / "scores.npz", allow_pickle=False) as scores:
            lengths = {len(scores[name]) for name in ("ids", "labels", "score")}
    except (OutcomeFault, files.FileFault, OSError, ValueError, KeyError) as error:
        raise LandingFault(f"the outcome that came from a worker cannot be used: {error}") from error
    named = {"train_key": key_of(outcome.train), "eval_key": key_of(outcome.evaluation)}
    for name, key in named.items():
        if not key == getattr(outcome, name) == asked[name]:
            raise LandingFault(f"the outcome that came from a worker is another run's ({name} {key})")
    if len(lengths) != 1:
        raise LandingFault(f"the scores that came from a worker differ in length: {sorted(lengths)}")


class _Outlet:
    """A file to write to that hands on what is written, a chunk at a time."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        self._put, self._held, self._made = put, bytearray(), list[Any]()

    def write(self, data: Any) -> int:
        self._held += data
        while len(self._held) >= CHUNK:
            self._made.append(self._put(bytes(self._held[:CHUNK])))
            del self._held[:CHUNK]
        return len(data)

    def close(self) -> Any:
        """The end; gives what ``put`` made of the chunks."""
        if self._held:
            self._made.append(self._put(bytes(self._held)))
            self._held.clear()
        return tuple(self._made)


class _Inlet:
    """A file to read from, given chunk by chunk."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._held = chunks, memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        if not self._held:
            self._held = memoryview(next(self._chunks, b""))
        taken = self._held[:size] if size >= 0 else self._held
        self._held = self._held[len(taken) :]
        return bytes(taken)
