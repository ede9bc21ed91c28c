"""Verbs that compute: run and retry."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.devices import devices as visible_devices
from suite.executors import Ended, Finished, Options, Task
from suite.goals import Goal, assess_goals
from suite.job import Conditions, Force, Keep
from suite.plan import Assessment, Plan, assess
from suite.store import Store
from suite.verbs import common, look
from suite.verbs.common import FAILED, INTERRUPTED, OK, Ask, say
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from suite.tracking import Mirror

MAY_RUN = ("to run", "interrupted", "running")


@dataclass(frozen=True)
class How:
    """How runs are carried out, as the options say."""

    slots: int | None = None
    threads: int = 1
    devices: tuple[str, ...] = ()
    keep: Keep = "all"
    limit: int | None = None
    force: bool = False
    fail_fast: bool = False
    in_process: bool = False
    retry: bool = False
    checkpoint_every: float = 60.0
    out: Path = Path("reports/out")
    mirror: bool = True
    tracking_uri: str | None = None


@dataclass
class Work:
    """What there is to do for some plans: one verdict for each run that any of them needs, and for each
    artefact that any of them shows.
    """

    plans: Sequence[Plan]
    verdicts: dict[str, Assessment] = field(default_factory=dict)
    goals: dict[tuple[str, str], Goal] = field(default_factory=dict)
    profiles: dict[str, str] = field(default_factory=dict)

    def due(self, states: Iterable[str]) -> list[Assessment]:
        """The runs in one of these states, in the plans' order."""
        wanted = set(states)
        return [verdict for verdict in self.verdicts.values() if verdict.state in wanted]

    def due_goals(self, states: Iterable[str]) -> list[Goal]:
        """The artefacts to show that are in one of these states."""
        wanted = set(states)
        return [goal for goal in self.goals.values() if goal.state in wanted]

    def tasks(self, states: Iterable[str], force: bool) -> list[Task]:
        """What is to be done: runs first, then what is shown besides them."""
        states = tuple(states)
        how: Force = "fit" if force else ""
        runs = [
            Task(run=one.run, force=how, profile=self.profiles[one.run.eval_key], seconds=one.seconds)
            for one in self.due(states)
        ]
        return runs + [
            Task(need=one.need, goal=True, force=how, profile=self.profiles[one.need.key])
            for one in self.due_goals(states)
        ]


def run(ask: Ask, how: How) -> int:
    """Compute what is missing of the specs' tables, print and write the tables, mirror them to MLflow."""
    plans, store = common.plans_of(ask), ask.open()
    if searches := [plan.spec.name for plan in plans if plan.spec.search is not None]:
        raise SpecErrors(f"{name} is a search, not a table: suite search {name}" for name in searches)
    work = _judge(plans, store, ask, how)
    devices = how.devices or visible_devices()
    slots = how.slots or _slots(devices, how.threads)
    _announce(plans, work, ask, devices, slots, how)
    states = ("failed", "interrupted") if how.retry else MAY_RUN
    tasks = work.tasks(states, how.force)[: how.limit]
    blocked = Counter((one.run.dataset, one.reason) for one in work.due(["blocked"]))
    stuck = [(f"{count} of {name}", reason) for (name, reason), count in blocked.items()]
    stuck += [(str(one.need), one.reason) for one in work.due_goals(["blocked"])]
    for reason, names in _by_reason(stuck).items():
        say(f"{', '.join(names)} blocked: {reason}")
    if not how.retry and (failed := [*work.due(["failed"]), *work.due_goals(["failed"])]):
        say(f"{len(failed)} failed before and are left alone: suite retry {' '.join(ask.specs)}")
    finished = Finished(())
    mirrors = _mirrors(plans, store, how)
    if tasks:
        for plan in plans:
            common.remember(plan, ask, store)
        finished = _carry_out(tasks, store, ask, how, devices, slots, mirrors)
    if finished.interrupted:
        say("interrupted; the same command goes on from here")
        return INTERRUPTED
    look.show_tables(plans, store, ask.data_root, how.out, ("md", "tex", "png", "pdf"))
    for mirror in mirrors:
        mirror.close()
    return _exit_code(finished, _judge(plans, store, ask, How()))


def _judge(plans: Sequence[Plan], store: Store, ask: Ask, how: How) -> Work:
    work = Work(plans)
    for plan in plans:
        for verdict in assess(plan, store, data_root=ask.data_root, force=how.force):
            work.verdicts.setdefault(verdict.run.eval_key, verdict)
            work.profiles.setdefault(verdict.run.eval_key, plan.profile)
        for goal in assess_goals(plan, store, data_root=ask.data_root, force=how.force):
            work.goals.setdefault((goal.need.kind, goal.need.key), goal)
            work.profiles.setdefault(goal.need.key, plan.profile)
    return work


