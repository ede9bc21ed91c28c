"""The vocabulary of specs: every setting that some registered method or data set knows, and what may be
written for it.

It is the union of the fields of all registered methods' training models, of their scoring models
(``score.*``) and of the data settings (``data.*``), with the six names that say what a run is. A value is
legal when one of the models takes it; which model a run has is decided later. Faults are told in plain words,
with the legal choices.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import ValidationError

from suite import registry
from suite.data.identity import DataSettings
from suite.settings import Settings, fields_of, nest

SELECTIONS = ("last", "best_val", "best_test")
"""Which checkpoint is scored: the last, the best on the validation split, the best on the test split (an
oracle).
"""

SCORED = ("test", "val")
"""Which split is scored: the test images, or (to choose settings by) those of the validation split."""

IDENTITY = ("method", "dataset", "seed", "profile", "selection", "score_on")
"""Names that are no field of a settings model."""


class SpecErrors(Exception):  # noqa: N818 - a collection
    """Everything that is wrong with a spec, a profile or an option: one line each, ``file: key.path:
    message``.
    """

    def __init__(self, messages: Iterable[str]) -> None:
        self.messages: tuple[str, ...] = tuple(dict.fromkeys(messages))
        super().__init__("\n".join(self.messages))


@dataclass(frozen=True)
class Vocabulary:
    """``fields``: dotted name -> the models that have it, each with the field's name inside that model."""

    fields: Mapping[str, tuple[tuple[type[Settings], str], ...]]
    _checked: dict[tuple[str, str], tuple[Any, str | None]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def names(self) -> tuple[str, ...]:
        """Every legal name of a setting, sorted."""
        return tuple(sorted((*self.fields, *IDENTITY)))

    def unknown(self, name: str, also: tuple[str, ...] = ()) -> str | None:
        """What to say about a name that is not in the vocabulary (nor in ``also``); None when it is."""
        if name in self.fields or name in IDENTITY or name in also:
            return None
        inside = [known for known in self.names if known.startswith(f"{name}.")]
        if inside:
            return f"is a table of settings ({', '.join(inside)}), not a value"
        return f"unknown key{did_you_mean(name, (*self.names, *also))}"

    def check(self, name: str, value: Any) -> tuple[Any, str | None]:
        """The value as it is meant (``100.0`` as 100 for an integer) and what is wrong with it, None if
        nothing.
        """
        try:
            text = json.dumps(value, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError):
            kind = (
                "must be finite"
                if isinstance(value, float) and not math.isfinite(value)
                else "is no value here"
            )
            return value, f"{value} {kind}: give a finite number, text, true, false or a list of those"
        if (name, text) not in self._checked:
            self._checked[name, text] = self._check(name, value)
        return self._checked[name, text]

    def _check(self, name: str, value: Any) -> tuple[Any, str | None]:
        if name in IDENTITY:
            return value, _check_identity(name, value)
        errors: list[Mapping[str, Any]] = []
        for model, inside in self.fields[name]:
            path = tuple(inside.split("."))
            try:
                parsed: Any = model.parse(nest({inside: value}))
            except ValidationError as error:
                # Other fields of the model may be required; they are not what is asked here.
                mine = [one for one in error.errors() if one["loc"][: len(path)] == path]
                if mine:
                    errors.append(mine[0])
                    continue
                return value, None
            for part in path:
                parsed = getattr(parsed, part)
            return json.loads(json.dumps(parsed)), None
        return value, _merged(errors, value)


@cache
def vocabulary() -> Vocabulary:
    """The vocabulary of everything that is registered."""
    fields: dict[str, list[tuple[type[Settings], str]]] = {}

    def add(model: type[Settings], prefix: str = "") -> None:
        for name, _ in fields_of(model):
            entry = (model, name)
            if entry not in fields.setdefault(f"{prefix}{name}", []):
                fields[f"{prefix}{name}"].append(entry)

    add(DataSettings, "data.")
    for info in registry.declared().values():
        for model in info.models:
            add(model)
        add(info.scoring, "score.")
    return Vocabulary({name: tuple(models) for name, models in fields.items()})


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean "train.batch"?`` for a slip of the pen or a forgotten table, else the empty string."""
    names = list(known)
    close = [other for other in names if other.rpartition(".")[2] == name]
    close = close or difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {' or '.join(shown(other) for other in close)}?" if close else ""


def shown(value: Any) -> str:
    """A value as TOML would write it, cut to 60 characters."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def label_of(value: Any) -> str:
    """A value as a row or column is labelled with it: the range [30, 130] is ``30-130``, true is ``true``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "-".join(label_of(one) for one in value) if isinstance(value, (list, tuple)) else str(value)


def words(error: Mapping[str, Any]) -> str:
    """A pydantic error in plain words."""
    kind, limits = error["type"], error.get("ctx", {})
    given = shown(error["input"])
    if kind in _KINDS:
        return f"must be {_KINDS[kind]}, not {given}"
    for rule, (name, wording) in _LIMITS.items():
        if kind == rule:
            return f"must be {wording} {limits[name]:g}, not {given}"
    if kind in ("too_short", "too_long"):
        length = limits.get("min_length", limits.get("max_length"))
        return f"must be a list of {length} values, not {given}"
    if kind == "literal_error":
        return _not_one_of(re.findall(r"'([^']*)'", str(limits["expected"])), error["input"])
    if kind == "value_error":
        return str(limits["error"])
    return "missing" if kind == "missing" else str(error["msg"])


_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def _merged(errors: list[Mapping[str, Any]], value: Any) -> str:
    """One message for a value that no model takes; the choices of all of them together."""
    if all(error["type"] == "literal_error" for error in errors):
        found = [re.findall(r"'([^']*)'", str(error.get("ctx", {})["expected"])) for error in errors]
        return _not_one_of(list(dict.fromkeys(choice for choices in found for choice in choices)), value)
    incomplete = [error for error in errors if error["type"] == "missing"]
    if incomplete:
        length = 1 + max(int(error["loc"][-1]) for error in incomplete)
        return f"must be a list of {length} values, not {shown(value)}"
    return ", or ".join(dict.fromkeys(words(error) for error in errors))


def _not_one_of(choices: list[str], value: Any) -> str:
    hint = did_you_mean(value, choices) if isinstance(value, str) else ""
    return f"{shown(value)} is not one of {', '.join(shown(choice) for choice in choices)}{hint}"


def _check_identity(name: str, value: Any) -> str | None:
    if name in ("seed", "profile"):
        how = "seeds = [0, 1, 2]" if name == "seed" else 'profile = "cpu"'
        option = "--seeds" if name == "seed" else "--profile"
        return f"is not a setting of a cell: write {how} at the top of the spec, or use {option}"
    if not isinstance(value, str):
        return f"must be text, not {shown(value)}"
    if name == "selection":
        return None if value in SELECTIONS else _not_one_of(list(SELECTIONS), value)
    if name == "score_on":
        return None if value in SCORED else _not_one_of(list(SCORED), value)
    try:
        registry.method(value) if name == "method" else registry.dataset(value)
    except registry.UnknownNameError as error:
        return f"{error}{did_you_mean(value, error.known)}"
    except ValueError as error:
        return str(error)
    return None
