"""Spec to plan, without side effects: cells, keys, de-duplication, and what stands in the way of each run.

``expand`` is pure; ``assess`` compares a plan with a store and says for each run what state it is in and why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from suite.assess import Assessment, assess
from suite.goals import goals_of
from suite.options import check_only, check_seeds, check_sets
from suite.registry import STAND_IN, Need, in_order, keys_by_name
from suite.resolve import Acting, Point, resolve
from suite.settings import keys_along
from suite.spec import Profile, Spec, load_profile, resolve_profile
from suite.vocabulary import SpecErrors, label_of

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """A cell and a seed. ``train`` and ``evaluation`` are the payloads of the keys (64 hex digits each).

    ``dataset`` is the name as a spec gives it, by which :func:`suite.registry.dataset` finds it again; for
    ``folder:PATH`` the name in the keys is a shorter one.
    """

    method: str
    dataset: str
    seed: int
    settings: Mapping[str, Any]
    """All resolved settings, flat and dotted (training, scoring, data), as they act."""
    train: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    train_key: str
    eval_key: str
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Cell:
    """One value of a table: where it stands (axis -> label) and its runs, one a seed, in the spec's order.

    A cell of a figure or a cost table has no runs but ``goals``: the artefacts that it shows.
    """

    labels: Mapping[str, str]
    values: Mapping[str, Any]
    method: str
    dataset: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
    goals: tuple[Need, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The cells of a spec under one profile, in the spec's order. Runs that several cells share are the same
    run.
    """

    spec: Spec
    profile: str
    cells: tuple[Cell, ...]
    sets: Mapping[str, Any] = field(default_factory=dict)
    """Settings that were put above the spec's own (``--set``), flat."""
    stand_ins: frozenset[str] = frozenset()
    """Data sets of the spec that phantoms stand in for (``--stand-in``)."""

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every outcome that the table needs, once."""
        return _unique((run.eval_key, run) for cell in self.cells for run in cell.runs)

    @cached_property
    def fits(self) -> tuple[Run, ...]:
        """One run for each training."""
        return _unique((run.train_key, run) for run in self.runs)

    @cached_property
    def goals(self) -> tuple[Need, ...]:
        """Every artefact that is shown itself, once."""
        return _unique((need.place, need) for cell in self.cells for need in cell.goals)

    @cached_property
    def artefacts(self) -> tuple[Need, ...]:
        """Every artefact that some run uses or some cell shows, once, what is needed first before the rest."""
        return in_order([*(need for run in self.fits for need in run.needs), *self.goals])


def expand(
    spec: Spec,
    *,
    profile: str | Profile | None = None,
    sets: Mapping[str, Any] | None = None,
    only: Mapping[str, Collection[str]] | None = None,
    seeds: tuple[int, ...] | None = None,
    stand_ins: Collection[str] = (),
) -> Plan:
    """All cells and runs of a spec. Raises :class:`suite.spec.SpecErrors`; touches nothing but the profile's
    file.

    ``profile``: the spec's own by default, else ``paper``. ``sets``: settings above all others, dotted or
    nested; on an axis of the grid it leaves that one value. ``only``: keep the cells whose axis, setting,
    method, data set or seed has one of these texts. ``seeds``: instead of the spec's.
    ``stand_ins``: data sets to be replaced by their stand-ins.
    """
    if not isinstance(profile, Profile):
        profile = load_profile(resolve_profile(profile or spec.profile), spec.path.parent)
    flat = check_sets(sets or {})
    wanted = check_only(only or {})
    used = spec.seeds if seeds is None else check_seeds(seeds)
    cells, faults = resolve(spec, profile, flat, stand_ins)
    if faults:
        raise SpecErrors(f"{spec.path}: {fault}" for fault in faults)
    if "seed" in wanted:
        used = tuple(seed for seed in used if str(seed) in wanted["seed"])
    kept = [
        _cell(spec, point, acting, used)
        for point, acting in cells
        if used and _is_wanted(point, acting, wanted)
    ]
    replaced = {cell.dataset.removeprefix(STAND_IN) for cell in kept}.intersection(stand_ins)
    return Plan(spec, profile.name, tuple(kept), flat, frozenset(replaced))


def _cell(spec: Spec, point: Point, acting: Acting, seeds: tuple[int, ...]) -> Cell:
    goals = tuple(need.made_from(acting.named, acting.data) for need in goals_of(spec, acting))
    runs = () if goals else _runs(acting, seeds)
    return Cell(point.labels, point.values, acting.method.name, acting.named, acting.settings, runs, goals)


def _runs(acting: Acting, seeds: tuple[int, ...]) -> tuple[Run, ...]:
    """A cell's runs. Artefacts that all its seeds use are the same objects, and what the keys share is written once."""
    eval_key = keys_along(acting.evaluation, "train")
    wanted: tuple[Need, ...] | None = None
    runs = []
    for seed in seeds:
        asked = acting.method.needs(acting.training, acting.data, seed)
        if asked != wanted:
            wanted = asked
            needs = tuple(need.made_from(acting.named, acting.data) for need in wanted)
            artefacts = keys_by_name(needs)
            train_key = keys_along({**acting.train, "artefacts": artefacts}, "seed")
        fit = train_key(seed)
        runs.append(
            Run(
                method=acting.method.name,
                dataset=acting.named,
                seed=seed,
                settings=acting.settings,
                train={**acting.train, "seed": seed, "artefacts": artefacts},
                evaluation={**acting.evaluation, "train": fit},
                train_key=fit,
                eval_key=eval_key(fit),
                needs=needs,
            )
        )
    return tuple(runs)


def _is_wanted(point: Point, acting: Acting, only: Mapping[str, Collection[str]]) -> bool:
    for name, texts in only.items():
        if name == "seed":
            continue
        identity = {"method": acting.method.name, "dataset": acting.named}
        actual = point.values.get(name, identity.get(name, acting.settings.get(name)))
        if not {label_of(actual), label_of(actual).removeprefix(STAND_IN)}.intersection(texts):
            return False
    return True


def _unique(pairs: Iterable[tuple[Any, T]]) -> tuple[T, ...]:
    found: dict[Any, T] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return tuple(found.values())


__all__ = ["Assessment", "Cell", "Plan", "Run", "assess", "expand"]
