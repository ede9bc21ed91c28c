"""What a table has to say about itself: metric, spread, selection, profile, data, devices, and all that
limits it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from suite import registry
from suite.settings import fields_of
from suite.tables import ranks
from suite.tables.cells import AVERAGE, MARKS, METRICS, Entry
from suite.tables.table import Table
from suite.tables.text import FAR, SYMBOLS
from suite.tables.verdict import FAR_SPREADS, tally, words

if TYPE_CHECKING:
    from suite.outcome import Outcome
    from suite.plan import Plan

SELECTIONS: Mapping[str, str] = {
    "last": "the weights at the end of training",
    "best_val": "the snapshot with the best AUROC on the validation split",
    "best_test": "an oracle: the snapshot with the best AUROC on the test images themselves, as in the paper",
}
DISTANT = "differs from the published value by more than two combined spreads"
COMPUTE = (
    "network.stem",
    "network.width",
    "train.epochs",
    "train.epoch_size",
    "train.steps",
    "backbone",
    "diffusion.dim",
    "diffusion.steps",
    "diffusion.batch",
    "diffusion.accumulate",
    "diffusion.lr",
    "diffusion.times",
    "dissolve.draw",
    "dissolve.bank",
    "train.precision",
    "score.views",
    "data.size",
    "data.max_train",
)
"""Settings by which a computation is made smaller than the paper's."""

_WARNINGS = ("STAND-IN DATA", "VALIDATION images", "NOT the paper's full computation", "an oracle")
"""What marks a sentence that a reader must see before the numbers."""


def warnings(table: Table) -> tuple[str, ...]:
    """The sentences of the caption that limit what its numbers mean: stand-in data, a smaller computation, an
    oracle.
    """
    return tuple(sentence for sentence in table.caption if any(mark in sentence for mark in _WARNINGS))


def finish(table: Table, plan: Plan) -> Table:
    """The table with its caption, the legend of the marks that occur, average ranks and the list of what is
    missing.
    """
    entries = [entry for entry in table.entries if entry.cell.runs]
    outcomes = [row.outcome for entry in entries for row in entry.observations if row.outcome is not None]
    sentences = [
        _spread(table, plan),
        _selection(table),
        _held_out(entries),
        _profile(table, entries),
        _changed(plan),
        _published(table, plan),
        *_limits(entries, outcomes),
        *_origin(outcomes),
    ]
    used = {mark for entry in table.entries for mark in entry.marks}
    used |= {FAR for entry in table.entries if entry.far}
    return replace(
        table,
        verdicts=tally(table.entries, plan.spec.table.tolerance, _departures(table, plan, entries, outcomes)),
        caption=tuple(sentence for sentence in sentences if sentence),
        legend=tuple((mark, text) for mark, text in {**MARKS, FAR: DISTANT}.items() if mark in used),
        footnotes=(*table.footnotes, *_notes(table, entries)),
        ranks=ranks.rank(entries, higher=METRICS[table.metric][1]),
        missing=_missing(entries),
    )


def _notes(table: Table, entries: list[Entry]) -> Iterator[str]:
    """Where the methods depart from what was published, by their own account: each departure, then the rows."""
    told: dict[str, dict[str, None]] = {}
    for entry in entries:
        info = registry.known_method(entry.cell.method)
        train = entry.cell.runs[0].train
        for note in info.notes(info.parse(train["settings"]), train["data"]) if info else ():
            told.setdefault(note, {})[", ".join(entry.cell.labels[axis] for axis in table.row_axes)] = None
    if told:
        # One paragraph: with many methods as many lines would be taller than a page.
        yield "Departures. " + " ".join(
            f"{_capital(note)}: {'; '.join(rows)}." for note, rows in told.items()
        )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _departures(table: Table, plan: Plan, entries: list[Entry], outcomes: list[Outcome]) -> Iterable[str]:
    """How what was computed differs from the protocol behind the published values."""
    if _smaller(table, entries):
        yield f"profile {table.profile} is reduced"
    if changed := [name for name in plan.sets if name != "selection"]:
        yield f"changed by --set: {', '.join(changed)}"
    if "last" in table.selections:
        yield "scored at the end of training, the paper's code at the best of many looks at the test set"
    if names := _stand_ins(entries, outcomes):
        yield f"stand-in data for {', '.join(names)}"


