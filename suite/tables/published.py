"""The numbers of the paper (and of its released README), addressed by the settings that name a cell here.

``reports/published.toml`` holds tables of values. A value belongs to a cell of a plan when every entry of its
``where`` equals the cell's method, data set or setting; of several the most specific one counts, and two
equally specific ones are a fault of the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from suite import resources

NEUTRAL: Mapping[str, Any] = {"data.contamination": 0, "data.max_train": None}
"""What a setting that a cell does not mention amounts to, where a table of the paper mentions it."""


class AmbiguousError(ValueError):
    """Two published values claim one cell with equally many conditions."""


@dataclass(frozen=True)
class Value:
    """One published number: ``mean`` and ``std`` on the scale of the metric (0..1), None where not printed.

    ``costs``: what the paper's cost tables state (``parameters_m``, ``macs_g``, ``memory_gb``).
    """

    where: Mapping[str, Any]
    mean: float | None
    std: float | None
    costs: Mapping[str, float]
    extra_data: bool = False


@dataclass(frozen=True)
class Published:
    """One published table. ``source`` is ``paper`` or ``released README``."""

    id: str
    title: str
    source: str
    metric: str
    scale: float
    note: str
    values: tuple[Value, ...]

    def find(self, method: str, dataset: str, settings: Mapping[str, Any]) -> Value | None:
        """The value of the cell with these settings (flat), or None. Raises :class:`AmbiguousError`."""
        known = {**NEUTRAL, **settings, "method": method, "dataset": dataset}
        return self._best(known, [value for value in self.values if "average" not in value.where])

    def find_average(self, axis: str, method: str, dataset: str, settings: Mapping[str, Any]) -> Value | None:
        """The published average over the values of a setting, for cells that share everything else."""
        known = {**NEUTRAL, **settings, "method": method, "dataset": dataset, "average": axis}
        return self._best(known, [value for value in self.values if "average" in value.where])

    def _best(self, known: Mapping[str, Any], candidates: list[Value]) -> Value | None:
        found = [value for value in candidates if matches(value.where, known)]
        most = max((len(value.where) for value in found), default=0)
        best = [value for value in found if len(value.where) == most]
        if len(best) > 1:
            raise AmbiguousError(
                f"{self.id}: {dict(best[0].where)} and {dict(best[1].where)} are the same cell"
            )
        return best[0] if best else None


def matches(where: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether every entry of ``where`` is in ``known`` with an equal value (lists and tuples, 1 and 1.0
    alike).
    """
    return all(name in known and _plain(known[name]) == _plain(value) for name, value in where.items())


def load(path: Path | None = None) -> dict[str, Published]:
    """All published tables by id, from ``path`` or the shipped file."""
    return _read(path or resources.shipped("reports/published.toml"))


def table(name: str) -> Published:
    """One table of the shipped file; ValueError with the legal ids when it has none of that name."""
    known = load()
    if name not in known:
        raise ValueError(f"no published table {name!r}; there are {', '.join(known)}")
    return known[name]


@cache
def _read(path: Path) -> dict[str, Published]:
    with path.open("rb") as file:
        tables = tomllib.load(file)["table"]
    return {entry["id"]: _published(entry) for entry in tables}


def _published(entry: Mapping[str, Any]) -> Published:
    scale = float(entry.get("scale", 1))
    return Published(
        id=entry["id"],
        title=entry["title"],
        source=entry["source"],
        metric=entry["metric"],
        scale=scale,
        note=entry.get("note", ""),
        values=tuple(_value(cell, scale) for cell in entry["cell"]),
    )


def _value(cell: Mapping[str, Any], scale: float) -> Value:
    mean, std = (cell[name] / scale if name in cell else None for name in ("mean", "std"))
    costs = {name: value for name, value in cell.items() if name in ("parameters_m", "macs_g", "memory_gb")}
    return Value(cell["where"], mean, std, costs, cell.get("extra_data", False))


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
