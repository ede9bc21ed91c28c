"""The published numbers held against each other: one experiment printed with two results, and claims recomputed.

A run is named by what it computes, so the shipped specs say which cells of different tables are one experiment:
those whose runs have one key at the paper profile. Where the paper is silent (the kernel of a blur, the shift
on Kvasir) the specs' reading decides, and their opening lines say what it is. Nothing is run, nothing is read
but the specs and ``reports/published.toml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from suite import registry
from suite.plan import Cell, expand
from suite.settings import fields_of, nest
from suite.spec import PAPER, Spec
from suite.tables import published
from suite.tables.claims import Claim, claims
from suite.tables.text import as_printed
from suite.vocabulary import IDENTITY, label_of

PAPER_SOURCE = "paper"
MEANS, SPREADS, THIRD, README = "mean", "spread", "mean, paper against README", "mean within the README"


@dataclass(frozen=True)
class Printed:
    """A value where it was printed: the table's id, its source, and the number as a reader saw it."""

    table: str
    source: str
    mean: float
    std: float | None


@dataclass(frozen=True)
class Experiment:
    """One run by key, in words, and every place where a result of it was printed."""

    name: str
    method: str
    dataset: str
    key: str
    printed: tuple[Printed, ...]

    @property
    def disagrees(self) -> tuple[str, ...]:
        """What the places contradict each other in: the mean or the spread within the paper, the mean of the
        paper and that of the README of its code, or the README with itself.
        """
        paper = {one.mean for one in self.printed if one.source == PAPER_SOURCE}
        readme = {one.mean for one in self.printed if one.source != PAPER_SOURCE}
        spreads = {one.std for one in self.printed if one.std is not None}
        found = {
            MEANS: len(paper) > 1,
            SPREADS: len(spreads) > 1,
            THIRD: bool(paper) and not readme <= paper,
            README: len(readme) > 1,
        }
        return tuple(kind for kind, there in found.items() if there)

    @property
    def told(self) -> str:
        """``0.944±0.00 table1; 0.944±0.01 table4, table8; 0.919 table2``: each number with its places."""
        places: dict[str, list[str]] = {}
        for one in self.printed:
            places.setdefault(as_printed(one.mean, one.std), []).append(one.table)
        return "; ".join(f"{number} {', '.join(tables)}" for number, tables in places.items())


@dataclass(frozen=True)
class Coincidence:
    """Different runs of a method on a data set that were printed with one number (to three digits)."""

    method: str
    dataset: str
    mean: float
    experiments: tuple[Experiment, ...]

    @property
    def number(self) -> str:
        return as_printed(self.mean, None)

    @property
    def told(self) -> str:
        """Each run with the tables that print it."""
        return "; ".join(
            f"{one.name} ({', '.join(p.table for p in one.printed if p.mean == self.mean)})"
            for one in self.experiments
        )


@dataclass(frozen=True)
class Audit:
    """``shared``: how many experiments stand in more than one place; ``contradictions`` are among them."""

    shared: int
    contradictions: tuple[Experiment, ...]
    coincidences: tuple[Coincidence, ...]
    claims: tuple[Claim, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain JSON object."""
        return {
            "shared": self.shared,
            "contradictions": [{"in": list(one.disagrees), **asdict(one)} for one in self.contradictions],
            "coincidences": [asdict(one) for one in self.coincidences],
            "claims": [asdict(one) for one in self.claims],
        }


def audit(specs: Iterable[Spec]) -> Audit:
    """Compare everything that was published for the cells of these specs, and recompute the paper's claims."""
    found = experiments(specs)
    shared = [one for one in found if len(one.printed) > 1]
    contradictions = sorted(
        (one for one in shared if one.disagrees), key=lambda one: (one.dataset, one.method, one.name)
    )
    return Audit(len(shared), tuple(contradictions), tuple(_coincidences(found)), claims(published.load()))


def experiments(specs: Iterable[Spec]) -> list[Experiment]:
    """Every run for which something was printed, in the order of the specs."""
    cells: dict[str, Cell] = {}
    places: dict[str, dict[tuple[str, int], Printed]] = {}
    for spec in specs:
        tables = [published.table(name) for name in spec.table.published]
        for cell in expand(spec, profile=PAPER, seeds=(0,)).cells if tables else ():
            if not cell.runs:  # a cost is counted, not run
                continue
            key = cell.runs[0].eval_key
            for table in tables:
                value = table.find(cell.method, cell.dataset, cell.settings)
                if value is not None and value.mean is not None and table.metric == spec.table.metric:
                    cells.setdefault(key, cell)
                    printed = Printed(table.id, table.source, value.mean, value.std)
                    places.setdefault(key, {}).setdefault((table.id, id(value)), printed)
    return [_experiment(cells[key], key, list(found.values())) for key, found in places.items()]


def _experiment(cell: Cell, key: str, printed: Sequence[Printed]) -> Experiment:
    ordered = sorted(printed, key=lambda one: _order(one.table))
    return Experiment(_name(cell), cell.method, cell.dataset, key, tuple(ordered))


def _order(table: str) -> tuple[str, int]:
    stem = table.rstrip("0123456789")
    return ("" if stem == "table" else stem, int(table.removeprefix(stem) or 0))


def _name(cell: Cell) -> str:
    """The cell in words: method, data set and the settings that are not the method's defaults."""
    info = registry.method(cell.method)
    usual = {name: field.default for name, field in fields_of(info.training(nest(_training(cell.settings))))}
    told = [
        f"{name} {label_of(value)}" for name, value in cell.settings.items() if _differs(name, value, usual)
    ]
    return ", ".join([info.title, registry.dataset(cell.dataset).title, *told])


def _training(settings: Mapping[str, Any]) -> dict[str, Any]:
    apart = ("score.", "data.")
    return {
        name: value for name, value in settings.items() if name not in IDENTITY and not name.startswith(apart)
    }


def _differs(name: str, value: Any, usual: Mapping[str, Any]) -> bool:
    if name == "dissolve.op":
        return bool(value != "diffusion")
    if name in usual:
        return label_of(value) != label_of(usual[name])
    return name == "data.contamination" and bool(value)


def _coincidences(found: Sequence[Experiment]) -> Iterable[Coincidence]:
    groups: dict[tuple[str, str, float], list[Experiment]] = {}
    for one in found:
        for mean in dict.fromkeys(printed.mean for printed in one.printed):
            groups.setdefault((one.method, one.dataset, mean), []).append(one)
    for (method, dataset, mean), runs in groups.items():
        if len(runs) > 1:
            yield Coincidence(method, dataset, mean, tuple(runs))