def _spread(table: Table, plan: Plan) -> str:
    name, higher = METRICS[table.metric]
    seeds = plan.spec.seeds if plan.cells else ()
    planned = sorted({run.seed for cell in plan.cells for run in cell.runs}) or list(seeds)
    listed = f"seed{'s' * (len(planned) != 1)} ({', '.join(map(str, planned))})"
    better = "" if higher else " (lower is better)"
    if len(planned) < 2:
        return f"{name}{better} of one run, {listed}: nothing is known about the spread over seeds."
    some = any(entry.n and not entry.complete for entry in table.entries)
    partial = "; (k/n): only k of the n seeds are done" if some else ""
    spread = f"mean ± sample standard deviation (ddof 1) over n = {len(planned)} {listed}"
    return f"{name}{better}, {spread}{partial}."


def _selection(table: Table) -> str:
    told = "; ".join(f"{name}, {SELECTIONS.get(name, name)}" for name in table.selections)
    return f"Scored checkpoint: {told}." if told else ""


def _held_out(entries: list[Entry]) -> str:
    """Which cells are scored on what settings may be chosen by."""
    held_out = [entry for entry in entries if entry.cell.settings.get("score_on") == "val"]
    which = "" if len(held_out) == len(entries) else f" ({len(held_out)} of {len(entries)} cells)"
    return (
        f"VALIDATION images, on which settings may be chosen, not the test images{which}." if held_out else ""
    )


def _profile(table: Table, entries: list[Entry]) -> str:
    """The profile, and each compute setting that differs from the paper's (given in brackets)."""
    told = _smaller(table, entries)
    if not told:
        return f"Profile {table.profile}."
    return f"Profile {table.profile}, NOT the paper's full computation (in brackets the paper's): {told}."


def _smaller(table: Table, entries: list[Entry]) -> str:
    """The compute settings that differ from the paper's, with the paper's; empty when none does."""
    axes = {*table.row_axes, *table.column_axes}
    smaller: dict[str, dict[tuple[Any, Any], None]] = {}
    for entry in entries:
        paper = _defaults(entry.cell.method, entry.cell.dataset)
        for name in COMPUTE:
            value, usual = _shown(entry.cell.settings.get(name)), _shown(paper.get(name))
            if name not in axes and name in paper and value is not None and value != usual:
                smaller.setdefault(name, {})[value, usual] = None
    return "; ".join(
        f"{name} " + ", ".join(f"{value} ({_or_all(usual)})" for value, usual in pairs)
        for name, pairs in smaller.items()
    )


def _changed(plan: Plan) -> str:
    """What the command line put above the spec."""
    told = "; ".join(f"{name} = {_shown(value)}" for name, value in plan.sets.items())
    return f"CHANGED from the spec by --set: {told}." if told else ""


def _shown(value: Any) -> Any:
    """A range as it is written in a spec."""
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list | tuple) else value


def _or_all(value: Any) -> str:
    return "all" if value is None else str(value)


def _defaults(method: str, dataset: str) -> dict[str, Any]:
    """What the settings are when nobody asks for anything: the paper's."""
    try:
        info, data = registry.method(method), registry.dataset(dataset)
    except (registry.UnknownNameError, ValueError):
        return {}
    fields = {name: field.default for name, field in fields_of(info.training({}))}
    fields |= {f"score.{name}": field.default for name, field in fields_of(info.scoring)}
    return fields | {"data.size": data.size, "data.max_train": None}


