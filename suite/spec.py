"""A spec: one TOML file that says which cells a table has, read and checked at once.

A spec names cases (labelled sets of settings), a grid (axes and their values), overrides, and which
combinations to exclude; profiles are overlays of settings. Reading one either gives a :class:`Spec` or raises
:class:`SpecErrors` with every fault in it, each with the file and the key. Settings may be written dotted
(``"train.batch" = 48``) or nested (``train = { batch = 48 }``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from suite import resources
from suite.devices import CPU, devices
from suite.resolve import idle_exclusions, resolve
from suite.search import space
from suite.search.space import Search
from suite.settings import Int
from suite.spec_axes import check_axes, check_cases, check_groups, check_levels, check_published
from suite.spec_check import Checker
from suite.spec_shown import check_costs, check_figure, check_search
from suite.vocabulary import SpecErrors, did_you_mean

PAPER = "paper"
"""The profile that changes nothing: the paper's settings are the defaults."""

AUTO = "auto"
"""Stands for ``paper`` on a machine with a GPU and ``cpu`` otherwise."""


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


StepIndex = Annotated[Int, Field(ge=0, lt=1000)]
Kernel = Annotated[Int, Field(ge=3)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
Metric = Literal["auroc", "aupr", "fpr95", "parameters", "macs", "peak_memory_mb"]
Extra = Literal[Metric, "fit_seconds", "score_seconds", "cpu_seconds", "diffusion_loss", "variance_kept"]


class Frame(BaseModel):
    """Base of the sections of a spec file: unknown keys are forbidden, types are strict."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Case(Frame):
    """A labelled row or column that is a set of settings."""

    label: Annotated[str, Field(min_length=1)]
    set: dict[str, Any] = {}


class Override(Frame):
    """Settings for the cells in which every name of ``where`` has the given value, or one of a list of
    values.
    """

    where: dict[str, Any]
    set: dict[str, Any]


class Exclusion(Frame):
    """Combinations that the cases and the grid have and the table has not, by the values of their axes."""

    where: dict[str, Any]


class Tolerance(Frame):
    """When a mean counts as the published one: within ``absolute`` (on the metric's scale of 0 to 1), or within
    ``spreads`` published standard deviations where that is more. It stands in the spec, so before any result.
    """

    absolute: Annotated[float, Field(ge=0, le=1)] = 0.03
    spreads: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 2.0


class Table(Frame):
    """How the cells are shown.

    ``rows`` and ``columns`` are axes, outermost first: ``case`` and the grid's. ``published``: the id of a
    table in ``reports/published.toml``, or several, of which the first that has a cell's value is compared with.
    ``groups``: title -> labels that stand together under it. ``average``: axes over which an average is added.
    ``extra``: further columns taken from the outcomes (a metric, a cost or a label-free sign of the diffusion
    model, by its name; see :class:`suite.outcome.Outcome`). ``compare``: the case that the others are compared
    with on the same images. ``tolerance``: which difference from the published value counts as reproduced.
    """

    rows: Names = ()
    columns: Names = ()
    published: Annotated[Names, BeforeValidator(_several)] = ()
    groups: dict[str, Names] = {}
    average: Names = ()
    extra: Annotated[tuple[Extra, ...], Field(strict=False)] = ()
    compare: str | None = None
    metric: Metric = "auroc"
    selection: Literal["last", "best_val", "best_test"] = "last"
    tolerance: Tolerance = Tolerance()
    footnotes: Names = ()


class Figure(Frame):
    """A figure, drawn from artefacts instead of runs; ``curves`` from runs, whose table stands beneath.

    ``dissolving``: example images along the dissolving ``steps``, a row for each cell, with the variance
    between dissolved images. ``kernels``: the same along blur ``kernels``. ``images``: examples a row, in turn
    normal and anomalous. ``masks``: the target similarity matrix of each cell for ``shifts`` shifts of
    ``batch`` images. ``curves``: the table's metric over the axis ``along``, a line for each case, a panel for
    each value of the axis ``panels``. ``pages``: an axis of which each value gets a figure of its own.
    """

    kind: Literal["dissolving", "kernels", "masks", "curves"]
    steps: Annotated[tuple[StepIndex, ...], Field(strict=False)] = (50, 200, 400, 700, 950)
    kernels: Annotated[tuple[Kernel, ...], Field(strict=False)] = (3, 7, 11)
    images: Annotated[Int, Field(ge=1, le=8)] = 1
    shifts: Annotated[Int, Field(ge=1, le=4)] = 2
    batch: Annotated[Int, Field(ge=1, le=8)] = 2
    along: str | None = None
    panels: str | None = None
    pages: str | None = None


class _Overlay(Frame):
    title: str = ""
    description: str = ""
    settings: dict[str, Any] = {}
    override: list[Override] = []


class _File(_Overlay):
    seeds: Annotated[list[Annotated[Int, Field(ge=0)]], Field(min_length=1)] = [0, 1, 2]
    profile: str | None = None
    case: list[Case] = []
    grid: dict[str, Any] = {}
    exclude: list[Exclusion] = []
    table: Table = Table()
    figure: Figure | None = None
    search: Any = None


@dataclass(frozen=True)
class Profile:
    """An overlay of compute settings, below everything that a spec says itself. Settings are flat."""

    name: str
    settings: Mapping[str, Any]
    overrides: tuple[Override, ...] = ()
    title: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class Spec:
    """A checked spec. All settings are flat and dotted; ``grid`` maps each axis to its values, in the file's
    order.
    """

    path: Path
    name: str
    title: str
    description: str
    seeds: tuple[int, ...]
    profile: str | None
    settings: Mapping[str, Any]
    cases: tuple[Case, ...]
    grid: Mapping[str, tuple[Any, ...]]
    overrides: tuple[Override, ...]
    table: Table
    figure: Figure | None = None
    exclusions: tuple[Exclusion, ...] = ()
    search: Search | None = None
    """What is searched for; the spec's one cell is then the reference that trials are held against."""


def load_spec(path: str | Path) -> Spec:
    """Read and check a spec: a path, or the name of a shipped one. Raises :class:`SpecErrors` with every
    fault.
    """
    found = resources.find_spec(path)
    raw = _read(found, f"shipped specs: {', '.join(resources.names('specs'))}")
    checker = Checker(str(found))
    file = checker.frame(_File, raw)
    settings = checker.settings("settings", raw.get("settings"))
    search = space.read(checker, raw)
    if search is not None:
        check_search(checker, search, settings, raw)
    cases = check_cases(checker, raw.get("case"))
    grid = checker.grid(raw.get("grid"))
    if not cases and not grid:
        cases = [(str(settings.get("method", found.stem)), {})]
    labels = tuple(label for label, _ in cases)
    overrides = checker.overrides(raw.get("override"), labels)
    exclusions = checker.exclusions(raw.get("exclude"), labels, grid)
    rows, columns = check_axes(checker, raw.get("table"), labels, grid)
    check_groups(checker, raw.get("table"), labels, grid)
    check_published(checker, raw.get("table"))
    check_costs(checker, raw.get("table"))
    check_figure(checker, raw.get("figure"), labels, grid)
    check_levels(checker, cases, grid)
    if isinstance(raw.get("seeds"), list):
        checker.repeated("seeds", raw["seeds"])
    if isinstance(raw.get("profile"), str):
        _check_profile(checker, raw["profile"], found)
    if file is None or checker.lines:
        raise SpecErrors(checker.lines)
    spec = Spec(
        path=found,
        name=found.stem,
        title=file.title or found.stem,
        description=file.description,
        seeds=tuple(file.seeds),
        profile=file.profile,
        settings=settings,
        cases=tuple(Case(label=label, set=values) for label, values in cases),
        grid=grid,
        overrides=tuple(Override(where=where, set=values) for where, values in overrides),
        table=file.table.model_copy(update={"rows": rows, "columns": columns}),
        figure=file.figure,
        exclusions=tuple(Exclusion(where=where) for where in exclusions),
        search=search,
    )
    if faults := [*idle_exclusions(spec), *resolve(spec)[1]]:
        raise SpecErrors(f"{found}: {fault}" for fault in faults)
    return spec


def load_profile(name: str, beside: Path | None = None) -> Profile:
    """A profile by name, or by the path of a file. Raises :class:`SpecErrors`.

    ``profiles/NAME.toml`` in the folder ``beside`` (the spec's) goes before the shipped ones.
    """
    path = _profile_path(name, beside)
    if path is None:
        raise SpecErrors([f"profile {name}: {_no_profile(name, beside)}"])
    raw = _read(path)
    checker = Checker(str(path))
    file = checker.frame(_Overlay, raw)
    settings = checker.settings("settings", raw.get("settings"))
    overrides = checker.overrides(raw.get("override"))
    if file is None or checker.lines:
        raise SpecErrors(checker.lines)
    sets = tuple(Override(where=where, set=values) for where, values in overrides)
    return Profile(path.stem, settings, sets, file.title, path)


def resolve_profile(name: str | None) -> str:
    """The name of the profile to use: none given is ``paper``; ``auto`` is ``paper`` where a CUDA device may
    be used, else ``cpu``.
    """
    if name == AUTO:
        return "cpu" if devices() == (CPU,) else PAPER
    return name or PAPER


def profile_names(beside: Path | None = None) -> tuple[str, ...]:
    """Every profile at hand."""
    near = (path.stem for path in beside.glob("profiles/*.toml")) if beside else ()
    return tuple(sorted({*resources.names("specs/profiles"), *near}))


def _profile_path(name: str, beside: Path | None) -> Path | None:
    if name.endswith(".toml"):
        return Path(name)
    folders = ([beside / "profiles"] if beside else []) + [resources.root() / "specs" / "profiles"]
    return next((path for folder in folders if (path := folder / f"{name}.toml").is_file()), None)


def _no_profile(name: str, beside: Path | None) -> str:
    known = (*profile_names(beside), AUTO)
    return f'no profile is called "{name}"; there are {", ".join(known)}{did_you_mean(name, known)}'


def _check_profile(checker: Checker, name: str, spec: Path) -> None:
    if name != AUTO and _profile_path(name, spec.parent) is None:
        checker.fault("profile", _no_profile(name, spec.parent))


def _read(path: Path, hint: str = "") -> dict[str, Any]:
    """The TOML of a file. An unreadable file and a slip in the syntax are single, located lines."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecErrors([f"{path}: no such file{f'; {hint}' if hint else ''}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise SpecErrors([f"{path}: cannot be read: {reason}"]) from None
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).rpartition(" (at ")
        raise SpecErrors([f"{path}: {where.rstrip(')')}: {message[:1].lower()}{message[1:]}"]) from None
