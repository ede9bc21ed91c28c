"""Runs on this machine: a schedule over worker processes, one in each slot."""

from __future__ import annotations

from collections.abc import Iterable
from queue import SimpleQueue

from suite.executors import Finished, Options, Task
from suite.executors.display import Display
from suite.executors.schedule import Answers, Schedule
from suite.executors.slots import WorkerSlot


def carry_out(tasks: Iterable[Task], options: Options, display: Display) -> Finished:
    """Carry out runs and make artefacts in worker processes; see :meth:`Schedule.work`."""
    answers: Answers = SimpleQueue()
    devices = options.devices
    slots = [
        WorkerSlot(number, devices[number % len(devices)], options, answers)
        for number in range(max(1, options.slots))
    ]
    return Schedule(tasks, options, display, slots, answers).work()
