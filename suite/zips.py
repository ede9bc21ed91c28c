"""Zip archives with the same bytes for the same content: names in order, no times, no owners.

What travels between stores, or into a reader's hands, is written here; it is read by :mod:`suite.data.archive`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from suite import files

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time that every member carries: the first that a zip can tell."""


def write(path: Path, members: Mapping[str, bytes]) -> None:
    """Write an archive of these files (name with ``/`` -> content), whole or not at all."""
    files.write(path, lambda stream: _fill(stream, members))


def packed_size(members: Mapping[str, bytes]) -> int:
    """Bytes of an archive of these files. That of several such sets together is no larger than the sum."""
    stream = io.BytesIO()
    _fill(stream, members)
    return stream.tell()


def _fill(stream: IO[bytes], members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type, entry.create_system, entry.external_attr = (
                zipfile.ZIP_DEFLATED,
                3,
                0o100644 << 16,
            )
            archive.writestr(entry, members[name])
    stream.seek(0, io.SEEK_END)
