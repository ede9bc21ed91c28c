"""Files that are either whole or not there: writing by a temporary file in the same folder, flush to disk,
and rename.

A reader never sees half a file, whatever is killed when; a file that another program has spoilt is told apart
from one that is absent.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

SURROUNDINGS = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room",
    errno.EFBIG: "a file grew beyond the limit (ulimit -f) or what the file system takes: raise it",
    errno.EROFS: "the file system is read-only: choose another place (--store)",
    errno.EIO: "the disk failed (input/output error): see to it",
    errno.ESTALE: "the network file system lost the file (stale handle): see to it",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.ENFILE: "too many open files on this machine: close some",
}
"""System errors that say nothing about the work at hand, each with what to do; afterwards it goes on."""
FULL = (errno.ENOSPC, errno.EDQUOT)
_BLOCK = 2**20


class FileFault(Exception):  # noqa: N818 - says what is wrong with a file, for a warning or a healing
    """A file that is there but is not what it should be. The message is one line and starts with the path."""


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` last through a power cut (where the system can)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def surroundings(error: BaseException | None) -> str:
    """One line if an error, or what led to it, lies in the surroundings (a full disk) and not in the work; else
    empty.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in SURROUNDINGS:
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{SURROUNDINGS[error.errno]}, then give the same command again"
        error = error.__cause__ or error.__context__
    return ""


@contextmanager
def blaming_the_disk(place: Path) -> Iterator[None]:
    """Where writing below ``place`` (a file or a folder) fails and the disk is full, the error says so.

    Libraries that write through C or C++ do not: numpy tells of bytes that were requested, torch of a position.
    """
    try:
        yield
    except Exception as error:
        if not surroundings(error):
            _try_to_write(place, error)
        raise


def _try_to_write(place: Path, error: Exception) -> None:
    probe = place / ".probe" if place.is_dir() else place
    try:
        with probe.open("ab") as stream:
            stream.write(bytes(_BLOCK))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as found:
        if found.errno in SURROUNDINGS:
            raise OSError(found.errno, os.strerror(found.errno), str(place)) from error
    finally:
        if probe != place:
            with suppress(OSError):
                probe.unlink()


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; what was written there takes its place at the end, or nothing
    does.

    For writers that want a path (``detector.save``). The folder is made if need be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        with blaming_the_disk(part):
            yield part
        part.chmod(0o666 & ~_umask())
        if durable:
            with part.open("rb") as written:
                os.fsync(written.fileno())
        os.replace(part, path)
        if durable:
            sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write(path: Path, fill: Callable[[IO[bytes]], object], *, durable: bool = True) -> None:
    """Write ``path`` atomically; ``fill`` gets the open binary file."""
    with replacing(path, durable=durable) as part, part.open("wb") as stream:
        fill(stream)


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write ``path`` atomically."""
    write(path, lambda stream: stream.write(content), durable=durable)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write ``path`` atomically as UTF-8."""
    write_bytes(path, text.encode(), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write ``path`` atomically as JSON, readable by people; NaN and infinities are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", durable=durable)


def parse_json(content: bytes) -> Any:
    """What :func:`json.loads` makes of it, or refuses, in half of its time."""
    from pydantic_core import from_json

    try:
        return from_json(content, cache_strings="keys")
    except ValueError:
        return json.loads(content)


def read_json(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in ``path``; None when there is no such file. FileFault when it is anything else."""
    try:
        with open(path, "rb", buffering=0) as stream:
            value = parse_json(stream.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, UnicodeDecodeError) as error:
        raise FileFault(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(value, dict):
        raise FileFault(f"{path}: holds no JSON object")
    return value


def peek_json(path: Path) -> Mapping[str, Any]:
    """Like :func:`read_json` for files that are only a convenience: empty when absent or spoilt."""
    try:
        return read_json(path) or {}
    except (FileFault, OSError):
        return {}


def remove(path: Path) -> None:
    """Remove a file or a folder; a folder disappears under another name first, so that half of it is never
    seen.
    """
    if path.is_dir() and not path.is_symlink():
        try:
            grave = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".removed", dir=path.parent))
        except OSError as error:
            if error.errno not in FULL:
                raise
            grave = path  # where there is room for nothing more, room is being made
        else:
            os.replace(path, grave / path.name)
        shutil.rmtree(grave, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what writers below ``folder`` left half written when they were killed; for who has it to himself."""
    for path in folder.rglob(".*.part"):
        with suppress(OSError):
            path.unlink()


def size_of(path: Path) -> int:
    """Bytes in a file, or in all files of a folder; what vanishes meanwhile counts nothing."""
    if path.is_file():
        return path.stat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
