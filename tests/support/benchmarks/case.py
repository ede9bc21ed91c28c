"""A case of the benchmark: a name, and how the work behind it is got ready."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class LeftOut(Exception):  # noqa: N818 - no error: the case is named with this reason
    """A case cannot be measured here; says what it wants."""


@dataclass(frozen=True)
class Work:
    """``run`` is timed. ``counted`` is the part of it whose operations are counted (by default all of it; None: they
    are none of torch's), ``times`` how often that part goes into it.
    """

    run: Callable[[], Any]
    counted: Callable[[], Any] | None
    times: int = 1

    @staticmethod
    def whole(run: Callable[[], Any]) -> Work:
        """Work all of which is counted."""
        return Work(run, run)


@dataclass(frozen=True)
class Case:
    """``make(scratch)`` gets the work ready, untimed, with a folder that lives as long as the benchmark; it raises
    :class:`LeftOut` where that cannot be. ``methods`` are those that the case stands for. ``wall``: wall seconds are
    what counts, not the processor's. ``aim``: CPU-seconds that it should stay under, shown and never asserted.
    """

    name: str
    make: Callable[[Path], Work]
    repeats: int = 1
    methods: tuple[str, ...] = ()
    wall: bool = False
    aim: float | None = None
