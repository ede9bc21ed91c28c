"""The schedule that all executors share: tasks into slots, artefacts before the runs that want them, orderly ends.

A slot is where one task is carried out at a time; what stands behind it (a process of this machine, a part of
a cluster) is the executor's affair. Two executors on one store share the work: a run that another process has
is left to it, and looked at again until it is done there or free. The first SIGINT or SIGTERM, or the nearness
of a deadline, asks the slots to stop at a checkpoint; the second signal, or the deadline itself, kills them.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from suite import claims
from suite.executors import Ended, Finished, Options, Task
from suite.executors.display import Display
from suite.executors.order import longest_first, with_artefacts
from suite.job import Keep
from suite.registry import Place
from suite.store import Store, now

TICK = 0.2
LOOK = 1.0
"""Seconds between two looks at runs that other processes have."""
LIVES = 3
"""How often a task may lose its worker to a kill before it counts as failed (out of memory, most likely)."""


class Slot(Protocol):
    """A place where one task runs at a time; its answers come through a queue.

    ``task`` is what it does at the moment, since ``began`` (monotonic seconds).
    """

    number: int
    device: str
    task: Task | None
    began: float

    def give(self, task: Task, keep: Keep) -> None:
        """Start a task."""

    def finish(self, answer: dict[str, Any] | None) -> Ended | None:
        """What an answer says about the task at hand, which is over; None when there was none."""

    def progress(self) -> dict[str, Any]:
        """What the task at hand last told of itself."""

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end."""

    def kill(self) -> None:
        """End the task at once."""

    def dismiss(self) -> None:
        """Nothing more comes; does not wait."""

    def close(self) -> None:
        """Give back what the slot holds, after :meth:`dismiss`."""


Answers = SimpleQueue[tuple[Slot, dict[str, Any] | None]]
"""What slots were answered; None when what stands behind the slot is gone."""