def _published(table: Table, plan: Plan) -> str:
    """Where the published values come from, and what is said of the difference to them."""
    known = [entry for entry in table.entries if entry.published is not None]
    if not known:
        return ""
    sources = sorted({entry.source for entry in known})
    further = sorted({source for entry in known for source, _ in entry.also})
    third = f", then what the {', '.join(further)} says" if further else ""
    marked = f"{FAR} if the difference exceeds {FAR_SPREADS:g} combined spreads, sqrt(ours² + theirs²)"
    unknown = sum(entry.published is not None and entry.published.std is None for entry in known)
    silent = f" ({unknown} without a published spread are never marked)" if unknown else ""
    rule = words(plan.spec.table.tolerance)
    symbols = (
        f"{SYMBOLS['reproduced']} reproduced, {rule}; {SYMBOLS['above']} above; {SYMBOLS['below']} below"
    )
    return (
        f"Beside each value: the published one ({', '.join(sources)}) and ours minus it{third}; "
        f"{marked}{silent}; {symbols}."
    )


def _limits(entries: list[Entry], outcomes: list[Outcome]) -> Iterable[str]:
    if any(_shares_diffusion(entry) for entry in entries):
        yield "The seeds of a cell share one diffusion model, so its own variance is not in the spread."
    if any(entry.cell.settings.get("diffusion.data") == "all" for entry in entries):
        yield "The diffusion model saw every image of the set, test images included (diffusion.data = all)."
    if names := _stand_ins(entries, outcomes):
        yield f"STAND-IN DATA, generated and not medical images: {', '.join(names)}."


def _stand_ins(entries: list[Entry], outcomes: list[Outcome]) -> list[str]:
    """The data sets of the table that are generated, the phantom (which stands in for none) included."""
    names = {name for name in {entry.cell.dataset for entry in entries} if registry.dataset(name).stand_in}
    return sorted(names | {str(one.data.get("name")) for one in outcomes if one.data.get("stand_in")})


def _shares_diffusion(entry: Entry) -> bool:
    keys = [need.key for run in entry.cell.runs for need in run.needs if need.kind == "diffusion"]
    return len(set(keys)) < len(keys)


def _origin(outcomes: list[Outcome]) -> Iterable[str]:
    """Data digests, devices and versions, revisions and dates of everything that went into the table."""
    if not outcomes:
        yield "Nothing has been computed yet."
        return
    digests: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        digests.setdefault(outcome.dataset, {})[str(outcome.data.get("digest", "unknown"))[:12]] = None
    told = "; ".join(f"{name} {', '.join(found)}" for name, found in digests.items())
    yield f"Data (content digest): {told}."
    yield f"Computed on {_listed(_machine(outcome.environment) for outcome in outcomes)}."
    revisions = _listed(_revision(outcome.environment) for outcome in outcomes)
    dates = sorted(outcome.finished[:10] for outcome in outcomes)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    yield f"Revision {revisions}; finished {when}."


def _machine(environment: Mapping[str, Any]) -> str:
    threads = environment.get("threads")
    counted = f", {threads} thread{'s' * (threads != 1)}" if threads else ""
    device, torch = (environment.get(name) or f"unknown {name}" for name in ("device", "torch"))
    return f"{device} (torch {torch}{counted})"


def _revision(environment: Mapping[str, Any]) -> str:
    revision = str(environment.get("revision") or "unknown")[:10]
    return f"{revision} with local changes" if environment.get("dirty") else revision


def _listed(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _missing(entries: list[Entry]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Why there is no value: reason -> the cells (with seeds, where others are done)."""
    reasons: dict[str, dict[str, None]] = {}
    for entry in entries:
        absent: dict[str, list[int]] = {}
        for row in entry.observations:
            if row.outcome is None:
                absent.setdefault(_reason(row.state, row.reason), []).append(row.run.seed)
        for reason, seeds in absent.items():
            name = ", ".join(label for label in entry.cell.labels.values() if label != AVERAGE)
            some = "" if len(seeds) == len(entry.seeds) else f" (seed {', '.join(map(str, seeds))})"
            reasons.setdefault(reason, {})[f"{name}{some}"] = None
    return tuple((reason, tuple(cells)) for reason, cells in reasons.items())


def _reason(state: str, reason: str) -> str:
    if not reason:
        return state
    fresh = reason in ("new", "missing seed") or reason.startswith("settings changed")
    return "not run yet" if fresh else reason
