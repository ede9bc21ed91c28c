"""The records of a tracker: one for each cell or trial, and under it one for each finished seed. They know neither
the store nor the tracker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from suite.mirror import values

FORMAT = 2
"""Goes up when the same results are told in another way, so that they are written again."""
REPORT = "\0report\0"
"""Stands in a description for the address of the run that holds the tables and figures; no shown text has it."""
NOTE, NAME = "mlflow.note.content", "mlflow.runName"
"""The tags that a tracker shows as a run's description and name."""


@dataclass(frozen=True)
class SeedRecord:
    """One finished run. Times are milliseconds since 1970; ``curves``: (name, step, value)."""

    key: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    start: int
    end: int
    finished: str
    folder: Path

    @property
    def name(self) -> str:
        """What the tracker shows as its name."""
        return self.tags[NAME]

    def curves(self) -> Iterator[tuple[str, int, float]]:
        """The values that training noted (``metrics.jsonl``: one JSON object a line with a ``step``)."""
        return values.curve(self.folder / "metrics.jsonl")


@dataclass(frozen=True)
class CellRecord:
    """One cell with at least one finished run, or a trial; ``n`` runs count in its mean. ``cell`` is the key of
    the cell, ``key`` that of the record: of two trials with the same settings each has its own. ``fingerprint``:
    all that went in. Descriptions may hold :data:`REPORT`.
    """

    key: str
    cell: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    n: int
    start: int
    end: int
    fingerprint: str
    seeds: tuple[SeedRecord, ...]
    failed: bool = False

    @property
    def name(self) -> str:
        """What the tracker shows as its name."""
        return self.tags[NAME]
