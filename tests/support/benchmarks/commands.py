"""Commands as a user starts them: start-up, 10,000 runs, and two workers against one.

Each is a process of its own, whose processor seconds are counted. Of the workers wall seconds are, of 12 short runs
by one of one thread and by two; only their ratio means something (on two idle cores it should be 1.8 or more).
"""

from __future__ import annotations

import sys
import tempfile
from functools import cache
from pathlib import Path

import scale
from rich.console import Console

from benchmarks.case import Case, Work
from suite.executors import Options, Task
from suite.executors.display import Display
from suite.executors.local import carry_out
from suite.plan import expand
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
        return Work(lambda: work(slots), None)

    return Case(WORKERS[slots], make, wall=True)


def work(slots: int) -> None:
    """The quick start's runs under the profile ``smoke`` in a store of their own."""
    plan = expand(load_spec("quickstart"), profile="smoke")
    tasks = [Task(run, profile=plan.profile) for run in plan.runs]
    with tempfile.TemporaryDirectory() as folder:
        options = Options(store=Path(folder), slots=slots)
        finished = carry_out(tasks, options, Display(len(tasks), Console(quiet=True)))
    if any(one.end != "done" for one in finished.ended):
        raise RuntimeError(f"not all were done: {finished.ended}")


def cases() -> list[Case]:
    return [
        starting("--help"),
        starting("plan", "main_results"),
        *(scaled(name) for name in scale.commands(Path())),
        *(working(slots) for slots in WORKERS),
    ]
