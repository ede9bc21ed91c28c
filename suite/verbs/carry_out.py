"""Verbs that compute: run and retry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from suite.assess import History
from suite.deadline import Deadline
from suite.executors import Ended, Finished, Options, Task
from suite.executors.choice import Executor, Remote, executor
from suite.goals import Goal, assess_goals
from suite.job import Force, Keep
from suite.plan import Assessment, Plan, assess
from suite.store import Store
from suite.verbs import common, look
from suite.verbs.common import FAILED, INTERRUPTED, OK, UNFINISHED, Ask, say
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from suite.tracking import Mirror

MAY_RUN = ("to run", "interrupted", "running")
OVER = ("done", "failed", "blocked")
"""Ends of tasks that the same command would not come back to."""


@dataclass(frozen=True)
class How:
    """How runs are carried out, as the options say. ``slots``: the device of each place for a run."""

    slots: tuple[str, ...] = ("cpu",)
    remote: Remote | None = None
    threads: int = 1
    keep: Keep = "all"
    limit: int | None = None
    force: bool = False
    fail_fast: bool = False
    in_process: bool = False
    retry: bool = False
    checkpoint_every: float = 60.0
    deadline: Deadline | None = None
    out: Path = Path("reports/out")
    mirror: bool = True
    tracking_uri: str | None = None

    def executor(self, *, needed: bool = True) -> AbstractContextManager[Executor]:
        """Where runs happen."""
        return executor(
            self.slots, self.threads, in_process=self.in_process, remote=self.remote, needed=needed
        )


@dataclass
class Work:
    """What there is to do for some plans: one verdict for each run that any of them needs, and for each
    artefact that any of them shows.
    """

    plans: Sequence[Plan]
    history: History
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
            Task(run=one.run, force=how, profile=self.profiles[one.run.eval_key]) for one in self.due(states)
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
    states = ("failed", "interrupted") if how.retry else MAY_RUN
    tasks = work.tasks(states, how.force)[: how.limit]
    finished = Finished(())
    with how.executor(needed=bool(tasks)) as place:
        _announce(plans, work, ask, how, place)
        if tasks:
            tasks = _foreseen(tasks, work.history, ask, how, place)
        _tell_what_is_left_out(work, ask, how)
        mirror = _mirror(plans, store, ask, how)
        if tasks:
            for plan in plans:
                common.remember(plan, ask, store)
            finished = _carry_out(tasks, store, ask, how, place, mirror)
    if finished.interrupted:
        say("interrupted; the same command goes on from here")
        return INTERRUPTED
    left = len(tasks) - sum(one.end in OVER for one in finished.ended)
    if finished.late and left:
        say(
            f"unfinished: the time is up, {left} of {len(tasks)} are left; the same command goes on from here"
        )
        return UNFINISHED
    look.show_tables(plans, store, ask.data_root, how.out, ("md", "tex", "png", "pdf"))
    if mirror is not None:
        mirror.close()
    return _exit_code(finished, _judge(plans, store, ask, How()))


def _tell_what_is_left_out(work: Work, ask: Ask, how: How) -> None:
    blocked = Counter((one.run.dataset, one.reason) for one in work.due(["blocked"]))
    stuck = [(f"{count} of {name}", reason) for (name, reason), count in blocked.items()]
    stuck += [(str(one.need), one.reason) for one in work.due_goals(["blocked"])]
    for reason, names in _by_reason(stuck).items():
        say(f"{', '.join(names)} blocked: {reason}")
    if not how.retry and (failed := [*work.due(["failed"]), *work.due_goals(["failed"])]):
        say(f"{len(failed)} failed before and are left alone: suite retry {' '.join(ask.specs)}")


def _judge(plans: Sequence[Plan], store: Store, ask: Ask, how: How) -> Work:
    work = Work(plans, History(store))
    for plan in plans:
        for verdict in assess(plan, store, data_root=ask.data_root, force=how.force, history=work.history):
            work.verdicts.setdefault(verdict.run.eval_key, verdict)
            work.profiles.setdefault(verdict.run.eval_key, plan.profile)
        for goal in assess_goals(plan, store, data_root=ask.data_root, force=how.force):
            work.goals.setdefault(goal.need.place, goal)
            work.profiles.setdefault(goal.need.key, plan.profile)
    return work


def _by_reason(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, reason in pairs:
        groups.setdefault(reason, []).append(name)
    return groups


def _announce(plans: Sequence[Plan], work: Work, ask: Ask, how: How, place: Executor) -> None:
    lines = dict.fromkeys(common.profile_line(plan, ask.profile) for plan in plans)
    where = f"on {place.where}, {place.places} at a time, {how.threads} thread(s) each"
    say(f"{'; '.join(lines)}; {where}; results in {ask.store}")
    for line in common.stand_in_lines(plans):
        say(line)
    say(look.totals(list(work.verdicts.values()), list(work.goals.values())))


def _foreseen(tasks: Sequence[Task], history: History, ask: Ask, how: How, place: Executor) -> list[Task]:
    """Tell what there is to come; the tasks with what the store tells of their time. SpecErrors when the disk cannot
    hold it.
    """
    from suite.executors import foresight
    from suite.executors.order import with_artefacts
    from suite.past import Past

    store = history.store
    past = Past(store, place.device.partition(":")[0], history.outcomes.values)
    tasks = foresight.timed(tasks, past)
    every = with_artefacts(tasks, store, past)
    seen = foresight.foresee(every, past, keep=how.keep, slots=place.places, data_root=ask.data_root)
    remedy = "free some, keep less (--keep last, --keep none), or take another --store"
    if seen.impossible:
        least, free = foresight.amount(seen.sure), foresight.amount(seen.free)
        raise SpecErrors(
            [f"{store.root}: {least} of disk are needed at least, and {free} are free: {remedy}"]
        )
    say(str(seen))
    if seen.tight:
        say(f"warning: the disk may get full before all is done: {remedy}")
    if how.deadline is not None and seen.seconds > how.deadline.seconds:
        say("this is more than --max-time: some will be left, for the same command to go on with")
    return tasks


def _carry_out(
    tasks: Sequence[Task], store: Store, ask: Ask, how: How, place: Executor, mirror: Mirror | None
) -> Finished:
    if how.retry:
        for task in tasks:
            if task.run is not None:
                store.clear(task.run)

    def on_end(ended: Ended) -> None:
        if mirror is not None:
            mirror.update()

    options = Options(
        store=store.root.absolute(),
        data_root=ask.data_root.absolute() if ask.data_root else None,
        slots=min(place.at_most or len(tasks), len(tasks)),
        threads=how.threads,
        devices=how.slots,
        keep=how.keep,
        fail_fast=how.fail_fast,
        checkpoint_every=how.checkpoint_every,
        deadline=how.deadline,
        on_end=on_end,
    )
    from suite.executors.display import display

    return place.carry_out(tasks, options, display(len(tasks), common.console()))


def _exit_code(finished: Finished, after: Work) -> int:
    failed = [*after.due(["failed"]), *after.due_goals(["failed"])]
    if failed or any(one.end != "done" for one in finished.ended):
        return FAILED
    states = {one.state for one in after.verdicts.values()} | {one.state for one in after.goals.values()}
    return FAILED if states == {"blocked"} else OK


def _mirror(plans: Sequence[Plan], store: Store, ask: Ask, how: How) -> Mirror | None:
    if not how.mirror:
        return None
    from suite.tracking import Mirror

    return Mirror(plans, store, how.tracking_uri, ask.data_root)
