"""Runs one after another in this very process, for debugging: prints, breakpoints and tracebacks come through, and
the first error ends it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from suite.detector import Interrupted
from suite.executors import Ended, Finished, Options, Task
from suite.job import Busy, Conditions, Force, Keep
from suite.registry import Place
from suite.run import execute, make_artefact
from suite.store import Store


def carry_out(tasks: Sequence[Task], options: Options) -> Finished:
    """Carry out runs and make artefacts on the first device. Raises what goes wrong in one."""
    store, ended, deadline = Store(options.store), list[Ended](), options.deadline
    forced: set[Place] = set()
    with _asked_to_stop() as came:

        def late() -> bool:
            return deadline is not None and deadline.near

        conditions = Conditions(
            device=options.devices[0],
            threads=options.threads,
            data_root=options.data_root,
            checkpoint_every=options.checkpoint_every,
            stop=lambda: bool(came) or late(),
        )
        for number, task in enumerate(tasks):
            force: Force = "score" if task.run and task.force and task.place in forced else task.force
            forced.add(task.place)
            again = task.place in {other.place for other in tasks[number + 1 :]}
            keep: Keep = "all" if again else options.keep
            print(f"[{number + 1}/{len(tasks)}] {task.label}", flush=True)
            mine = replace(conditions, profile=task.profile, force=force, keep=keep)
            try:
                if conditions.stop():
                    raise Interrupted
                ended.append(_one(task, store, mine))
            except (Interrupted, KeyboardInterrupt):
                return Finished(tuple(ended), interrupted=bool(came) or not late(), late=late())
            options.on_end(ended[-1])
    return Finished(tuple(ended))


def _one(task: Task, store: Store, conditions: Conditions) -> Ended:
    try:
        if task.need is not None:
            make_artefact(task.need, store, conditions)
        outcome = execute(task.run, store, conditions) if task.run else None
    except Busy as error:
        print(f"left out: {error}", flush=True)
        return Ended(task, "busy", str(error))
    auroc = outcome.metrics["auroc"] if outcome else None
    print("done" if auroc is None else f"AUROC {auroc:.3f}", flush=True)
    return Ended(task, "done", auroc=auroc)


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """The signals that came: the first asks for a checkpoint, the second ends at once."""
    came: list[int] = []

    def handle(number: int, frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt
        print("stopping at the next checkpoint; Ctrl-C once more stops at once", flush=True)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
