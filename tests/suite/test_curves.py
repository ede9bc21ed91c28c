"""Curves are thinned evenly, whole or looked up in a large file, and survive torn lines."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from suite import curves


def write(path: Path, count: int, padding: int = 0) -> Path:
    lines = (
        json.dumps({"step": n, "total": count, "loss": 1 / n, "note": "x" * padding})
        for n in range(1, count + 1)
    )
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_few_points_all_come(tmp_path: Path) -> None:
    found = curves.points(write(tmp_path / "m.jsonl", 5), 10)
    assert [point["step"] for point in found] == [1, 2, 3, 4, 5]
    assert [curves.values(point) for point in found] == [{"loss": 1 / n} for n in range(1, 6)]


def test_thinned_points_are_spread_and_end_with_the_last(tmp_path: Path) -> None:
    for padding in (0, 2000):
        path = write(tmp_path / f"{padding}.jsonl", 1000, padding)
        assert (path.stat().st_size > curves.WHOLE) == bool(padding)
        steps = [point["step"] for point in curves.points(path, 40)]
        assert 38 <= len(steps) <= 40
        assert steps[-1] == 1000
        assert steps == sorted(set(steps))
        assert max(b - a for a, b in pairwise(steps)) <= 60
        assert steps[0] <= 30


def test_torn_and_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(
        b'{"step": 1, "loss": 2.0}\n[]\n{"loss": 1}\n\xff\n{"step": 2, "loss": NaN, "lr": 0.1}\n{"step": 3, "lo'
    )
    found = curves.points(path, 100)
    assert [point["step"] for point in found] == [1, 2]
    assert curves.values(found[1]) == {"lr": 0.1}


@pytest.mark.parametrize(
    "spoilt", ['{"step": 8}, {"step": 9}', '{"step": 8, "a": "', '"}', "[1", "", " ", "7", "\ufeff1"]
)
def test_a_spoilt_line_costs_no_other(tmp_path: Path, spoilt: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1}}\n{spoilt}\n{{"step": 2}}\n', encoding="utf-8")
    assert [point["step"] for point in curves.points(path, 100)] == [1, 2]


def test_no_file_no_points(tmp_path: Path) -> None:
    assert curves.points(tmp_path / "none.jsonl", 10) == []
