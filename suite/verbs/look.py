"""Verbs that only look: validate, plan, status, report, list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite import files, registry, resources
from suite.executors.display import duration, stage_note
from suite.plan import Assessment, Plan, assess
from suite.store import Store
from suite.verbs import common
from suite.verbs.common import FAILED, OK, USAGE, Ask, grid, say, say_json

ORDER = ("done", "stale", "failed", "blocked", "running", "interrupted", "to run")


def validate(ask: Ask) -> int:
    """Check specs; SpecErrors carries the faults."""
    for plan in common.plans_of(ask):
        say(f"{plan.spec.path}: fine, {len(plan.cells)} cells, {len(plan.runs)} runs ({plan.profile})")
    return OK


def plan(ask: Ask, *, force: bool = False, slots: int = 1, as_json: bool = False) -> int:
    """Print what would be done and why."""
    plans, store = common.plans_of(ask), ask.open()
    judged = [(one, assess(one, store, data_root=ask.data_root, force=force)) for one in plans]
    if as_json:
        say_json([entry for one, verdicts in judged for entry in _entries(one, verdicts)])
        return OK
    for one, verdicts in judged:
        say(f"{one.spec.name}: {one.spec.title}; {common.profile_line(one, ask.profile)}")
        by_key = {verdict.run.eval_key: verdict for verdict in verdicts}
        rows = [row for cell in one.cells for row in _rows(cell, by_key)]
        grid(("cell", "seeds", "state", "reason", "estimated time"), rows)
    every = {verdict.run.eval_key: verdict for _, verdicts in judged for verdict in verdicts}
    say(totals(list(every.values()), slots))
    for line in _download_lines(every.values(), ask):
        say(line)
    for line in _artefact_lines(plans, every.values(), store):
        say(line)
    return OK


def _entries(plan: Plan, verdicts: Iterable[Assessment]) -> Iterable[dict[str, Any]]:
    labels = {run.eval_key: dict(cell.labels) for cell in reversed(plan.cells) for run in cell.runs}
    for verdict in verdicts:
        run = verdict.run
        yield {
            "spec": plan.spec.name,
            "profile": plan.profile,
            "cell": labels[run.eval_key],
            "method": run.method,
            "dataset": run.dataset,
            "seed": run.seed,
            "state": verdict.state,
            "reason": verdict.reason,
            "seconds": verdict.seconds,
            "train_key": run.train_key,
            "eval_key": run.eval_key,
        }


def _rows(cell: Any, verdicts: Mapping[str, Assessment]) -> Iterable[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[Assessment]] = {}
    for run in cell.runs:
        verdict = verdicts[run.eval_key]
        groups.setdefault((verdict.state, verdict.reason), []).append(verdict)
    name = " / ".join(cell.labels.values()) or cell.method
    for (state, reason), members in groups.items():
        known = [verdict.seconds for verdict in members if verdict.seconds is not None]
        time = duration(sum(known)) if known and state not in ("done", "stale") else ""
        seeds = " ".join(str(verdict.run.seed) for verdict in members)
        yield name, seeds, state, "" if reason == state else reason, time


def totals(verdicts: Sequence[Assessment], slots: int) -> str:
    """``36 runs: 20 done, 12 to run, about 5 h on 1 slot (median of done runs)``."""
    counts = Counter[str](verdict.state for verdict in verdicts)
    parts = [f"{counts[state]} {state}" for state in ORDER if counts[state]]
    due = [one for one in verdicts if one.state in ("to run", "interrupted")]
    known = [one.seconds for one in due if one.seconds is not None]
    if known:
        time = duration(sum(known) / min(max(1, slots), len(known)))
        rest = f", {len(due) - len(known)} unknown" if len(known) < len(due) else ""
        parts.append(f"about {time} on {slots} slot{'s' * (slots != 1)} (median of done runs{rest})")
    return f"{len(verdicts)} runs: {', '.join(parts) or 'none'}"


def _download_lines(verdicts: Iterable[Assessment], ask: Ask) -> Iterable[str]:
    from suite.data import pack
    from suite.data.identity import DataSettings

    due = [one.run for one in verdicts if one.state in ("to run", "interrupted")]
    for name, size in dict.fromkeys((run.dataset, int(run.train["data"]["size"])) for run in due):
        info = registry.dataset(name)
        if pack.find(info, DataSettings(size=size), ask.store, ask.data_root) is None:
            yield f"before that, once: {name} is downloaded ({pack.command(info)})"


def _artefact_lines(plans: Iterable[Plan], verdicts: Iterable[Assessment], store: Store) -> Iterable[str]:
    due = {one.run.train_key for one in verdicts if one.state in ("to run", "interrupted")}
    seen: set[str] = set()
    for one in plans:
        for run in one.fits:
            for need in run.needs:
                if run.train_key in due and need.key not in seen and store.artefact(need) is None:
                    seen.add(need.key)
                    yield f"before that, once: {need.label or need.kind} for {run.dataset}"


def status(ask: Ask, *, as_json: bool = False) -> int:
    """How far specs are: by default those that the store remembers. Exit code 1 when runs have failed."""
    store = ask.open()
    plans, faults = (common.plans_of(ask), []) if ask.specs else common.remembered(store)
    for fault in faults:
        say(fault)
    judged = [(one, assess(one, store, data_root=ask.data_root)) for one in plans]
    failed = any(verdict.state == "failed" for _, verdicts in judged for verdict in verdicts)
    if as_json:
        say_json([entry for one, verdicts in judged for entry in _entries(one, verdicts)])
        return FAILED if failed else OK
    if not plans:
        say(f"nothing has been run in {store.root} yet: suite run quickstart")
    for one, verdicts in judged:
        say(f"{one.spec.name} ({one.profile}): {totals(verdicts, 1)}")
        for verdict in verdicts:
            if verdict.state in ("running", "failed", "interrupted"):
                run = verdict.run
                say(
                    f"  {run.eval_key[:12]} {run.method} {run.dataset} seed {run.seed}: {_detail(verdict, store)}"
                )
    return FAILED if failed else OK


def _detail(verdict: Assessment, store: Store) -> str:
    if verdict.state == "failed":
        return verdict.reason.replace("failed before", "failed", 1)
    told = files.peek_json(store.run_folder(verdict.run.train_key) / "progress.json")
    return f"{verdict.reason} ({stage_note(dict(told))})" if told else verdict.reason


def report(ask: Ask, out: Path, formats: Sequence[str], *, thumbnails: bool | None = None) -> int:
    """Write the tables of specs from what the store holds, and print them. ``thumbnails``: see
    :func:`suite.tables.report.report`.
    """
    from suite.tables.report import FORMATS

    if unknown := [name for name in formats if name not in FORMATS]:
        say(f"--formats: there is no {unknown[0]!r}; there are {', '.join(FORMATS)}")
        return USAGE
    store = ask.open()
    plans = common.plans_of(ask) if ask.specs else common.latest(common.remembered(store)[0])
    if ask.specs and ask.profile is None and not (ask.sets or ask.only or ask.seeds):
        plans = [one for plan in plans for one in common.found_profiles(plan, store)]
    if not plans:
        say(f"nothing has been run in {store.root} yet: name a spec")
        return USAGE
    show_tables(plans, store, ask.data_root, out, formats, thumbnails=thumbnails)
    return OK


def show_tables(
    plans: Sequence[Plan],
    store: Store,
    data_root: Path | None,
    out: Path,
    formats: Sequence[str],
    *,
    thumbnails: bool | None = None,
) -> None:
    """Print the tables and write them to files, which are named."""
    from suite.tables import render
    from suite.tables.report import report as write
    from suite.tables.report import tables

    for one in plans:
        for table in tables(one, store, data_root=data_root):
            common.console().print(render.terminal(table))
    written = write(plans, store, out, formats, data_root=data_root, thumbnails=thumbnails)
    say(f"written: {', '.join(str(path) for path in written)}")


def list_things(what: str, *, as_json: bool = False) -> int:
    """Print the methods, data sets, specs, profiles or settings that there are."""
    kinds = {
        "methods": _methods,
        "datasets": _datasets,
        "specs": _specs,
        "profiles": _profiles,
        "settings": _settings,
    }
    if what not in kinds:
        say(f"list {what}: there are {', '.join(kinds)}")
        return USAGE
    header, rows = kinds[what]()
    if as_json:
        say_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        grid(header, rows)
    return OK


Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _methods() -> Listing:
    rows: list[tuple[str, ...]] = [
        (i.name, i.title, str(i.version), i.sizes, i.citation) for i in registry.methods().values()
    ]
    return ("method", "title", "version", "sizes", "source"), rows


def _datasets() -> Listing:
    rows: list[tuple[str, ...]] = []
    for info in registry.datasets().values():
        kind = "generated stand-in" if info.stand_in else info.licence
        rows.append((info.name, info.title, str(info.size), kind, info.url))
    rows.append(
        (
            "folder:PATH",
            "your own images",
            "224",
            "your own",
            "normal/ and anomalous/, MVTec's layout or a CSV",
        )
    )
    return ("dataset", "title", "size", "licence", "url"), rows


def _specs() -> Listing:
    from suite.spec import load_spec

    rows: list[tuple[str, ...]] = []
    for name in resources.names("specs"):
        spec = load_spec(name)
        rows.append((name, spec.title, spec.profile or "paper"))
    return ("spec", "title", "profile"), rows


def _profiles() -> Listing:
    from suite.spec import load_profile, profile_names

    rows = [(name, load_profile(name).title) for name in profile_names()]
    return ("profile", "title"), [*rows, ("auto", "paper where there is a CUDA device, cpu otherwise")]


def _settings() -> Listing:
    from suite.vocabulary import vocabulary

    known = vocabulary()
    owners: dict[str, list[str]] = {}
    for method in registry.methods().values():
        for model in (*method.models, method.scoring):
            owners.setdefault(f"{model.__module__}.{model.__qualname__}", []).append(method.name)
    rows: list[tuple[str, ...]] = []
    for name in known.names:
        models = known.fields.get(name, ())
        defaults = dict.fromkeys(_default(model, inside) for model, inside in models)
        users = dict.fromkeys(
            user for model, _ in models for user in owners.get(f"{model.__module__}.{model.__qualname__}", ())
        )
        rows.append((name, " or ".join(defaults), ", ".join(users) or "all"))
    return ("setting", "default", "methods"), rows


def _default(model: Any, name: str) -> str:
    here: Any = model
    for part in name.split("."):
        if isinstance(here, type):
            here = here.model_fields[part].get_default(call_default_factory=True)  # type: ignore[attr-defined]
        else:
            here = getattr(here, part)
    return str(list(here) if isinstance(here, tuple) else here)