class Schedule:
    """One invocation. All decisions are made in its one thread.

    ``grow`` is told now and then how many slots would have something to do, and may add to ``slots`` and remove
    idle ones.
    """

    def __init__(
        self,
        tasks: Iterable[Task],
        options: Options,
        display: Display,
        slots: Sequence[Slot],
        answers: Answers,
        grow: Callable[[int], None] | None = None,
    ) -> None:
        self.options, self.display = options, display
        self.slots, self.answers, self.grow = slots, answers, grow
        self.store = Store(options.store)
        self.waiting = longest_first(with_artefacts(list(tasks), self.store))
        self.elsewhere: list[Task] = []
        self.ended: list[Ended] = []
        self.lives: dict[tuple[Place, str], int] = {}
        self.broken: dict[Place, str] = {}
        self.fitted: set[Place] = set()
        self.signals = 0
        self.heeded = self.late = self.given_up = self.killed = False
        self.looked = 0.0

    @property
    def stopping(self) -> bool:
        return self.signals > 0 or self.late or self.given_up

    @property
    def busy(self) -> list[Slot]:
        return [slot for slot in self.slots if slot.task is not None]

    def work(self) -> Finished:
        """Carry out the tasks, with the artefacts that they want before them. One Ended for each task given,
        in the order of ending.
        """
        with _signals(self._on_signal), self.display.showing(self.slots):
            try:
                while self.busy or (not self.stopping and (self.waiting or self.elsewhere or self._fed())):
                    self._heed()
                    if self.grow is not None and not self.stopping:
                        self.grow(len(self.busy) + self._startable())
                    self._deal()
                    self._listen()
                    self._look_elsewhere()
                    self.display.tick()
                for task in [*self.waiting, *self.elsewhere]:
                    self._end(Ended(task, "skipped", "not begun: asked to stop"))
            finally:
                for slot in self.slots:
                    slot.dismiss()
                for slot in self.slots:
                    slot.close()
        return Finished(tuple(self.ended), self.signals > 0, self.late)

    def _fed(self) -> bool:
        """Ask for more tasks; False when there will be none."""
        tasks = self.options.more()
        if tasks is None:
            return False
        self.waiting = longest_first([*self.waiting, *with_artefacts(tasks, self.store)])
        return True

    def _listen(self) -> None:
        try:
            slot, answer = self.answers.get(timeout=TICK)
        except Empty:
            return
        if (ended := slot.finish(answer)) is not None:
            self._take(ended)

    # Dealing

    def _deal(self) -> None:
        for slot in self.slots:
            while slot.task is None and not self.stopping and (task := self._next()) is not None:
                self.waiting.remove(task)
                if (found := self._found(task)) is not None and not task.force:
                    self._end(found)
                elif (owner := claims.owner(task.folder(self.store))) is not None and owner.alive:
                    self.elsewhere.append(task)
                    self.display.elsewhere(task, f"running on {owner}")
                else:
                    slot.give(self._forced(task), self._keep(task))
                    self.display.began(slot)

    def _next(self) -> Task | None:
        """The first task that may start: its artefacts are made, and nobody works on the same fit."""
        occupied, making = self._occupied(), self._making()
        for task in list(self.waiting):
            if reason := self._broken(task):
                self.waiting.remove(task)
                self._end(Ended(task, "failed", reason))
            elif task.place not in occupied and not _wants(task, making):
                return task
        return None

    def _startable(self) -> int:
        """How many waiting tasks could start at once."""
        making, occupied = self._making(), self._occupied()
        return len({task.place for task in self.waiting if not _wants(task, making)} - occupied)

    def _occupied(self) -> set[Place]:
        return {slot.task.place for slot in self.busy if slot.task} | {task.place for task in self.elsewhere}

    def _making(self) -> set[Place]:
        """The artefacts that are still to be made."""
        others = [*self.waiting, *self.elsewhere, *(slot.task for slot in self.busy if slot.task)]
        return {other.need.place for other in others if other.need is not None}

    def _broken(self, task: Task) -> str:
        """Why a task cannot succeed: an artefact, or the fit that it shares, failed in this invocation."""
        reason = next((self.broken[need.place] for need in task.needs if need.place in self.broken), "")
        if reason and task.run is not None:
            self.store.fail(task.run, reason, stage="fit")
        return reason or (self.broken.get(task.place, "") if task.run is not None else "")

    def _forced(self, task: Task) -> Task:
        """Several evaluations of a fit that is to be made again make it again once."""
        if task.run is None:
            return task
        if task.force == "fit" and task.place in self.fitted:
            return replace(task, force="score")
        self.fitted.add(task.place)
        return task

    def _keep(self, task: Task) -> Keep:
        """Nothing of a fit is removed while another run of this invocation wants it."""
        wanted = any(other.run is not None and other.place == task.place for other in self.waiting)
        return "all" if wanted else self.options.keep

    # Ends

    def _take(self, ended: Ended) -> None:
        """A worker's answer."""
        task = ended.task
        if ended.end == "busy":
            self.elsewhere.append(task)
            self.display.elsewhere(task, ended.reason)
        elif ended.end == "died" and not self.stopping and self._lives_on(ended):
            self.waiting.insert(0, task)
        elif ended.end == "died":
            self._end(self._buried(ended))
        else:
            self._end(ended)

    def _lives_on(self, ended: Ended) -> bool:
        run = ended.task.run
        place = ended.task.place, run.eval_key if run else ""
        self.lives[place] = self.lives.get(place, LIVES) - 1
        return self.lives[place] > 0 and ended.restart

    def _buried(self, ended: Ended) -> Ended:
        if self.stopping:
            return replace(ended, end="interrupted", reason="stopped at once")
        run, need = ended.task.run, ended.task.need
        hint = f", {LIVES} times: out of memory, most likely (fewer at a time: -j or --per-device)"
        reason = ended.reason + hint * ended.restart
        # The dead worker could say nothing of it itself.
        with suppress(OSError), (ended.task.folder(self.store) / "log.txt").open("a") as log:
            log.write(f"{now()} failed: {reason}\n")
        if need is not None:
            self.store.fail_artefact(need, reason)
        if run is not None:
            # The dead worker's claim is taken over and given back, or the run would count as interrupted.
            with self.store.claim(self.store.run_folder(run.train_key)) or nullcontext():
                self.store.fail(run, reason, stage="fit")
        return replace(ended, end="failed", reason=reason)

    def _end(self, ended: Ended) -> None:
        task = ended.task
        if ended.end == "failed":
            if task.need is not None:
                self.broken[task.place] = f"{task.need.label or task.need.kind}: {ended.reason}"
            elif (
                task.run and (state := self.store.state(task.run)).name == "failed" and self._fit_failed(task)
            ):
                self.broken[task.place] = state.reason
            if self.options.fail_fast and not self.stopping:
                self._give_up("stopping at the first failure (--fail-fast)")
        if ended.end == "halted" and not self.stopping:
            self._give_up("stopping: the rest would fare alike")
        if task.asked:
            self.ended.append(ended)
            self.options.on_end(ended)
        self.display.ended(ended)

    def _fit_failed(self, task: Task) -> bool:
        return (task.folder(self.store) / "state.json").exists()

    def _look_elsewhere(self) -> None:
        """Runs that other processes have: done there, failed there, or free again."""
        if self.stopping or time.monotonic() - self.looked < LOOK:
            return
        self.looked = time.monotonic()
        for task in list(self.elsewhere):
            if (ended := self._found(task)) is not None:
                self.elsewhere.remove(task)
                self._end(ended)
            elif not claims.held(task.folder(self.store)):
                self.elsewhere.remove(task)
                state = self.store.state(task.run) if task.run else None
                if state is not None and state.name == "failed":
                    self._end(Ended(task, "failed", state.reason, elsewhere=True))
                else:
                    self.waiting.insert(0, task)

    def _found(self, task: Task) -> Ended | None:
        if task.need is not None:
            return Ended(task, "done", elsewhere=True) if self.store.artefact(task.need) else None
        assert task.run is not None
        outcome = self.store.outcome(task.run.train_key, task.run.eval_key)
        if outcome is not None and not (task.force and claims.held(task.folder(self.store))):
            return Ended(task, "done", auroc=outcome.metrics["auroc"], elsewhere=True)
        return None

    # Stopping

    def _on_signal(self) -> None:
        # Only counted here: a handler may come in the middle of anything.
        self.signals += 1

    def _heed(self) -> None:
        """Stop in good order, or at once, if there is reason to."""
        deadline = self.options.deadline
        if self.signals and not self.heeded:
            self.heeded = True
            self._stop("stopping at the next checkpoint; Ctrl-C once more stops at once")
        if deadline is not None and deadline.near and not self.stopping:
            self.late = True
            self._stop("the time is nearly up (--max-time): stopping at the next checkpoint")
        at_once = self.signals > 1 or (self.late and deadline is not None and deadline.here)
        if at_once and not self.killed:
            self.killed = True
            for slot in self.slots:
                slot.kill()

    def _give_up(self, why: str) -> None:
        self.given_up = True
        self._stop(why)

    def _stop(self, why: str) -> None:
        self.display.line(why)
        for slot in self.busy:
            slot.ask_to_stop()


def _wants(task: Task, making: Collection[Place]) -> bool:
    """Whether an artefact that a task needs is still to be made by another."""
    return any(need.place in making for need in task.needs)


@contextmanager
def _signals(handle: Any) -> Iterator[None]:
    """Have ``handle`` called for SIGINT and SIGTERM (only possible in the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: handle()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
