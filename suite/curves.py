"""The points of a training curve, read back from ``metrics.jsonl`` (one JSON object a line with a ``step``).

A long training writes tens of thousands of lines. Only as many as will be shown are parsed, and of a large
file only the places that hold them are read.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO, Any

from suite import files

WHOLE = 256 * 1024
"""A file of up to so many bytes is read whole; of a larger one single lines are looked up."""
PLACE = ("step", "total", "time")
"""Where a point stands; its other numbers are measured values."""


def points(path: Path | str, most: int) -> list[dict[str, Any]]:
    """At most ``most`` points, spread evenly, the last one always among them; empty when there is no file.

    A line that is torn or spoilt is passed over.
    """
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            lines = (
                _thinned(stream.read().splitlines(), most)
                if size <= WHOLE
                else _looked_up(stream, size, most)
            )
    except OSError:
        return []
    found = (_point(entry) for entry in _parsed(lines))
    return [point for point in found if point is not None]


def values(point: dict[str, Any]) -> dict[str, float]:
    """The measured values of a point, without its place; what is not a finite number is left out."""
    return {
        name: float(value)
        for name, value in point.items()
        if name not in PLACE and type(value) in (int, float) and math.isfinite(value)
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


def _parsed(lines: list[bytes]) -> list[Any]:
    """The JSON value of each line, None for a spoilt one: all at once, or one by one where some are spoilt."""
    try:
        # A line cannot end inside a text, so no two lines that are spoilt by themselves make up a whole one.
        found = files.parse_json(b"[" + b",\n".join(lines) + b"]")
        if len(found) == len(lines):
            return list(found)
    except ValueError:
        pass
    return [_value(line) for line in lines]


def _value(line: bytes) -> Any:
    try:
        return files.parse_json(line)
    except ValueError:
        return None


def _point(entry: Any) -> dict[str, Any] | None:
    """The entry as a point; None when it is no object with a step."""
    try:
        entry["step"] = int(entry["step"])
    except (ValueError, TypeError, KeyError):
        return None
    return dict(entry)
