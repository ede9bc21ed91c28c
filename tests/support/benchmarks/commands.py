"""Commands as a user starts them: start-up, 10,000 runs, and two workers against one.

Each is a process of its own, whose processor seconds are counted. Of the workers wall seconds are, of 12 short runs
by one of one thread and by two; only their ratio means something (on two idle cores it should be 1.8 or more). The
artefacts that all twelve share are there before: one worker alone makes them, however many there are.
"""

from __future__ import annotations

import shutil
import sys
from functools import cache
from itertools import count
from pathlib import Path

import scale
from rich.console import Console

from benchmarks.case import Case, Work
from suite.executors import Options, Task
from suite.executors.display import Display
from suite.executors.local import carry_out
from suite.plan import Plan, expand
from suite.spec import load_spec

SUITE = (sys.executable, "-m", "suite.cli")
RUNS = 10_000
WORKERS = {slots: f"workers: 12 smoke runs by {slots} (wall seconds)" for slots in (1, 2)}


def starting(*arguments: str) -> Case:
    def make(scratch: Path) -> Work:
        command = [*SUITE, *arguments]
        command += ["--store", str(scratch / "empty")] if "plan" in arguments else []
        return Work(lambda: scale.told(command, scratch), None)

    return Case(f"start-up: suite {' '.join(arguments)}", make, 5)


@cache
def _store(scratch: Path) -> Path:
    """The folder of the finished runs, made once."""
    folder = scratch / "scale"
    scale.build(folder, RUNS)
    return folder


def scaled(name: str) -> Case:
    def make(scratch: Path) -> Work:
        folder = _store(scratch)
        return Work(lambda: scale.told(scale.commands(folder)[name], folder), None)

    return Case(f"scale: {name} of {RUNS:,} runs", make, aim=scale.LIMITS.get(name))


def working(slots: int) -> Case:
    def make(scratch: Path) -> Work:
        store, number = _artefacts(scratch), count()
        return Work(
            lambda: work(slots, shutil.copytree(store, scratch / f"{slots}-workers-{next(number)}")), None
        )

    return Case(WORKERS[slots], make, wall=True)


@cache
def _artefacts(scratch: Path) -> Path:
    """A store that holds what the twelve runs share (images and a diffusion model), made once."""
    store, plan = scratch / "workers", _twelve()
    _carry_out([Task(need=need, goal=True, profile=plan.profile) for need in plan.artefacts], store, 1)
    return store


def work(slots: int, store: Path) -> None:
    """The twelve runs, carried out in a store that is thrown away after."""
    plan = _twelve()
    _carry_out([Task(run, profile=plan.profile) for run in plan.runs], store, slots)
    shutil.rmtree(store)


def _twelve() -> Plan:
    """Six seeds of DIA and of CSI on the phantom under the profile ``smoke``."""
    return expand(
        load_spec("quickstart"), profile="smoke", only={"method": ["dia", "csi"]}, seeds=tuple(range(6))
    )


def _carry_out(tasks: list[Task], store: Path, slots: int) -> None:
    finished = carry_out(tasks, Options(store, slots=slots), Display(len(tasks), Console(quiet=True)))
    if any(one.end != "done" for one in finished.ended):
        raise RuntimeError(f"not all were done: {finished.ended}")


def cases() -> list[Case]:
    return [
        starting("--help"),
        starting("plan", "main_results"),
        *(scaled(name) for name in scale.commands(Path())),
        *(working(slots) for slots in WORKERS),
    ]