def _by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, reason in pairs:
        groups.setdefault(reason, []).append(name)
    return groups


def _announce(
    plans: Sequence[Plan], work: Work, ask: Ask, devices: Sequence[str], slots: int, how: How
) -> None:
    lines = dict.fromkeys(common.profile_line(plan, ask.profile) for plan in plans)
    where = f"on {', '.join(dict.fromkeys(devices))}, {slots} at a time, {how.threads} thread(s) each"
    say(f"{'; '.join(lines)}; {where}; results in {ask.store}")
    for line in common.stand_in_lines(plans):
        say(line)
    say(look.totals(list(work.verdicts.values()), list(work.goals.values()), slots))


def _carry_out(
    tasks: Sequence[Task],
    store: Store,
    ask: Ask,
    how: How,
    devices: tuple[str, ...],
    slots: int,
    mirrors: Sequence[Mirror],
) -> Finished:
    if how.retry:
        for task in tasks:
            if task.run is not None:
                store.clear(task.run)
    if how.in_process:
        return _in_process(tasks, store, ask, how, devices[0])

    def on_end(ended: Ended) -> None:
        for mirror in mirrors:
            mirror.update()

    from suite.executors.display import display
    from suite.executors.local import carry_out

    options = Options(
        store=store.root.absolute(),
        data_root=ask.data_root.absolute() if ask.data_root else None,
        slots=min(slots, len(tasks)),
        threads=how.threads,
        devices=devices,
        keep=how.keep,
        fail_fast=how.fail_fast,
        checkpoint_every=how.checkpoint_every,
        on_end=on_end,
    )
    return carry_out(tasks, options, display(len(tasks), common.console()))


def _in_process(tasks: Sequence[Task], store: Store, ask: Ask, how: How, device: str) -> Finished:
    """One after another in this process: prints, breakpoints and tracebacks come through; the first error
    ends it.
    """
    from dataclasses import replace

    from suite.detector import Interrupted
    from suite.job import Busy
    from suite.run import execute, make_artefact

    ended: list[Ended] = []
    forced: set[str] = set()
    with _asked_to_stop() as stopping:
        conditions = Conditions(
            device=device,
            threads=how.threads,
            data_root=ask.data_root,
            keep=how.keep,
            checkpoint_every=how.checkpoint_every,
            stop=lambda: bool(stopping),
        )
        for number, task in enumerate(tasks):
            force: Force = "score" if task.run and task.force and task.place in forced else task.force
            forced.add(task.place)
            keep: Keep = "all" if task.place in {other.place for other in tasks[number + 1 :]} else how.keep
            say(f"[{number + 1}/{len(tasks)}] {task.label}")
            mine = replace(conditions, profile=task.profile, force=force, keep=keep)
            try:
                outcome = execute(task.run, store, mine) if task.run else None
                if task.need is not None:
                    make_artefact(task.need, store, mine)
            except (Interrupted, KeyboardInterrupt):
                return Finished(tuple(ended), interrupted=True)
            except Busy as error:
                say(f"left out: {error}")
                ended.append(Ended(task, "busy", str(error)))
                continue
            auroc = outcome.metrics["auroc"] if outcome else None
            say("done" if auroc is None else f"AUROC {auroc:.3f}")
            ended.append(Ended(task, "done", auroc=auroc))
    return Finished(tuple(ended))


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """The signals that came: the first asks for a checkpoint, the second ends at once."""
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt
        say("stopping at the next checkpoint; Ctrl-C once more stops at once")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit_code(finished: Finished, after: Work) -> int:
    failed = [*after.due(["failed"]), *after.due_goals(["failed"])]
    if failed or any(one.end != "done" for one in finished.ended):
        return FAILED
    states = {one.state for one in after.verdicts.values()} | {one.state for one in after.goals.values()}
    return FAILED if states == {"blocked"} else OK


def _slots(devices: Sequence[str], threads: int) -> int:
    if devices[0] != "cpu":
        return len(devices)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


def _mirrors(plans: Sequence[Plan], store: Store, how: How) -> list[Mirror]:
    if not how.mirror:
        return []
    from suite.tracking import Mirror

    return [Mirror(plan, store, how.tracking_uri) for plan in plans if plan.runs]
