"""One case to its result: counted, then timed with the machine's rates in between."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.case import Case
from benchmarks.counting import counted
from benchmarks.machine import SAMPLES, Machine, shares


def cpu() -> float:
    """Processor seconds of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


SHORT, LOOPS = 0.2, 100
"""Seconds below which work is done several times, up to ``LOOPS``, for one reading."""
LONG = 5.0
"""Seconds above which one reading is enough."""


def measure(case: Case, machine: Machine, scratch: Path) -> dict[str, Any]:
    """``seconds`` of the work (the median of the repeats) and ``best``, its ``wall`` seconds, the rates, what was
    counted, and the share of either rate that was reached; ``total``: all that the case took, wall. Counting warms the
    caches; what is not counted is done once before, if it is short enough to be repeated.
    """
    begun = time.monotonic()
    work = case.make(scratch)
    found = counted(work.counted) if work.counted else {}
    if work.counted is None and case.repeats > 1:
        work.run()
    gaps, spent, at_once = shares(case.repeats + 1), [], 1
    rates = machine.sample(gaps[0])
    for count in gaps[1:]:
        reading = timed(work.run, at_once)
        if not spent and case.repeats > 1 and reading[0] < SHORT:
            at_once = math.ceil(SHORT / max(reading[0], SHORT / LOOPS))
            reading = timed(work.run, at_once)
        spent.append(reading)
        rates += machine.sample(count)
        if reading[0] > LONG:
            break
    rates += machine.sample(SAMPLES - len(rates))
    found = {name: value * work.times for name, value in found.items()}
    return {**judged(spent, case.wall, rates, found), "at_once": at_once, "total": time.monotonic() - begun}


def judged(
    spent: Sequence[tuple[float, float]],
    wall: bool,
    rates: Sequence[tuple[float, float]],
    found: Mapping[str, float],
) -> dict[str, Any]:
    """The readings (processor and wall seconds, of which ``wall`` says which count) held against the rates."""
    seconds = [reading[wall] for reading in spent]
    products, copies = zip(*rates, strict=True)
    result: dict[str, Any] = {
        "seconds": median(seconds),
        "best": min(seconds),
        "wall": min(reading[1] for reading in spent),
        "repeats": len(spent),
        "rates": [round(rate, 1) for rate in products],
        "copies": [round(rate, 2) for rate in copies],
        **found,
    }
    for share, amount, rate in (
        ("share", "gflop", max(products)),
        ("share_padded", "gflop_padded", max(products)),
        ("share_copies", "gbyte", max(copies)),
    ):
        if amount in found:
            result[share] = found[amount] / result["seconds"] / rate
    return result


def timed(run: Callable[[], Any], times: int = 1) -> tuple[float, float]:
    """Processor and wall seconds of one of so many repetitions."""
    start, wall = cpu(), time.monotonic()
    for _ in range(times):
        run()
    return (cpu() - start) / times, (time.monotonic() - wall) / times
