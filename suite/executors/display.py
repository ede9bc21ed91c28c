"""What people see while runs go on: a live view in a terminal, one plain line for each end otherwise."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from suite.executors import End, Ended, Task

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from suite.executors.schedule import Slot

GLANCE = 0.5
"""Seconds between two looks at the progress of the runs."""


class Display:
    """Counts ends and prints a line for each. ``total`` runs are to come."""

    def __init__(self, total: int, console: Console) -> None:
        self.total, self.console = total, console
        self.ends: Counter[End] = Counter()
        self.durations: list[float] = []
        self.slots: Sequence[Slot] = ()

    @contextmanager
    def showing(self, slots: Sequence[Slot]) -> Iterator[None]:
        """Around the whole of the work."""
        self.slots = slots
        yield

    def tick(self) -> None:
        """Called a few times a second."""

    def line(self, text: str) -> None:
        """Print a line above whatever is live."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def began(self, slot: Slot) -> None:
        """A slot has a task."""

    def elsewhere(self, task: Task, reason: str) -> None:
        """Another process has a task; it is waited for."""
        self.line(f"{task.label}: {reason}; waiting for it")

    def ended(self, ended: Ended) -> None:
        """A task is over."""
        task = ended.task
        if not task.asked:
            if ended.end != "skipped":
                self.line(f"{task.label}: {said(ended)}")
            return
        if ended.end == "skipped":
            return
        self.ends[ended.end] += 1
        if ended.end == "done" and not ended.elsewhere:
            self.durations.append(ended.seconds)
        self.line(f"[{self.finished}/{self.total}] {task.label}: {said(ended)}")

    @property
    def finished(self) -> int:
        """Runs that are over."""
        return self.ends.total()

    @property
    def counts(self) -> str:
        """``3 done, 1 failed, 8 left, about 12 min``."""
        others = [f"{count} {end}" for end, count in self.ends.items() if end not in ("done", "failed")]
        parts = [f"{self.ends['done']} done", f"{self.ends['failed']} failed", *others]
        parts.append(f"{self.total - self.finished} left")
        if (left := self.left()) is not None:
            parts.append(f"about {duration(left)}")
        return ", ".join(parts)

    def left(self) -> float | None:
        """Seconds that the rest may take, by the median of the finished runs (or of earlier ones like them)."""
        at_hand = [slot.task for slot in self.slots if slot.task is not None and slot.task.asked]
        durations = self.durations or [task.seconds for task in at_hand if task.seconds]
        if not durations:
            return None
        now = time.monotonic()
        spent = sum(now - slot.began for slot in self.slots if slot.task is not None and slot.task.asked)
        work = statistics.median(durations) * (self.total - self.finished) - spent
        return max(0.0, work / max(1, min(len(self.slots), self.total - self.finished)))


class LiveDisplay(Display):
    """A bar for all runs and one for each slot, below the lines."""

    def __init__(self, total: int, console: Console) -> None:
        super().__init__(total, console)
        self.progress: Progress
        self.overall: TaskID
        self.bars: dict[int, TaskID] = {}
        self.glanced = 0.0
        self.narrow = console.width < 110

    @contextmanager
    def showing(self, slots: Sequence[Slot]) -> Iterator[None]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self.slots = slots
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=10 if self.narrow else 24),
            TextColumn("{task.fields[note]}", markup=False),
            *(() if self.narrow else (TimeElapsedColumn(),)),
        )
        with Progress(*columns, console=self.console, refresh_per_second=4) as self.progress:
            self.overall = self.progress.add_task(self.counts, total=self.total, note="")
            yield

    def began(self, slot: Slot) -> None:
        self._clear(slot.number)
        assert slot.task is not None
        where = f"{slot.task.label} ({slot.device})"
        self.bars[slot.number] = self.progress.add_task(where, total=None, note="starting")

    def tick(self) -> None:
        if time.monotonic() - self.glanced < GLANCE:
            return
        self.glanced = time.monotonic()
        for slot in self.slots:
            if slot.task is None:
                self._clear(slot.number)
            elif slot.number in self.bars:
                told = slot.progress()
                self.progress.update(
                    self.bars[slot.number],
                    completed=told.get("done", 0),
                    total=told.get("total") or None,
                    note=stage_note(told, numbers=1 if self.narrow else 2),
                )
        self.progress.update(self.overall, completed=self.finished, description=self.counts)

    def _clear(self, number: int) -> None:
        if number in self.bars:
            self.progress.remove_task(self.bars.pop(number))


def display(total: int, console: Console) -> Display:
    """The display that fits where the output goes."""
    return LiveDisplay(total, console) if console.is_terminal else Display(total, console)


def said(ended: Ended) -> str:
    """An end in words: ``AUROC 0.871 in 412 s``."""
    if ended.end != "done":
        return f"{ended.end}: {ended.reason}" if ended.reason else ended.end
    result = "done" if ended.auroc is None else f"AUROC {ended.auroc:.3f}"
    return f"{result}, by another process" if ended.elsewhere else f"{result} in {ended.seconds:.0f} s"


def stage_note(told: dict[str, Any], numbers: int = 2) -> str:
    """The latest of a run's progress in a few words: ``fit 120/400 loss 1.93``, with so many numbers at most."""
    stage = str(told.get("stage", "starting"))
    counts = f" {told['done']}/{told['total']}" if told.get("total") else ""
    latest = (
        f" {name} {value:.4g}" for name, value in dict(told.get("metrics") or {}).items() if value is not None
    )
    return f"{stage}{counts}{''.join(list(latest)[:numbers])}"


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``5.2 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
