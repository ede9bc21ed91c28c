"""What has been written to which tracking store, and under which numbers it stands there.

A file in the store, so that nothing is started up when nothing is new, and so that a report can link each cell
and each run to its page in the tracker without asking it. It is only a convenience: whatever is wrong with it
costs a comparison with what the tracker really holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite import files

NAME = "mlflow-mirrored.json"
FORMAT = 2


@dataclass(frozen=True)
class Put:
    """A record as it was written: its fingerprint, its run in the tracker, and (of a cell) the key that all
    records of the same cell share.
    """

    fingerprint: str
    run: str
    cell: str = ""


@dataclass
class Written:
    """What an experiment holds: its number, cells by key, seeds (run in the tracker) by evaluation key, tables by
    the name of their files.
    """

    id: str = ""
    cells: dict[str, Put] = field(default_factory=dict)
    seeds: dict[str, str] = field(default_factory=dict)
    reports: dict[str, Put] = field(default_factory=dict)

    def add(self, other: Written) -> None:
        """Take in what has been written since."""
        self.id = other.id or self.id
        self.cells |= other.cells
        self.seeds |= other.seeds
        self.reports |= other.reports


@dataclass(frozen=True)
class Links:
    """Addresses of a tracker's pages: of cells by the key of a cell, of runs by evaluation key."""

    cells: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, str] = field(default_factory=dict)


class Stamp:
    """What has been written to one tracking store. ``identity`` tells one database file from another at the same
    path (deleted, made anew).
    """

    def __init__(self, root: Path, uri: str, identity: str) -> None:
        self._path, self._uri, self._identity = root / NAME, uri, identity

    def experiments(self) -> dict[str, Written]:
        """All experiments by name; none when the file is of another database, or spoilt."""
        entry = files.peek_json(self._path).get(self._uri)
        if not isinstance(entry, Mapping) or entry.get("format") != FORMAT:
            return {}
        if entry.get("identity") != self._identity:
            return {}
        try:
            return {name: _read(told) for name, told in entry["experiments"].items()}
        except (AttributeError, KeyError, TypeError):
            return {}

    def read(self, experiment: str) -> Written:
        """What is known of one experiment."""
        return self.experiments().get(experiment, Written())

    def write(self, experiment: str, written: Written, identity: str) -> None:
        """Add what has been written; ``identity`` is that of the database now that it exists."""
        known = self.experiments() if identity == self._identity else {}
        known.setdefault(experiment, Written()).add(written)
        content = dict(files.peek_json(self._path))
        told = {name: _told(one) for name, one in known.items()}
        content[self._uri] = {"format": FORMAT, "identity": identity, "experiments": told}
        files.write_json(self._path, content)
        self._identity = identity


def links(experiments: Iterable[Written], base: str) -> Links:
    """The addresses of everything in these experiments, of pages served at ``base``."""
    cells: dict[str, str] = {}
    seeds: dict[str, str] = {}
    for one in experiments:
        start = f"{base.rstrip('/')}/#/experiments/{one.id}/runs"
        cells |= {put.cell: f"{start}/{put.run}" for put in one.cells.values()}
        seeds |= {key: f"{start}/{run}" for key, run in one.seeds.items()}
    return Links(cells, seeds)


def _read(told: Mapping[str, Any]) -> Written:
    return Written(
        str(told["id"]),
        {key: Put(*map(str, put)) for key, put in told["cells"].items()},
        {key: str(run) for key, run in told["seeds"].items()},
        {key: Put(*map(str, put)) for key, put in told["reports"].items()},
    )


def _told(written: Written) -> dict[str, Any]:
    return {
        "id": written.id,
        "cells": {key: [put.fingerprint, put.run, put.cell] for key, put in written.cells.items()},
        "seeds": written.seeds,
        "reports": {key: [put.fingerprint, put.run] for key, put in written.reports.items()},
    }
