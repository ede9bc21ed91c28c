"""Times as people write them, and when a command begins to stop."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.deadline import Deadline, parse
from suite.vocabulary import SpecErrors


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h", 10800),
        ("90m", 5400),
        ("45s", 45),
        ("5400", 5400),
        ("1h30m", 5400),
        ("0.5h", 1800),
        (" 2H ", 7200),
    ],
)
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "3d", "soon", "-3h", "0", "0h", "30m1h", "3 hours", "1e9", "nan", "9" * 400]
)
def test_anything_else_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(SpecErrors, match=r"--max-time.*such as 3h"):
        parse(text)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_the_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    total = 3600 * hours + 60 * minutes + seconds
    assert parse(f"{hours}h{minutes}m{seconds}s") == parse(str(total)) == total


@given(st.floats(1e-3, 1e6))
def test_stopping_begins_early_enough_and_is_over_in_time(seconds: float) -> None:
    begun = Deadline(seconds)
    assert 0 < begun.margin <= min(120, 0.11 * seconds)
    asked = Deadline(seconds, time.monotonic() - seconds + 0.5 * begun.margin)
    assert (asked.near, asked.here) == (True, False) or begun.margin < 0.1
    over = Deadline(seconds, time.monotonic() - seconds)
    assert over.near
    assert over.here
