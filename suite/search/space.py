"""What a search varies: the ``[search]`` section of a spec, read and checked, and how a trial draws from it.

A numeric setting has ``low`` and ``high`` (and ``step`` or ``log``), any other a list of values. A range of steps
such as ``dissolve.steps`` is drawn as its lower end and its width, so that it never stands upside down.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from suite.settings import Int
from suite.vocabulary import label_of

if TYPE_CHECKING:
    import optuna

    from suite.spec_check import Checker

Number = Annotated[int | float, Field(allow_inf_nan=False)]


class Section(BaseModel):
    """The ``[search]`` section. ``validation``: where the images come from that trials are scored on, the set's
    ``own`` validation split or one that is ``cut`` from its training split; no default, since it decides what may
    still be claimed. ``startup``: trials drawn at random before the sampler learns from them. ``prune``: give a
    trial up after a seed when its mean so far is below the median of the others. ``fresh``: the seeds with which
    the winner is run again on the test images (none given: as many as ``seeds``, the next ones).
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    validation: Literal["own", "cut"]
    trials: Annotated[Int, Field(ge=1)] = 50
    startup: Annotated[Int, Field(ge=1)] = 8
    prune: bool = True
    fresh: Annotated[tuple[Int, ...], Field(strict=False)] = ()
    space: dict[str, Any]


class Span(BaseModel):
    """A number from ``low`` to ``high``: whole where both and the step are, on a logarithmic scale with ``log``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    low: Number
    high: Number
    step: Number | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether it draws whole numbers."""
        return all(
            isinstance(one, int) for one in (self.low, self.high, 1 if self.step is None else self.step)
        )

    def draw(self, trial: optuna.Trial, name: str) -> int | float:
        """The trial's value."""
        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return trial.suggest_int(name, int(self.low), int(self.high), step=step, log=self.log)
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)


class Range(BaseModel):
    """Two whole numbers, the second above the first: ``t_low`` and the ``width`` between them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    t_low: Span
    width: Span

    def draw(self, trial: optuna.Trial, name: str) -> list[int | float]:
        """The trial's value."""
        low = self.t_low.draw(trial, f"{name}.t_low")
        return [low, low + self.width.draw(trial, f"{name}.width")]


@dataclass(frozen=True)
class Choice:
    """One of some values, of any kind that a setting may have."""

    values: tuple[Any, ...]

    def draw(self, trial: optuna.Trial, name: str) -> Any:
        """The trial's value."""
        # Optuna takes no lists as choices, so they are put as text.
        return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in self.values]))


Dimension = Span | Range | Choice


@dataclass(frozen=True)
class Search:
    """A checked search: the section, and its space by the dotted names of settings."""

    section: Section
    space: Mapping[str, Dimension]

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """The settings of a trial, flat."""
        return {name: dimension.draw(trial, name) for name, dimension in self.space.items()}


def label(settings: Mapping[str, Any]) -> str:
    """A trial's settings as people read them: ``dissolve.steps 40-140, train.lr 0.001``."""
    return ", ".join(f"{name} {label_of(value)}" for name, value in settings.items())


def read(checker: Checker, raw: Mapping[str, Any]) -> Search | None:
    """The search that a spec describes; None when it describes none, or a wrong one, whose faults are noted."""
    if "search" not in raw:
        return None
    for other in ("case", "grid", "figure", "exclude"):
        if other in raw:
            checker.fault(other, "a search has none: what varies stands in [search.space]")
    section = checker.frame(Section, raw["search"], "search")
    if section is None:
        return None
    space: dict[str, Dimension] = {}
    for name, value in _dimensions(section.space):
        if (dimension := _dimension(checker, name, value)) is not None:
            space[name] = dimension
    if not space:
        checker.fault(
            "search.space", "has nothing to vary; give a setting, such as lr = { low = 1e-4, high = 1e-2 }"
        )
    return Search(section, space)


def _dimensions(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of settings and what is said of them; nested tables are names in parts."""
    for name, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high", "t_low", "width"} & value.keys():
            yield from _dimensions(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _dimension(checker: Checker, name: str, value: Any) -> Dimension | None:
    key, before = f"search.space.{name}", len(checker.lines)
    if isinstance(value, list):
        if len(value) < 2:
            checker.fault(key, "needs at least two values to choose from")
        return Choice(tuple(checker.value(key, name, one) for one in value))
    if not isinstance(value, Mapping):
        checker.fault(key, "must be a list of values, or a table with low and high (or t_low and width)")
        return None
    if "t_low" in value or "width" in value:
        steps = checker.frame(Range, value, key)
        if steps is None:
            return None
        _ordered(checker, f"{key}.t_low", steps.t_low)
        _ordered(checker, f"{key}.width", steps.width)
        lows, highs = (steps.t_low.low, steps.width.low), (steps.t_low.high, steps.width.high)
        found: Dimension = steps
        ends: list[Any] = [[low, low + width] for low, width in (lows, highs)]
    else:
        span = checker.frame(Span, value, key)
        if span is None:
            return None
        _ordered(checker, key, span)
        found, ends = span, [span.low, span.high]
    for end in ends if len(checker.lines) == before else ():
        checker.value(key, name, end)
    return found


def _ordered(checker: Checker, key: str, span: Span) -> None:
    if span.low >= span.high:
        checker.fault(key, f"low ({span.low:g}) must be below high ({span.high:g})")
    if span.log and (span.low <= 0 or span.step is not None):
        checker.fault(key, "a logarithmic scale needs low above 0 and no step")
