"""The points of a training curve, read back from ``metrics.jsonl`` (one JSON object a line with a ``step``).

A long training writes tens of thousands of lines. Only as many as will be shown are parsed, and of a large
file only the places that hold them are read.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import IO, Any

WHOLE = 256 * 1024
"""A file of up to so many bytes is read whole; of a larger one single lines are looked up."""


def points(path: Path, most: int) -> list[dict[str, Any]]:
    """At most ``most`` points, spread evenly, the last one always among them; empty when there is no file.

    A line that is torn or spoilt is passed over.
    """
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            lines = (
                _thinned(stream.read().splitlines(), most)
                if size <= WHOLE
                else _looked_up(stream, size, most)
            )
    except OSError:
        return []
    found = (_point(line) for line in lines)
    return [point for point in found if point is not None]


def values(point: dict[str, Any]) -> dict[str, float]:
    """The measured values of a point, without its place; what is not a finite number is left out."""
    return {
        name: float(value)
        for name, value in point.items()
        if name not in ("step", "total", "time")
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }


def _thinned(lines: list[bytes], most: int) -> list[bytes]:
    every = max(1, math.ceil(len(lines) / most))
    return lines[(len(lines) - 1) % every :: every]


def _looked_up(stream: IO[bytes], size: int, most: int) -> list[bytes]:
    """The first whole line behind each of ``most`` places in the file, the last line at the end."""
    found: dict[int, bytes] = {}
    for number in range(most - 1):
        stream.seek(number * size // most)
        if number:
            stream.readline()
        place = stream.tell()
        if line := stream.readline():
            found[place] = line
    stream.seek(max(0, size - WHOLE // 4))
    if tail := [line for line in stream.read().splitlines() if line]:
        found[size] = tail[-1]
    return [line for _, line in sorted(found.items())]


def _point(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        return {**entry, "step": int(entry["step"])}
    except (ValueError, TypeError, KeyError):
        return None
