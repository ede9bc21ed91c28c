"""A table in one archive, for others to check: its spec and profile, every outcome with its scores and
environment, and the table as it was rendered; no images, no weights.

The archive is a small store (``suite import`` takes it, ``suite report`` shows it) with an index and the rendered
tables beside it. Its bytes hang on the content alone. :class:`Opened` reads one back: whether each file is the one
that the index names, each key that of its settings, each AUROC that of its scores, and whether the table comes out
as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import carry, provenance
from suite.carry import Unfit
from suite.data import archive
from suite.data.errors import DataFault
from suite.goals import COSTS
from suite.merge import unpacked
from suite.plan import Assessment, Plan, Run, expand
from suite.spec import load_spec
from suite.store import Store
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from suite.outcome import Outcome

INDEX = "bundle.json"
FIT = tuple(name for name in carry.FIT if name != "log.txt")
"""Of a fit; its log may name folders of a machine."""
MACHINE = ("device", "threads", "torch", "processor", "lock")
"""Where these are the same, and the method's source is, a run repeats itself to the bit."""


def contents(
    plan: Plan,
    store: Store,
    judged: Sequence[Assessment],
    memory: tuple[str, Mapping[str, str], Mapping[str, Any]],
) -> dict[str, bytes]:
    """The files of a plan's bundle; ``memory`` is what a store keeps of the plan's spec. Unfit for what is not as it
    should be, DataFault when there is nothing to bundle.
    """
    if any(need.kind not in COSTS.values() for need in plan.goals):
        raise DataFault(f"{plan.spec.name} is a figure of images, and a bundle carries none")
    members = dict(_results(plan, store))
    if not members:
        raise DataFault(f"{plan.spec.name} ({plan.profile}): nothing is done, so there is nothing to bundle")
    name, texts, options = memory
    for place, text in {**texts, "options.json": _text(options)}.items():
        members[f"specs/{name}/{place}"] = text.encode()
    for place, text in rendered(plan, store, judged).items():
        members[place] = text.encode()
    members[INDEX] = _text(_index(plan, judged, name, members)).encode()
    return members


def _results(plan: Plan, store: Store) -> Iterator[tuple[str, bytes]]:
    for run in plan.runs:
        folder, place = store.run_folder(run.train_key), store.eval_folder(run.train_key, run.eval_key)
        if not (place / "outcome.json").exists():
            continue
        carry.fit_in(folder)
        if carry.outcome_in(place, run.train_key) is None:
            continue
        paths = [folder / name for name in FIT] + [place / name for name in carry.EVALUATION]
        for path in paths:
            if path.is_file():
                yield path.relative_to(store.root).as_posix(), path.read_bytes()
    for need in plan.goals:
        path = store.artefact_folder(*need.place) / "done.json"
        if store.artefact(need) is not None:
            yield path.relative_to(store.root).as_posix(), path.read_bytes()


def rendered(plan: Plan, store: Store, judged: Sequence[Assessment]) -> dict[str, str]:
    """The plan's tables as Markdown and LaTeX, by their places in the bundle."""
    from suite.tables import render
    from suite.tables.report import tables

    made = tables(plan, store, assessments=judged)
    kinds = {"md": render.markdown, "tex": render.latex}
    return {
        f"tables/{plan.spec.name}.{kind}": "\n".join(draw(table) for table in made)
        for kind, draw in kinds.items()
    }


def _index(
    plan: Plan, judged: Sequence[Assessment], spec: str, members: Mapping[str, bytes]
) -> dict[str, Any]:
    states = {one.run.eval_key: [one.state, one.reason] for one in judged}
    revision, dirty = provenance.revision()
    return {
        "format": 1,
        "name": plan.spec.name,
        "title": plan.spec.title,
        "spec": f"specs/{spec}/{plan.spec.name}.toml",
        "profile": plan.profile,
        "sets": dict(plan.sets),
        "seeds": list(dict.fromkeys(run.seed for run in plan.runs)) or None,
        "stand_ins": sorted(plan.stand_ins),
        "revision": revision,
        "dirty": dirty,
        "cells": [
            {
                "labels": dict(cell.labels),
                "method": cell.method,
                "dataset": cell.dataset,
                "settings": dict(cell.settings),
                "runs": {run.eval_key: run.seed for run in cell.runs},
                "artefacts": {need.key: need.kind for need in cell.goals},
            }
            for cell in plan.cells
        ],
        "states": states,
        "files": {name: _digest(members[name]) for name in sorted(members)},
    }


