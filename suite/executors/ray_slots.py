"""Slots on a Ray cluster: each stands for a host actor on some machine that holds the processors and the share of a
GPU of one run.

A thread for each task at work does what takes time: it claims the task's folder, so that the driver alone writes
the store, sends what is needed, passes on the progress, and lands what comes back.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from suite import claims, files
from suite.data.errors import DataMissing
from suite.executors import Ended, Task
from suite.executors.parcel import checker, land
from suite.executors.ray_depot import Depot
from suite.executors.ray_node import Order
from suite.executors.schedule import Answers
from suite.job import Keep
from suite.run import reason_of
from suite.store import Store

GLANCE = 1.0
"""Seconds between two looks at a task's progress."""
FAREWELL = 20.0
"""Seconds that a host has for an orderly end."""
PATIENCE = 2.0
"""Seconds after which a task that is to end at once counts as ended, whatever its host says."""


@dataclass
class RaySlot:
    """A :class:`~suite.executors.schedule.Slot` with a host actor. ``lost``: its actor is gone, nothing more can be
    given to it. ``shared``: the store is where the hosts see it, and they write in it themselves.
    """

    number: int
    device: str
    node: str
    host: Any
    store: Store
    depot: Depot
    answers: Answers
    shared: bool = False
    task: Task | None = None
    began: float = field(default_factory=time.monotonic)
    lost: bool = False
    _told: dict[str, Any] = field(default_factory=dict)
    _thread: threading.Thread | None = None
    _leaving: Any = None
    _open: Task | None = None
    _once: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def give(self, task: Task, keep: Keep) -> None:
        self.task, self.began, self._told = task, time.monotonic(), {}
        self._open = task
        self._thread = threading.Thread(target=self._work, args=(task, keep), daemon=True)
        self._thread.start()

    def finish(self, answer: dict[str, Any] | None) -> Ended | None:
        task, self.task = self.task, None
        seconds = time.monotonic() - self.began
        self.began = time.monotonic()
        if task is None or answer is None:
            return None
        known = {name: answer[name] for name in ("auroc", "restart", "elsewhere") if name in answer}
        return Ended(task, answer["end"], answer.get("reason", ""), answer.get("seconds", seconds), **known)

    def progress(self) -> dict[str, Any]:
        return self._told

    def ask_to_stop(self) -> None:
        self._tell("stop")

    def kill(self) -> None:
        self._tell("kill")
        self.lost = True
        timer = threading.Timer(PATIENCE, self._give_up, args=(self.task,))
        timer.daemon = True
        timer.start()

    def _give_up(self, task: Task | None) -> None:
        if task is not None:
            self._reply(task, {"end": "died", "reason": "stopped at once"})

    def _tell(self, what: str) -> Any:
        with suppress(Exception):  # the actor is gone: whoever waits for it hears so
            return getattr(self.host, what).remote()

    def dismiss(self) -> None:
        self._leaving = None if self.lost else self._tell("close")

    def close(self) -> None:
        if self._leaving is not None:
            ray.wait([self._leaving], timeout=FAREWELL)
        with suppress(Exception):
            ray.kill(self.host)
        if self._thread is not None:
            self._thread.join(FAREWELL)

    # The thread of a task

    def _work(self, task: Task, keep: Keep) -> None:
        try:
            answer = self._answer(task, keep)
        except DataMissing as error:
            answer = {"end": "blocked", "reason": reason_of(error)}
        except OSError as error:  # the driver's disk: says nothing about the run
            answer = {"end": "failed", "reason": reason_of(error)}
        except Exception as error:
            answer = {"end": "died", "reason": reason_of(error)}
        self._reply(task, answer)

    def _reply(self, task: Task, answer: dict[str, Any]) -> None:
        """The one answer for a task, whoever has it first."""
        with self._once:
            if self._open is task:
                self._open = None
                self.answers.put((self, answer))

    def _answer(self, task: Task, keep: Keep) -> dict[str, Any]:
        folder = task.folder(self.store)
        if self.shared:
            return self._carried_out(Order(task, keep), folder)
        held = self.store.claim(folder, node=self.device)
        if held is None:
            return {"end": "busy", "reason": f"running on {claims.owner(folder) or 'another process'}"}
        with held:
            if (found := self._found(task)) is not None:
                return found
            self._told = {"stage": "sending"}
            order = self.depot.order(task, keep)
            assert order.own is not None
            answer = self._carried_out(order, folder)
            if (parcel := answer.pop("parcel", None)) is None:
                return answer
            if held.lost:
                return {"end": "busy", "reason": "another process took it over"}
            self._told = {"stage": "landing"}
            check = checker(task, done=answer["end"] == "done")
            try:
                land(parcel, _get, folder, {*order.own.names, "progress.json"}, check)
            except RayError as error:
                return self._bereaved(error)
            return answer

    def _found(self, task: Task) -> dict[str, Any] | None:
        """The result, if another process has come to it between the look and the claim."""
        if task.force:
            return None
        if task.need is not None:
            return None if self.store.artefact(task.need) is None else {"end": "done", "elsewhere": True}
        assert task.run is not None
        outcome = self.store.outcome(task.run.train_key, task.run.eval_key)
        if outcome is None:
            return None
        return {"end": "done", "auroc": outcome.metrics["auroc"], "elsewhere": True}

    def _carried_out(self, order: Order, folder: Path) -> dict[str, Any]:
        """The host's answer."""
        self._told = {"stage": "starting"}
        try:
            answer = self.host.carry_out.remote(order)
            while not ray.wait([answer], timeout=GLANCE)[0]:
                self._look(folder)
            return dict(ray.get(answer))
        except RayTaskError as error:
            # An error of the machine (a full disk) may not come again on another.
            return {
                "end": "died",
                "reason": f"{self.device}: {reason_of(error.cause)}",
                "restart": isinstance(error.cause, OSError),
            }
        except RayError as error:
            return self._bereaved(error)

    def _bereaved(self, error: RayError) -> dict[str, Any]:
        """A host that is gone says nothing about the run: it is worth another try elsewhere."""
        self.lost = True
        reason = f"its machine ({self.device}) was lost: {type(error).__name__}"
        return {"end": "died", "reason": reason, "restart": True}

    def _look(self, folder: Path) -> None:
        if self.shared:
            self._told = dict(files.peek_json(folder / "progress.json")) or self._told
            return
        with suppress(RayError):
            told = ray.get(self.host.progress.remote(), timeout=GLANCE)
            if told and told != self._told:
                self._told = told
                with suppress(OSError):
                    files.write_json(folder / "progress.json", told, durable=False)


def _get(chunk: Any) -> bytes:
    return bytes(ray.get(chunk))
