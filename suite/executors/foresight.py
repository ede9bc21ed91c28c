"""What the work will take before it begins, against what there is: disk, by the sizes of what is there and was done
like it, and time, by past runs. Where nothing is like it, that is said.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from suite import registry
from suite.data import pack
from suite.data.identity import data_settings
from suite.executors import Task
from suite.executors.display import duration
from suite.executors.order import ways
from suite.job import Keep
from suite.past import Past
from suite.store import Store

SLACK = 1.25
"""An estimate of disk may fall short by so much: with less than that free one is warned."""
COLOURED = 3
"""Channels of a data set that does not tell before it is packed."""


@dataclass(frozen=True)
class Foresight:
    """What is to come. ``size``: bytes that will be written, as far as it is known, ``sure`` the least of it;
    ``free``: bytes that there are. ``seconds``: the time, as far as it is known, on the places there are.
    ``unknown``: what nothing tells about, in words.
    """

    size: int
    sure: int
    free: int
    seconds: float
    unknown: tuple[str, ...] = ()

    @property
    def tight(self) -> bool:
        """Whether the disk may not do."""
        return self.size * SLACK > self.free

    @property
    def impossible(self) -> bool:
        """Whether the disk cannot do."""
        return self.sure > self.free

    def __str__(self) -> str:
        disk = f"about {amount(self.size)} of {amount(self.free)} free disk" if self.size else ""
        time = f"about {duration(self.seconds)}" if self.seconds else ""
        unknown = (
            f"unknown what {', '.join(self.unknown)} take, as nothing like them is done"
            if self.unknown
            else ""
        )
        known = " and ".join(filter(None, (disk, time))) or f"{amount(self.free)} of disk are free"
        return f"to come: {'; '.join(filter(None, (known, unknown)))}"


def timed(tasks: Iterable[Task], past: Past) -> list[Task]:
    """The tasks, with what the store tells of their time."""
    return [_timed(task, past) for task in tasks]


def _timed(task: Task, past: Past) -> Task:
    if task.run is None:
        return replace(task, seconds=past.seconds(task.need) if task.need else None)
    fitted = _fitted(task, past.store)
    like, somewhat = past.fits(task.run, task.profile), past.rough(task.run, task.profile)
    return replace(
        task,
        seconds=like.seconds(fitted=fitted) if like else None,
        rough=somewhat.seconds(fitted=fitted) if somewhat else None,
    )


def foresee(
    tasks: Sequence[Task], past: Past, *, keep: Keep, slots: int, data_root: Path | None = None
) -> Foresight:
    """What these :func:`timed` tasks (the making of artefacts among them) will take, so many at a time."""
    packs, lost = _packs(tasks, past.store, data_root)
    size = sure = packs
    counts = {"runs": [0, 0], "artefacts": [0, 0]}
    places: set[registry.Place] = set()
    for task in tasks:
        sizes = _sizes(task, past, keep)
        if task.place not in places:
            places.add(task.place)
            size, sure = size + max(sizes, default=0), sure + min(sizes, default=0)
        count = counts["runs" if task.run else "artefacts"]
        count[0] += not sizes or task.seconds is None
        count[1] += 1
    known = [task for task in tasks if task.seconds is not None]
    total = sum(task.seconds or 0.0 for task in known)
    seconds = max([total / max(1, slots), *ways(known).values()])
    unknown = [f"{lacking} of {all_} {kind}" for kind, (lacking, all_) in counts.items() if lacking]
    unknown += [f"the data of {name}" for name in lost]
    return Foresight(size, sure, _free(past.store.root), seconds, tuple(unknown))


def _fitted(task: Task, store: Store) -> bool:
    """Whether a run only has to be scored."""
    return not task.force and (task.folder(store) / "fit.json").exists()


def _sizes(task: Task, past: Past, keep: Keep) -> list[int]:
    """Bytes that things like a task's took; nothing to speak of where there is only to score."""
    if task.run is None:
        return past.sizes(task.need) if task.need else []
    if _fitted(task, past.store):
        return [0]
    fits = past.fits(task.run, task.profile)
    return past.fit_sizes(fits, keep) if fits else []


def _packs(tasks: Sequence[Task], store: Store, data_root: Path | None) -> tuple[int, tuple[str, ...]]:
    """Bytes of the data that are still to be packed, and the sets of which the number of images is not known."""
    wanted: dict[tuple[str, int], Mapping[str, Any]] = {}
    for task in tasks:
        if task.run is not None:
            wanted.setdefault((task.run.dataset, int(task.run.train["data"]["size"])), task.run.train["data"])
        elif task.need is not None and task.need.data:
            wanted.setdefault((task.need.dataset, int(task.need.data["size"])), task.need.data)
    total, unknown = 0, []
    for (name, size), data in wanted.items():
        info = registry.dataset(name)
        if pack.manifest(info, data_settings(data), store.root, data_root):
            continue
        images = sum(map(sum, info.counts.values())) or sum(info.published.values())
        total += images * (info.channels or COLOURED) * size**2
        unknown += [name] * (not images)
    return total, tuple(dict.fromkeys(unknown))


def _free(folder: Path) -> int:
    """Bytes that are free where a folder is or will be."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def amount(size: float) -> str:
    """``12 kB``, ``3.4 MB``, ``21 GB``."""
    power = 1 + (size >= 1e6) + (size >= 1e9)
    size /= 1000**power
    return f"{size:.{1 if size < 10 else 0}f} {('kB', 'MB', 'GB')[power - 1]}"
