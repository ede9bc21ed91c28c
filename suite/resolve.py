"""From the levels of a spec to the settings that act in one cell.

Precedence: method default < profile < ``[settings]`` < case, grid < override < ``--set``. What a method has
no field for falls away here, so that it is in no key; what is left is validated by the method's own models.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from suite import registry
from suite.data import catalogue
from suite.data.identity import DataSettings, data_identity, lesions, unknown_class
from suite.goals import CellFaults, goals_of, presumed
from suite.job import SNAPSHOTS
from suite.registry import STAND_IN, MethodInfo
from suite.settings import Settings, canonical, flatten, nest, prune
from suite.vocabulary import IDENTITY, label_of, words

if TYPE_CHECKING:
    from suite.spec import Exclusion, Profile, Spec

Flat = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """Where a cell stands: the value of each axis (for ``case`` its label), and its flat settings by all
    levels.
    """

    values: Mapping[str, Any]
    flat: Mapping[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        return {axis: label_of(value) for axis, value in self.values.items()}

    def __str__(self) -> str:
        return ", ".join(f"{axis} {label}" for axis, label in self.labels.items())


@dataclass(frozen=True)
class Acting:
    """What acts in a cell: validated settings, the data's identity and the parts of the keys that all seeds
    share.
    """

    method: MethodInfo
    named: str
    """The data set's name as the spec gives it; the one in the keys stands in ``data``."""
    training: Settings
    data: Mapping[str, Any]
    settings: Mapping[str, Any]
    train: Mapping[str, Any]
    evaluation: Mapping[str, Any]


def points(
    spec: Spec, profile: Profile | None = None, sets: Mapping[str, Any] | None = None
) -> Iterator[Point]:
    """Every cell of a spec, cases outermost, then the grid in its order, without what it excludes. ``sets`` on
    an axis leaves it that one value.
    """
    for point in _combinations(spec, profile, sets or {}):
        if not any(_excludes(one, point) for one in spec.exclusions):
            yield point


def _excludes(exclusion: Exclusion, point: Point) -> bool:
    return _matches(exclusion.where, point.values, point.values, None)


def idle_exclusions(spec: Spec) -> list[str]:
    """``key: message`` for each exclusion that excludes nothing, and one if nothing is left."""
    if not spec.exclusions:
        return []
    every = list(_combinations(spec, None, {}))
    gone = [
        {number for number, point in enumerate(every) if _excludes(one, point)} for one in spec.exclusions
    ]
    lines = [
        f"exclude[{number}].where: matches no cell of this spec"
        for number, found in enumerate(gone, start=1)
        if not found
    ]
    return [*lines, *["exclude: leaves no cell"] * (len(set.union(*gone)) == len(every))]


def _combinations(spec: Spec, profile: Profile | None, sets: Mapping[str, Any]) -> Iterator[Point]:
    """Every combination of a case and the grid's values."""
    grid = {axis: (sets[axis],) if axis in sets else values for axis, values in spec.grid.items()}
    first: Flat = {"selection": spec.table.selection, "score_on": "test", **presumed(spec)}
    name = profile.name if profile else None
    for case in spec.cases or (None,):
        for values in itertools.product(*grid.values()):
            place = dict(zip(grid, values, strict=True))
            above = {**spec.settings, **(case.set if case else {}), **place, **sets}
            axes = {"case": case.label, **place} if case else place
            flat = {**first, **(profile.settings if profile else {})}
            for override in profile.overrides if profile else ():
                if _matches(override.where, {**flat, **above}, axes, name):
                    flat.update(override.set)
            flat.update(above)
            for override in spec.overrides:
                if _matches(override.where, flat, axes, name):
                    flat.update({key: value for key, value in override.set.items() if key not in sets})
            yield Point(axes, flat)


def _matches(
    where: Mapping[str, Any], flat: Mapping[str, Any], axes: Mapping[str, Any], profile: str | None
) -> bool:
    for name, wanted in where.items():
        if name == "case":
            actual = axes.get("case")
        elif name == "profile":
            actual = profile
        else:
            actual = flat[name] if name in flat else _default(flat, name)
        if actual != wanted and not (isinstance(wanted, list) and actual in wanted):
            return False
    return True


def _default(flat: Mapping[str, Any], name: str) -> Any:
    """The value at which a setting stands that no level gives, so that a ``where`` may name it."""
    method = registry.known_method(str(flat.get("method")))
    if name.startswith("data."):
        return _defaults(DataSettings).get(name.removeprefix("data."))
    if method is None:
        return None
    if name.startswith("score."):
        return _defaults(method.scoring).get(name.removeprefix("score."))
    return _defaults(method.training(_nested(flat))).get(name)


@cache
def _defaults(model: type[Settings]) -> Flat:
    found: Flat = {}
    for name, field in model.model_fields.items():
        value = None if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(value, Settings):
            found.update(
                {f"{name}.{inner}": one for inner, one in flatten(value.model_dump(mode="json")).items()}
            )
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _nested(flat: Mapping[str, Any]) -> Flat:
    return nest({name: value for name, value in flat.items() if name not in IDENTITY})


