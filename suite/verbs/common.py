"""What all verbs share: which plans are meant, how things are printed, the exit codes."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from suite import files, registry
from suite.options import parse_only, parse_sets
from suite.plan import Plan, expand
from suite.settings import key_of
from suite.spec import AUTO, PAPER, Spec, load_spec, profile_names, resolve_profile
from suite.store import Store, now
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from rich.console import Console

    from suite.assess import History

T = TypeVar("T")

OK, FAILED, USAGE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130
"""All fine; some runs failed; a bad spec or usage; the time was up before all was done; interrupted."""


@dataclass(frozen=True)
class Ask:
    """What is asked for: specs and what narrows or changes them, and where results and data lie."""

    specs: tuple[str, ...] = ()
    store: Path = Path("runs")
    data_root: Path | None = None
    profile: str | None = None
    sets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seeds: str | None = None
    stand_in: bool = False

    def open(self) -> Store:
        """The store."""
        return Store(self.store)


def load_specs(arguments: Iterable[str]) -> list[Spec]:
    """Specs by path, glob or shipped name. SpecErrors with the faults of all of them."""
    specs: dict[Path, Spec] = {}
    faults: list[str] = []
    for argument in arguments:
        found = sorted(glob.glob(argument, recursive=True)) if glob.has_magic(argument) else [argument]
        if not found:
            faults.append(f"{argument}: no file matches")
        for name in found:
            try:
                spec = load_spec(name)
                specs.setdefault(spec.path.resolve(), spec)
            except SpecErrors as errors:
                faults += errors.messages
    if faults:
        raise SpecErrors(faults)
    return list(specs.values())


def plans_of(ask: Ask) -> list[Plan]:
    """The plans asked for. SpecErrors with everything that is wrong, in specs and options."""
    if not ask.specs:
        raise SpecErrors(["give a spec: a path, a glob, or the name of a shipped one (`suite list specs`)"])
    faults: list[str] = []

    def read(reader: Callable[[], T]) -> T | None:
        """What a reader gives; its faults join the others, so that all are told at once."""
        try:
            return reader()
        except SpecErrors as errors:
            faults.extend(errors.messages)
            return None

    specs = read(lambda: load_specs(ask.specs)) or []
    sets = read(lambda: parse_sets(ask.sets))
    only = read(lambda: parse_only(ask.only))
    seeds = read(lambda: parse_seeds(ask.seeds))
    if faults:
        raise SpecErrors(faults)
    plan = partial(expand, profile=ask.profile, sets=sets, only=only, seeds=seeds)
    made = [read(partial(plan, spec)) for spec in specs]
    if faults:
        raise SpecErrors(faults)
    plans = [one for one in made if one is not None]
    if only and not any(plan.cells for plan in plans):
        raise SpecErrors(
            [f"--only {' '.join(ask.only)}: leaves no cell of {', '.join(s.name for s in specs)}"]
        )
    absent = _absent(plans, ask) if ask.stand_in else ()
    # What is drawn or counted is no table: a figure of generated images would show nothing of the set.
    return [one if one.goals else plan(one.spec, stand_ins=absent) for one in plans] if absent else plans


def _absent(plans: Iterable[Plan], ask: Ask) -> frozenset[str]:
    """Data sets that are not at hand at any of the sizes that the plans ask for. (A folder that is not there is
    a slip of the pen.)
    """
    from suite.data import pack
    from suite.data.identity import DataSettings

    asked: dict[str, set[int]] = {}
    for run in (run for plan in plans for run in plan.fits):
        if not registry.dataset(run.dataset).origin:
            asked.setdefault(run.dataset, set()).add(int(run.train["data"]["size"]))
    return frozenset(
        name
        for name, sizes in asked.items()
        if not any(
            pack.find(registry.dataset(name), DataSettings(size=size), ask.store, ask.data_root)
            for size in sizes
        )
    )


def stand_in_lines(plans: Iterable[Plan]) -> list[str]:
    """One line if phantoms stand in for some data sets."""
    names = sorted({name for plan in plans for name in plan.stand_ins})
    told = f"STAND-IN DATA, generated and not medical images, for what is not at hand: {', '.join(names)}"
    return [told] if names else []


def parse_seeds(text: str | None) -> tuple[int, ...] | None:
    """``0,1,2`` or ``0-4`` as seeds; None when nothing is given."""
    if text is None:
        return None
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if match is None:
            raise SpecErrors([f"--seeds: {text}: write whole numbers from 0 on, such as 0,1,2 or 0-4"])
        first, last = int(match[1]), int(match[2] or match[1])
        seeds += range(first, last + 1)
    return tuple(seeds)


def profile_line(plan: Plan, asked: str | None) -> str:
    """Which profile is used, and why: ``profile cpu (auto: no CUDA device)``."""
    wanted = asked or plan.spec.profile
    if wanted == AUTO:
        why = "auto: there is an NVIDIA GPU" if resolve_profile(AUTO) == PAPER else "auto: no CUDA device"
    elif asked:
        why = "asked for"
    else:
        why = f"of {plan.spec.name}" if wanted else "the default"
    return f"profile {plan.profile} ({why})"


# Specs that the store remembers


def remember(plan: Plan, ask: Ask, store: Store) -> None:
    """Keep a copy of a spec with its options in ``<store>/specs/``: what was computed for it is reachable
    from it.
    """
    name, texts, options = memory(plan, ask)
    folder = store.root / "specs" / name
    if files.peek_json(folder / "options.json"):
        return
    for place, text in texts.items():
        files.write_text(folder / place, text)
    files.write_json(folder / "options.json", {**options, "time": now()})


def memory(plan: Plan, ask: Ask) -> tuple[str, dict[str, str], dict[str, Any]]:
    """What is kept of a plan: the name of its folder, its files' texts, and the options that it was asked for
    with.
    """
    name = plan.spec.name
    text, profile = plan.spec.path.read_text(encoding="utf-8"), _profile_text(plan)
    options = {"profile": plan.profile, "sets": list(ask.sets), "seeds": ask.seeds, "name": name}
    if plan.stand_ins:
        options["stand_ins"] = sorted(plan.stand_ins)
    texts = {f"{name}.toml": text} | ({f"profiles/{plan.profile}.toml": profile} if profile else {})
    digest = key_of({**options, "text": text, "profile text": profile})[:8]
    return f"{name}-{digest}", texts, {"format": 1, **options}


def _profile_text(plan: Plan) -> str:
    from suite.spec import load_profile

    path = load_profile(plan.profile, plan.spec.path.parent).path if plan.profile else None
    return path.read_text(encoding="utf-8") if path else ""


def remembered(store: Store) -> tuple[list[Plan], list[str]]:
    """The plans of the specs that the store remembers, and a line for each that can no longer be read."""
    plans, faults = [], []
    for path in sorted((store.root / "specs").glob("*/options.json"), key=lambda one: one.stat().st_mtime):
        options = files.peek_json(path)
        try:
            spec = load_spec(path.parent / f"{options.get('name')}.toml")
            sets = parse_sets(options.get("sets", ()))
            plans.append(
                expand(
                    spec,
                    profile=options.get("profile"),
                    sets=sets,
                    seeds=parse_seeds(options.get("seeds")),
                    stand_ins=options.get("stand_ins", ()),
                )
            )
        except (SpecErrors, OSError) as error:
            faults.append(f"{path.parent}: {str(error).splitlines()[0]}")
    return plans, faults


def latest(plans: Sequence[Plan]) -> list[Plan]:
    """Of the plans that would be written to the same files (a spec that was edited) the last."""
    from suite.tables.report import stem

    return list({stem(plan): plan for plan in plans}.values())


def found_profiles(plan: Plan, history: History) -> list[Plan]:
    """The plan of a whole spec under each profile that the store has results of; under its own when it has none."""
    names = profile_names(plan.spec.path.parent)
    own = resolve_profile(plan.spec.profile)

    def under(profile: str) -> Plan:
        return plan if profile == own else expand(plan.spec, profile=profile, stand_ins=plan.stand_ins)

    if plan.goals:
        # An artefact knows no profile: under those that change nothing in it the figure is the same one.
        distinct: dict[tuple[str, ...], Plan] = {}
        for one in [plan, *map(under, names)]:
            distinct.setdefault(tuple(need.key for need in one.goals), one)
        return [one for one in distinct.values() if any(map(history.store.artefact, one.goals))] or [plan]
    keys = {(outcome.eval_key, outcome.profile) for outcome in history.outcomes.values()}
    used = {profile for _, profile in keys}
    every = [under(name) for name in names if name in used]
    return [one for one in every if any((run.eval_key, one.profile) in keys for run in one.runs)] or [plan]


# Printing


def log_tail(folder: Path, lines: int) -> list[str]:
    """The last lines that a run or the making of an artefact left in its log; none where there is none."""
    try:
        with (folder / "log.txt").open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - 16_384))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return text.rstrip().splitlines()[-lines:]


def console(*, stderr: bool = False) -> Console:
    """Where things are printed; wide when it is no terminal, so that nothing wraps in a file."""
    from rich.console import Console

    made = Console(stderr=stderr)
    return made if made.is_terminal else Console(stderr=stderr, width=200)


def say(text: str) -> None:
    """A plain line."""
    print(text, flush=True)


def say_json(value: Any) -> None:
    """JSON for other programs."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))


def grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of texts."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)
