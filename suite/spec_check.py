"""The checks behind :mod:`suite.spec`.

Each part of a raw TOML table is looked at by itself, so that one fault does not hide another. A checker
collects lines ``file: key.path: message``. Parts with a wrong shape are told by the pydantic frames and are
skipped here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from suite.vocabulary import did_you_mean, shown, vocabulary, words

Model = TypeVar("Model", bound=BaseModel)
Flat = dict[str, Any]


@dataclass
class Checker:
    """Collects what is wrong with one file (or one option of the command line)."""

    file: str
    lines: list[str] = field(default_factory=list)

    def fault(self, key: str, message: str) -> None:
        self.lines.append(f"{self.file}: {key}: {message}")

    def frame(self, model: type[Model], raw: Any, at: str = "") -> Model | None:
        """The shape of the file, or of its part ``at``; None when it is wrong."""
        try:
            return model.model_validate(raw)
        except ValidationError as error:
            for one in error.errors():
                key = ".".join(filter(None, (at, key_path(one["loc"], raw))))
                self.fault(key, self._frame_words(model, one, raw, at))
        return None

    def _frame_words(self, model: type[BaseModel], error: Any, raw: Any, at: str) -> str:
        loc = error["loc"]
        if error["type"] == "extra_forbidden":
            name = str(loc[-1])
            if len(loc) == 1 and not at and vocabulary().unknown(name) is None:
                return "unknown key here; settings stand in [settings], a case, [grid] or an override"
            return f"unknown key{did_you_mean(name, _fields_at(model, loc[:-1]))}"
        if error["type"] == "missing" and loc[-1] == "label":
            return f"missing; every [[case]] needs a label (this is number {loc[1] + 1})"
        if error["type"] in ("string_too_short", "too_short"):
            return "is empty"
        return words(error)

    def flat(self, key: str, table: Mapping[str, Any], prefix: str = "") -> Flat:
        """Dotted names to values; a setting given both dotted and nested is a fault."""
        found: Flat = {}
        for name, value in table.items():
            inner = (
                self.flat(key, value, f"{prefix}{name}.")
                if isinstance(value, Mapping)
                else {f"{prefix}{name}": value}
            )
            for twice in found.keys() & inner.keys():
                self.fault(f"{key}.{twice}", "is given twice, dotted and nested")
            found.update(inner)
        return found

    def settings(self, key: str, table: Any) -> Flat:
        """A table of settings, flat, each value as it is meant."""
        if not isinstance(table, Mapping):
            return {}
        prefix = f"{key}." if key else ""
        return {
            name: self.value(f"{prefix}{name}", name, value) for name, value in self.flat(key, table).items()
        }

    def value(self, key: str, name: str, value: Any) -> Any:
        """One setting's value; unknown names and illegal values are faults."""
        message = vocabulary().unknown(name)
        if message is None:
            value, message = vocabulary().check(name, value)
        if message is not None:
            self.fault(key, message)
        return value

    def grid(self, table: Any) -> dict[str, tuple[Any, ...]]:
        """Axes and their values. An axis needs at least one value, and none twice."""
        axes: dict[str, tuple[Any, ...]] = {}
        if not isinstance(table, Mapping):
            return axes
        if not table:
            self.fault(
                "grid", 'is empty; give an axis such as dataset = ["pneumonia_mnist"], or leave [grid] out'
            )
        for name, values in self.flat("grid", table).items():
            axes[name] = ()
            key = f"grid.{name}"
            message = vocabulary().unknown(name)
            if message is not None:
                self.fault(key, message)
            elif not isinstance(values, list):
                self.fault(key, f"must be a list of values, such as [{shown(values)}]")
            elif not values:
                self.fault(key, "has no values; give at least one, or leave the axis out")
            else:
                axes[name] = tuple(self.value(key, name, value) for value in values)
                self.repeated(key, axes[name])
        return axes

    def repeated(self, key: str, values: Iterable[Any]) -> None:
        """Values that stand more than once in a list are a fault, told once each."""
        seen: list[Any] = []
        told: list[Any] = []
        for value in values:
            if value in seen and value not in told:
                self.fault(key, f"{shown(value)} is given more than once")
                told.append(value)
            seen.append(value)

    def overrides(self, raw: Any, labels: tuple[str, ...] = ()) -> list[tuple[Flat, Flat]]:
        """The (where, set) of each override, flat. ``labels``: the cases that a ``where`` may name."""
        found: list[tuple[Flat, Flat]] = []
        for number, one in enumerate(raw if isinstance(raw, list) else (), start=1):
            if isinstance(one, Mapping):
                key = f"override[{number}]"
                found.append(
                    (
                        self._where(f"{key}.where", one.get("where"), labels),
                        self.settings(f"{key}.set", one.get("set")),
                    )
                )
        return found

    def exclusions(self, raw: Any, labels: tuple[str, ...], grid: Collection[str]) -> list[Flat]:
        """The flat conditions of each exclusion: on axes alone, so that every profile has the same cells."""
        axes = (*["case"] * bool(labels), *grid)
        found: list[Flat] = []
        for number, one in enumerate(raw if isinstance(raw, list) else (), start=1):
            key = f"exclude[{number}].where"
            where = self._where(key, one.get("where") if isinstance(one, Mapping) else None, labels)
            for name in where.keys() - set(axes):
                self.fault(f"{key}.{name}", f"is no axis of this spec; there are {', '.join(axes)}")
            found.append(where)
        return found

    def _where(self, key: str, table: Any, labels: tuple[str, ...]) -> Flat:
        if not isinstance(table, Mapping):
            return {}
        where: Flat = {}
        for name, value in self.flat(key, table).items():
            message = vocabulary().unknown(name, also=("case",))
            if message is not None:
                self.fault(f"{key}.{name}", message)
            elif name == "case":
                for label in value if isinstance(value, list) else [value]:
                    if label not in labels:
                        self.fault(
                            f"{key}.case", f"{shown(label)} is no case{did_you_mean(str(label), labels)}"
                        )
                where[name] = value
            elif name == "profile":
                where[name] = value
            else:
                where[name] = self._condition(f"{key}.{name}", name, value)
        return where

    def _condition(self, key: str, name: str, value: Any) -> Any:
        """A value, or a list of values; a setting that is a list itself (a step range) may stand as it is."""
        plain, message = vocabulary().check(name, value)
        if message is None:
            return plain
        if not isinstance(value, list):
            self.fault(key, message)
            return value
        if not value:
            self.fault(key, "is an empty list, which no cell can match")
        return [self.value(key, name, one) for one in value]


def key_path(loc: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    """A pydantic location as the user would point at it: ``case "CSI".set``; list items count from 1."""
    text = ""
    here: Any = raw
    for part in loc:
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            label = here.get("label") if text == "case" and isinstance(here, Mapping) else None
            text += f' "{label}"' if isinstance(label, str) and label else f"[{part + 1}]"
        else:
            here = here.get(part) if isinstance(here, Mapping) else None
            text += f".{part}" if text else part
    return text


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> tuple[str, ...]:
    """The legal keys of the section at a location."""
    here = model
    for part in loc:
        if isinstance(part, str):
            annotation = here.model_fields[part].annotation
            inner = next(
                (one for one in (annotation, *getattr(annotation, "__args__", ())) if _is_model(one)), None
            )
            if inner is None:
                return ()
            here = inner
    return tuple(here.model_fields)


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)