class Resolver:
    """Validates cells, each distinct one once."""

    def __init__(self) -> None:
        self._known: dict[str, Acting | CellFaults] = {}

    def __call__(self, flat: Mapping[str, Any]) -> Acting:
        """What acts under these settings; raises :class:`CellFaults`."""
        text = json.dumps(flat, sort_keys=True)
        if text not in self._known:
            try:
                self._known[text] = _acting(flat)
            except CellFaults as faults:
                self._known[text] = faults
        found = self._known[text]
        if isinstance(found, CellFaults):
            raise found
        return found


def _acting(flat: Mapping[str, Any]) -> Acting:
    missing = [
        (name, "is not given; set it in [settings], a case or [grid]")
        for name in ("method", "dataset")
        if name not in flat
    ]
    if missing:
        raise CellFaults(missing)
    method, dataset = registry.method(flat["method"]), registry.dataset(flat["dataset"])
    nested = _nested(flat)
    faults: list[tuple[str, str]] = []
    scored = flat.get("score_on", "test")
    held_out = scored == "val"
    if held_out and flat["selection"] != "last":
        faults.append(
            ("selection", 'must be "last" with score_on = "val": the best of those very images is no measure')
        )
    training = _parse(method.training(nested), nested, "", faults)
    scoring = _parse(method.scoring, nested.get("score", {}), "score.", faults)
    chosen = _parse(DataSettings, nested.get("data", {}), "data.", faults)
    if faults or training is None or scoring is None or not isinstance(chosen, DataSettings):
        raise CellFaults(faults)
    try:
        data = data_identity(dataset, chosen, cut_validation=held_out or flat["selection"] == "best_val")
    except ValueError as error:
        raise CellFaults([("data.size", str(error))]) from None
    if fault := unknown_class(dataset, data):
        raise CellFaults([("data.normal_class", fault)])
    described = chosen.model_dump(mode="json") | {"size": data["size"], "normal_class": data["normal_class"]}
    settings = {
        **flatten(training.model_dump(mode="json")),
        **{f"score.{name}": value for name, value in flatten(scoring.model_dump(mode="json")).items()},
        **{f"data.{name}": value for name, value in described.items()},
        "selection": flat["selection"],
        "score_on": scored,
    }
    train = {"method": method.name, "version": method.version, "data": data, "settings": canonical(training)}
    evaluation = {"split": scored, "score": canonical(scoring), "selection": flat["selection"]}
    if asked := lesions(dataset, chosen):
        if chosen.contamination:
            raise CellFaults(
                [("data.contamination", "its anomalies would be those of other lesions: leave one out")]
            )
        evaluation["lesions"] = asked
    if flat["selection"] != "last":
        evaluation["candidates"] = SNAPSHOTS
    return Acting(method, flat["dataset"], training, data, settings, train, evaluation)


def _parse(
    model: type[Settings], nested: Mapping[str, Any], prefix: str, faults: list[tuple[str, str]]
) -> Settings | None:
    try:
        return model.parse(prune(model, nested))
    except ValidationError as error:
        for one in error.errors():
            name = ".".join(part for part in one["loc"] if isinstance(part, str))
            faults.append((f"{prefix}{name}", words(one)))
        return None


def _standing_in(point: Point, names: Collection[str]) -> Point:
    """The point on the stand-in of its data set, if that is one of ``names``. Its place stays what it is, and
    overrides for the set hold for its stand-in.
    """
    name = point.flat.get("dataset")
    return Point(point.values, {**point.flat, "dataset": f"{STAND_IN}{name}"}) if name in names else point


def resolve(
    spec: Spec,
    profile: Profile | None = None,
    sets: Mapping[str, Any] | None = None,
    stand_ins: Collection[str] = (),
) -> tuple[list[tuple[Point, Acting]], list[str]]:
    """Every cell with what acts in it, and ``key: message`` for settings that are legal by themselves but not in the
    cell where they meet, each told once. Equal cells are validated once. ``stand_ins``: data sets that phantoms
    stand in for."""
    resolver = Resolver()
    found: list[tuple[Point, Acting]] = []
    faulty: dict[tuple[str, str], list[Point]] = {}
    datasets: dict[str, None] = {}
    total = 0
    for point in (_standing_in(one, stand_ins) for one in points(spec, profile, sets)):
        total += 1
        datasets[str(point.flat.get("dataset", ""))] = None
        try:
            acting = resolver(point.flat)
            goals_of(spec, acting)
            found.append((point, acting))
        except CellFaults as error:
            for fault in error.faults:
                faulty.setdefault(fault, []).append(point)
    shared = catalogue.clash(datasets)
    lines = [f"dataset: {shared}"] if shared else []
    for (key, message), places in faulty.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        lines.append(
            f"{key}: {message}" if len(places) == total else f"{key}: {message} (in {places[0]}{more})"
        )
    return found, lines
