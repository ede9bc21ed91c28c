"""Where runs happen: in worker processes of this machine (:mod:`suite.executors.local`), by the one schedule of
:mod:`suite.executors.schedule`.

An executor takes tasks, carries each out once, and tells of each end. It never imports torch itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from suite.job import Force, Keep
from suite.registry import Need, Place

if TYPE_CHECKING:
    from suite.deadline import Deadline
    from suite.plan import Run
    from suite.store import Store

End = Literal["done", "failed", "interrupted", "blocked", "busy", "died", "halted", "skipped"]
"""``busy``: another process has it. ``died``: its worker is gone. ``halted``: by its surroundings (a full disk), so
that others would fare alike. ``skipped``: never begun, since we were asked to stop.
"""


@dataclass(frozen=True)
class Task:
    """A run to be carried out, or an artefact to be made: exactly one of ``run`` and ``need``.

    ``goal``: the artefact was asked for itself (a figure shows it), and is not only on the way to something.
    ``seconds``: what work like it took, None where there was none; ``rough``: the same of work that is a little
    like it, good enough to choose an order.
    """

    run: Run | None = None
    need: Need | None = None
    goal: bool = False
    force: Force = ""
    profile: str = "paper"
    seconds: float | None = None
    rough: float | None = None

    @property
    def label(self) -> str:
        """What people see."""
        if self.run is None:
            return str(self.need)
        return f"{self.run.method} {self.run.dataset} seed {self.run.seed}"

    @property
    def asked(self) -> bool:
        """Whether somebody waits for it: a run, or an artefact that is a goal."""
        return self.goal or self.run is not None

    @property
    def needs(self) -> tuple[Need, ...]:
        """The artefacts that must be there before."""
        owner = self.run or self.need
        return owner.needs if owner is not None else ()

    @property
    def place(self) -> Place:
        """What it occupies: a fit, or an artefact."""
        if self.run is not None:
            return "fit", self.run.train_key
        assert self.need is not None
        return self.need.place

    def folder(self, store: Store) -> Path:
        """Where it is done."""
        if self.run is not None:
            return store.run_folder(self.run.train_key)
        assert self.need is not None
        return store.artefact_folder(*self.need.place)


@dataclass(frozen=True)
class Ended:
    """How a task ended. ``elsewhere``: another process did it. ``restart``: its worker died, but not by its
    doing.
    """

    task: Task
    end: End
    reason: str = ""
    seconds: float = 0.0
    auroc: float | None = None
    elsewhere: bool = False
    restart: bool = False


@dataclass(frozen=True)
class Finished:
    """What became of the tasks. ``interrupted``: somebody asked to stop before all was done. ``late``: the time
    was nearly up, so that some may have been left.
    """

    ended: tuple[Ended, ...]
    interrupted: bool = False
    late: bool = False


@dataclass(frozen=True)
class Options:
    """How an executor works. ``devices`` are dealt to the slots in turn. ``more`` is asked for further tasks
    whenever none is left, until it returns None; no task yet is an empty list. Short of the ``deadline`` nothing
    more is begun, and what runs is asked to stop.
    """

    store: Path
    data_root: Path | None = None
    slots: int = 1
    threads: int = 1
    devices: tuple[str, ...] = ("cpu",)
    keep: Keep = "all"
    fail_fast: bool = False
    checkpoint_every: float = 60.0
    deadline: Deadline | None = None
    on_end: Callable[[Ended], None] = field(default=lambda ended: None)
    more: Callable[[], Sequence[Task] | None] = field(default=lambda: None)
