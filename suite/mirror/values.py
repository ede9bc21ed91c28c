"""Settings, numbers, times and curves in the form that a tracker takes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from suite import curves

VALUE_LENGTH = 5_900
"""Longer values of a setting are cut here, visibly; the tracker would cut them at 6,000 and say nothing."""
CURVE_POINTS = 1_000
"""A curve with more points is thinned evenly, its last point kept."""


def params(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as texts."""
    return {
        named(name): cut(value if isinstance(value, str) else json.dumps(value, default=str))
        for name, value in settings.items()
    }


def cut(text: str) -> str:
    """A text that is not too long for a value; what was cut is said."""
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}... ({len(text)} characters)"


def numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers."""
    return {named(name): float(value) for name, value in told.items() if _is_number(value)}


def named(name: str) -> str:
    """Only the characters that every tracking store takes in a name."""
    return re.sub(r"[^A-Za-z0-9_.\- /]", "_", name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def milliseconds(finished: str) -> int:
    """A time in ISO form as milliseconds since 1970; 0 for what is none."""
    try:
        time = datetime.fromisoformat(finished)
    except ValueError:
        return 0
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def curve(path: Path) -> Iterator[tuple[str, int, float]]:
    """The points (name, step, value) of a file of training values."""
    for point in curves.points(path, CURVE_POINTS):
        for name, value in curves.values(point).items():
            yield f"curve.{named(name)}", point["step"], value
