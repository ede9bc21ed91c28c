"""Settings and curves as a tracker takes them: cut visibly, thinned, and never torn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from suite.mirror import values


def test_long_values_are_cut_visibly() -> None:
    (cut,) = values.params({"note": "x" * 10_000}).values()
    assert len(cut) < 6_000
    assert cut.endswith("... (10000 characters)")


def test_settings_are_texts_under_names_that_every_store_takes() -> None:
    told = values.params({"a.b": [1, 2], "train.lr": 0.1, "odd:name?": "text", "none": None})
    assert told == {"a.b": "[1, 2]", "train.lr": "0.1", "odd_name_": "text", "none": "null"}


def test_only_finite_numbers_are_numbers() -> None:
    told = {"a": 1, "b": 0.5, "c": math.nan, "d": math.inf, "e": True, "f": "1", "g": None}
    assert values.numbers(told) == {"a": 1.0, "b": 0.5}


@pytest.mark.parametrize(
    ("time", "expected"),
    [("1970-01-01T00:00:01+00:00", 1000), ("1970-01-01T00:00:01", 1000), ("never", 0), ("", 0)],
)
def test_times(time: str, expected: int) -> None:
    assert values.milliseconds(time) == expected


def test_curves_are_thinned_and_survive_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert list(values.curve(path)) == []
    lines = [json.dumps({"step": n, "total": 5000, "loss": 1 / n, "time": 1.5}) for n in range(1, 5001)]
    path.write_text("\n".join(lines) + '\n{"step": 50')
    points = list(values.curve(path))
    assert {name for name, _, _ in points} == {"curve.loss"}
    assert len(points) <= values.CURVE_POINTS
    assert points[0][2] == 1 / points[0][1]
    path.write_text("\n".join(lines))
    assert list(values.curve(path))[-1] == ("curve.loss", 5000, 1 / 5000)