def _text(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Opened:
    """A bundle that is being looked at. ``faults``: a line for each thing that is not as the bundle says."""

    plan: Plan
    store: Store
    faults: tuple[str, ...]
    texts: Mapping[str, str]

    def outcomes(self) -> list[tuple[Run, Outcome]]:
        """The runs of the table that are done, the quickest first."""
        found = [(run, self.store.outcome(run.train_key, run.eval_key)) for run in self.plan.runs]
        done = [(run, outcome) for run, outcome in found if outcome is not None]
        return sorted(done, key=lambda pair: pair[1].seconds)


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Look through a bundle. DataMissing, DataFault or SpecErrors when it is none, or cannot be planned here."""
    with archive.opened(path) as source:
        if INDEX not in source.entries:
            raise DataFault(f"{path} is no bundle: it holds no {INDEX} (made by: suite bundle TABLE)")
        content = {name: bytes(read()) for name, read in source.read(source.entries)}
    try:
        index = dict(json.loads(content.pop(INDEX)))
        named, place = dict(index["files"]), str(index["spec"])
        options = {"profile": index["profile"], "sets": index["sets"], "stand_ins": index["stand_ins"]}
        seeds, states = tuple(index["seeds"] or ()) or None, dict(index["states"])
        cells = [dict(cell) for cell in index["cells"]]
    except (ValueError, TypeError, KeyError) as error:
        raise DataFault(f"{path}: {INDEX} is spoilt ({error})") from None
    faults = [f"{name}: {what}" for name, what in _differing(named, content)]
    with unpacked(path) as root:
        try:
            plan = expand(load_spec(root / place), seeds=seeds, **options)
        except SpecErrors as errors:
            raise SpecErrors(line.replace(f"{root}/", f"{path}: ") for line in errors.messages) from None
        store = Store(root)
        faults += _keys(plan, cells)
        faults += _unfit(root)
        texts = {
            name: text.decode(errors="replace")
            for name, text in content.items()
            if name.startswith("tables/")
        }
        judged = [_as_bundled(run, store, states) for run in plan.runs]
        for name, text in rendered(plan, store, judged).items():
            if texts.get(name) != text:
                faults.append(
                    f"{name}: comes out otherwise here (bundled at revision {index.get('revision')})"
                )
        yield Opened(plan, store, tuple(faults), texts)


def _as_bundled(run: Run, store: Store, states: Mapping[str, Any]) -> Assessment:
    """The state that a run had when its table was rendered."""
    state, reason = states.get(run.eval_key, ("to run", "new"))
    return Assessment(run, state, str(reason), outcome=store.outcome(run.train_key, run.eval_key))


def _differing(named: Mapping[str, str], content: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for name in sorted({*named, *content}):
        if name not in content:
            yield name, "is missing"
        elif name not in named:
            yield name, f"is not in {INDEX}"
        elif _digest(content[name]) != named[name]:
            yield name, f"is not what {INDEX} says (its digest differs)"


def _keys(plan: Plan, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether the spec still plans the runs that the bundle holds."""
    bundled = {key for cell in cells for key in (*cell.get("runs", ()), *cell.get("artefacts", ()))}
    planned = {run.eval_key for run in plan.runs} | {need.key for need in plan.goals}
    lost = len(bundled - planned)
    why = "a method has another version here, or the bundle was changed"
    return [f"{lost} of {len(bundled)} keys are not those that its spec gives: {why}"] if lost else []


def _unfit(root: Path) -> Iterator[str]:
    """A line for each result that is not what its key or its scores say."""
    for folder in carry.folders(root / "runs"):
        try:
            run = carry.fit_in(folder)
            for place in carry.folders(folder / "eval"):
                carry.outcome_in(place, run.train_key)
        except Unfit as error:
            yield str(error)


def compare(
    theirs: Outcome, ours: Outcome, stores: tuple[Store, Store], tolerance: float
) -> tuple[bool, str]:
    """Whether a run came out as the bundled one, and in words how: to the bit, or within ``tolerance`` of its AUROC
    where the machine or the source is another one. ``stores``: theirs and ours.
    """
    import numpy as np

    if theirs.data.get("digest") != ours.data.get("digest"):
        return False, "the data here are others: their digest differs"
    kept = [store.scores(ours.train_key, ours.eval_key) for store in stores]
    pair = f"AUROC {ours.metrics['auroc']:.6f} here, {theirs.metrics['auroc']:.6f} in the bundle"
    if all(np.array_equal(kept[0][name], kept[1][name]) for name in ("ids", "labels", "score")):
        return True, f"the same to the bit: every score, AUROC {ours.metrics['auroc']:.6f}"
    other = [name for name in MACHINE if theirs.environment.get(name) != ours.environment.get(name)]
    other += ["source"] * (theirs.source != ours.source)
    if not other:
        return False, f"{pair}: the scores differ, though machine, packages and source are the same"
    close = abs(ours.metrics["auroc"] - theirs.metrics["auroc"]) <= tolerance
    return close, f"{pair}: {'within' if close else 'beyond'} {tolerance:g}; not the same: {', '.join(other)}"
