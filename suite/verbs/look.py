"""Verbs that only look: validate, plan, status, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite import files, registry
from suite.assess import History
from suite.executors.display import duration, stage_note
from suite.goals import Goal, assess_goals
from suite.overlap import overlap
from suite.plan import Assessment, Cell, Plan, assess
from suite.registry import in_order
from suite.settings import KEY_LENGTH
from suite.store import Store
from suite.verbs import common
from suite.verbs.common import FAILED, OK, USAGE, Ask, grid, say, say_json

LOG_LINES = 6
"""Lines of the log that stand with a reason to fail."""
ORDER = ("done", "stale", "failed", "blocked", "running", "interrupted", "to run")


def validate(ask: Ask) -> int:
    """Check specs; SpecErrors carries the faults."""
    for plan in common.plans_of(ask):
        made = f"{len(plan.goals)} artefacts" if plan.goals else f"{len(plan.runs)} runs"
        say(f"{plan.spec.path}: fine, {len(plan.cells)} cells, {made} ({plan.profile})")
    return OK


def plan(ask: Ask, *, force: bool = False, slots: int = 1, as_json: bool = False) -> int:
    """Print what would be done and why."""
    plans, store = common.plans_of(ask), ask.open()
    history = History(store)
    judged = [_judged(one, history, ask, force) for one in plans]
    if as_json:
        runs = [entry for one in judged for entry in _entries(one)]
        say_json({"runs": runs, "totals": overlap(plans).to_json()})
        return OK
    for line in common.stand_in_lines(plans):
        say(line)
    for one in judged:
        say(f"{one.plan.spec.name}: {one.plan.spec.title}; {common.profile_line(one.plan, ask.profile)}")
        by_key = {verdict.run.eval_key: verdict for verdict in one.verdicts}
        shown = {goal.need.key: goal for goal in one.goals}
        rows = [row for cell in one.plan.cells for row in _rows(cell, by_key, shown)]
        grid(("cell", "seeds", "state", "reason", "estimated time"), rows)
    every = {verdict.run.eval_key: verdict for one in judged for verdict in one.verdicts}
    goals = {goal.need.place: goal for one in judged for goal in one.goals}
    if shared := overlap(plans).sentence:
        say(shared)
    say(totals(list(every.values()), list(goals.values()), slots))
    for line in _download_lines(every.values(), goals.values(), ask):
        say(line)
    for line in _artefact_lines(plans, every.values(), goals.values(), store):
        say(line)
    return OK


@dataclass(frozen=True)
class _Judged:
    """A plan and the states of what it needs."""

    plan: Plan
    verdicts: Sequence[Assessment]
    goals: Sequence[Goal]


def _judged(plan: Plan, history: History, ask: Ask, force: bool = False) -> _Judged:
    store = history.store
    verdicts = assess(plan, store, data_root=ask.data_root, force=force, history=history)
    return _Judged(plan, verdicts, assess_goals(plan, store, data_root=ask.data_root, force=force))


def _entries(judged: _Judged) -> Iterable[dict[str, Any]]:
    plan = judged.plan
    cells = {need.key: dict(cell.labels) for cell in reversed(plan.cells) for need in cell.goals}
    for goal in judged.goals:
        yield {
            "spec": plan.spec.name,
            "profile": plan.profile,
            "cell": cells[goal.need.key],
            "artefact": goal.need.kind,
            "dataset": goal.need.dataset,
            "state": goal.state,
            "reason": goal.reason,
            "key": goal.need.key,
        }
    labels = {run.eval_key: dict(cell.labels) for cell in reversed(plan.cells) for run in cell.runs}
    for verdict in judged.verdicts:
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


def _rows(
    cell: Cell, verdicts: Mapping[str, Assessment], goals: Mapping[str, Goal]
) -> Iterable[tuple[str, ...]]:
    for need in cell.goals:
        goal = goals[need.key]
        name = " / ".join(cell.labels.values()) or str(need)
        yield name, "", goal.state, "" if goal.reason == goal.state else goal.reason, ""
    groups: dict[tuple[str, str], list[Assessment]] = {}
    for run in cell.runs:
        verdict = verdicts[run.eval_key]
        groups.setdefault((verdict.state, verdict.reason), []).append(verdict)
    name = " / ".join(cell.labels.values()) or cell.method
    name += " (stand-in)" * registry.stands_in(cell.dataset)
    for (state, reason), members in groups.items():
        known = [verdict.seconds for verdict in members if verdict.seconds is not None]
        time = duration(sum(known)) if known and state not in ("done", "stale") else ""
        seeds = " ".join(str(verdict.run.seed) for verdict in members)
        yield name, seeds, state, "" if reason == state else reason, time


def totals(verdicts: Sequence[Assessment], goals: Sequence[Goal], slots: int = 0) -> str:
    """``36 runs: 20 done, 12 to run, about 5 h on 1 slot (median of done runs); 3 artefacts to show: 3 to run``; for
    no slots no time.
    """
    shown = f"{len(goals)} artefact{'s' * (len(goals) != 1)} to show: {', '.join(_counted(goals))}"
    if goals and not verdicts:
        return shown
    parts = _counted(verdicts)
    due = [one for one in verdicts if one.state in ("to run", "interrupted")]
    known = [one.seconds for one in due if one.seconds is not None]
    if known and slots:
        time = duration(sum(known) / min(slots, len(known)))
        rest = f", {len(due) - len(known)} unknown" if len(known) < len(due) else ""
        parts.append(f"about {time} on {slots} slot{'s' * (slots != 1)} (median of done runs{rest})")
    runs = f"{len(verdicts)} runs: {', '.join(parts) or 'none'}"
    return f"{runs}; {shown}" if goals else runs


def _download_lines(verdicts: Iterable[Assessment], goals: Iterable[Goal], ask: Ask) -> Iterable[str]:
    from suite.data import pack
    from suite.data.identity import DataSettings

    runs = [one.run for one in verdicts if one.state in ("to run", "interrupted")]
    wanted = [(run.dataset, run.train["data"]) for run in runs]
    needs = [need for run in runs for need in run.needs]
    needs += [one.need for one in goals if one.state in ("to run", "interrupted")]
    wanted += [(need.dataset, need.data) for need in in_order(needs) if need.data]
    for name, size in dict.fromkeys((name, int(data["size"])) for name, data in wanted):
        info = registry.dataset(name)
        if pack.find(info, DataSettings(size=size), ask.store, ask.data_root) is None:
            yield f"before that, once: {name} is downloaded ({pack.command(info)})"


def _counted(judged: Iterable[Assessment | Goal]) -> list[str]:
    counts = Counter[str](one.state for one in judged)
    return [f"{counts[state]} {state}" for state in ORDER if counts[state]]


def _artefact_lines(
    plans: Iterable[Plan], verdicts: Iterable[Assessment], goals: Iterable[Goal], store: Store
) -> Iterable[str]:
    due = {one.run.train_key for one in verdicts if one.state in ("to run", "interrupted")}
    wanted = [need for one in plans for run in one.fits if run.train_key in due for need in run.needs]
    wanted += [need for one in goals if one.state in ("to run", "interrupted") for need in one.need.needs]
    for told, count in Counter(
        str(need) for need in in_order(wanted) if store.artefact(need) is None
    ).items():
        yield f"before that, once: {told}{f' ({count} of them)' if count > 1 else ''}"


def status(ask: Ask, *, as_json: bool = False) -> int:
    """How far specs are: by default those that the store remembers. Exit code 1 when runs have failed."""
    store = ask.open()
    plans, faults = (common.plans_of(ask), []) if ask.specs else common.remembered(store)
    for fault in faults:
        say(fault)
    history = History(store)
    judged = [_judged(one, history, ask) for one in plans]
    states = {one.state for both in judged for one in both.verdicts}
    failed = "failed" in states | {one.state for both in judged for one in both.goals}
    if as_json:
        say_json([entry for one in judged for entry in _entries(one)])
        return FAILED if failed else OK
    if not plans:
        say(f"nothing has been run in {store.root} yet: suite run quickstart")
    for line in common.stand_in_lines(plans):
        say(line)
    told: set[str] = set()
    for one in judged:
        say(f"{one.plan.spec.name} ({one.plan.profile}): {totals(one.verdicts, one.goals, 1)}")
        for line in _undone_lines(one, store, told):
            say(line)
    return FAILED if failed else OK


def _undone_lines(judged: _Judged, store: Store, told: set[str]) -> Iterable[str]:
    """What runs, failed or was interrupted; the end of the log with the first of each reason to fail (``told``)."""
    shown = ("running", "failed", "interrupted")
    for goal in judged.goals:
        if goal.state in shown:
            yield f"  {goal.need.key[:KEY_LENGTH]} {goal.need}: {goal.reason}"
            yield from _log_lines(goal, store.artefact_folder(*goal.need.place), told)
    for verdict in judged.verdicts:
        if verdict.state in shown:
            run = verdict.run
            # By its fit's key where the fit failed: that is the folder there is to show.
            scored = store.eval_folder(run.train_key, run.eval_key).is_dir()
            key = (run.eval_key if scored else run.train_key)[:KEY_LENGTH]
            yield f"  {key} {run.method} {run.dataset} seed {run.seed}: {_detail(verdict, store)}"
            yield from _log_lines(verdict, store.run_folder(run.train_key), told)


def _log_lines(judged: Assessment | Goal, folder: Path, told: set[str]) -> Iterable[str]:
    if judged.state == "failed" and judged.reason not in told:
        told.add(judged.reason)
        yield from (f"    | {line}" for line in common.log_tail(folder, LOG_LINES))


def _detail(verdict: Assessment, store: Store) -> str:
    if verdict.state == "failed":
        return verdict.reason.replace("failed before", "failed", 1)
    told = files.peek_json(store.run_folder(verdict.run.train_key) / "progress.json")
    return f"{verdict.reason} ({stage_note(dict(told))})" if told else verdict.reason


def report(
    ask: Ask,
    out: Path,
    formats: Sequence[str],
    *,
    thumbnails: bool | None = None,
    mlflow: str | None = None,
) -> int:
    """Write the tables of specs from what the store holds, and print them. ``thumbnails``: see
    :func:`suite.tables.report.report`; ``mlflow``: where MLflow's pages are, that the page links to.
    """
    from suite.tables.report import FORMATS

    if unknown := [name for name in formats if name not in FORMATS]:
        say(f"--formats: there is no {unknown[0]!r}; there are {', '.join(FORMATS)}")
        return USAGE
    store = ask.open()
    history = History(store)
    plans = common.plans_of(ask) if ask.specs else common.latest(common.remembered(store)[0])
    if ask.specs and ask.profile is None and not (ask.sets or ask.only or ask.seeds):
        plans = [one for plan in plans for one in common.found_profiles(plan, history)]
    if not plans:
        say(f"nothing has been run in {store.root} yet: name a spec")
        return USAGE
    show_tables(
        plans, store, ask.data_root, out, formats, thumbnails=thumbnails, history=history, mlflow=mlflow
    )
    return OK


def show_tables(
    plans: Sequence[Plan],
    store: Store,
    data_root: Path | None,
    out: Path,
    formats: Sequence[str],
    *,
    thumbnails: bool | None = None,
    history: History | None = None,
    mlflow: str | None = None,
) -> None:
    """Print the tables and write them to files, which are named. ``history``: what was read of the store already;
    ``mlflow``: see :func:`report`.
    """
    from suite import tracking
    from suite.tables import render
    from suite.tables.report import look_up, write

    shown = look_up(plans, store, data_root=data_root, history=history)
    for table in (table for one in shown for table in one.tables):
        common.console().print(render.terminal(table))
    links = tracking.links(plans, store, base=mlflow) if "html" in formats else None
    written = write(shown, store, out, formats, data_root=data_root, thumbnails=thumbnails, links=links)
    say(f"written: {', '.join(str(path) for path in written)}")
