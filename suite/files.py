"""Files that are either whole or not there: writing by a temporary file in the same folder, flush to disk,
and rename.

A reader never sees half a file, whatever is killed when; a file that another program has spoilt is told apart
from one that is absent.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any


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


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Write ``path`` atomically as UTF-8."""
    write(path, lambda stream: stream.write(text.encode()), durable=durable)


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """Write ``path`` atomically as JSON, readable by people; NaN and infinities are refused (ValueError)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n", durable=durable)


def read_json(path: Path | str) -> dict[str, Any] | None:
    """The JSON object in ``path``; None when there is no such file. FileFault when it is anything else."""
    try:
        with open(path, "rb") as stream:
            value = json.loads(stream.read())
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
        grave = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".removed", dir=path.parent))
        os.replace(path, grave / path.name)
        shutil.rmtree(grave, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


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
