"""How cells read."""

from __future__ import annotations

import pytest

from suite.plan import Cell
from suite.tables import text
from suite.tables.cells import Entry
from suite.tables.published import Value


def entry(*values: float, seeds: int = 3, published: tuple[float, float | None] | None = None) -> Entry:
    cell = Cell({}, {}, "dia", "phantom", {}, ())
    told = Value({}, *published, {}) if published else None
    values_by_seed = dict(enumerate(values))
    return Entry(
        cell, tuple(range(seeds)), values_by_seed, (), (), published=told, source="paper", reach=0.03
    )


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (entry(0.899, 0.912, 0.925), "0.912±0.013"),
        (entry(0.90, 0.92), "0.91±0.01 (2/3)"),
        (entry(0.91), "0.91 (1/3)"),
        (entry(), "--"),
        (entry(0.91, seeds=1), "0.910"),
        (None, ""),
    ],
)
def test_value(made: Entry | None, shown: str) -> None:
    assert text.value(made) == shown


def test_spread_is_the_sample_standard_deviation() -> None:
    # Of 0, 0.5 and 1: 0.5 with ddof 1; 0.408 with ddof 0; standard error 0.289.
    assert text.value(entry(0.0, 0.5, 1.0)) == "0.500±0.500"


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (entry(0.871, 0.871, 0.871, published=(0.903, 0.01)), "paper 0.903±0.01, −0.032¶: below"),
        (entry(0.871, published=(0.851, None)), "paper 0.851, +0.020"),
        (entry(0.851, published=(0.851, 0.0)), "paper 0.851±0.00, 0.000"),
        (entry(published=(0.903, 0.01)), "paper 0.903±0.01"),
        (entry(0.9), ""),
        (None, ""),
    ],
)
def test_published_and_difference(made: Entry | None, shown: str) -> None:
    assert text.beside(made) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(None, "--"), (11_176_512.0, "11,176,512"), (0.25, "0.25"), (12.3456, "12.35")]
)
def test_extra(number: float | None, shown: str) -> None:
    assert text.extra(number) == shown
