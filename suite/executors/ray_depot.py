"""What runs on other machines need of the driver's store: packs and artefacts, each put into Ray's object store once,
however many runs and machines want it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from suite import registry
from suite.data import pack as packs
from suite.data.build import beside
from suite.data.identity import data_settings, scored
from suite.executors import Options, Task
from suite.executors.parcel import pack
from suite.executors.ray_node import Order, Piece
from suite.job import Keep
from suite.store import Store


class Depot:
    """Used by many threads at once. ``put`` takes a chunk of bytes to where all machines can get it."""

    def __init__(self, options: Options, put: Callable[[bytes], Any]) -> None:
        self.store, self.data_root, self.put = Store(options.store), options.data_root, put
        self._pieces: dict[str, Piece] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def order(self, task: Task, keep: Keep) -> Order:
        """A task with everything that it needs. Data that are not packed yet are packed: DataMissing and DataFault
        as :func:`suite.data.pack.load`.
        """
        pieces, listings = {}, {}
        for name, identity in _data(task):
            made = self._pack(name, identity)
            pieces[made.folder] = self._piece(made.folder)
            if beside(made.info, "listing"):
                facts = packs.manifest(made.info, data_settings(identity), self.store.root, self.data_root)
                listings[made.info.name] = str(facts["source"])
        for need in task.needs:
            if self.store.artefact(need) is not None:
                folder = self.store.artefact_folder(*need.place)
                pieces[folder] = self._piece(folder)
        return Order(task, keep, tuple(pieces.values()), listings, pack(task.folder(self.store), self.put))

    def _pack(self, name: str, identity: Mapping[str, Any]) -> packs.Pack:
        with self._locked(f"{name} {data_settings(identity)!r}"):
            return packs.load(
                registry.dataset(name), data_settings(identity), self.store.root, self.data_root
            )

    def _piece(self, folder: Path) -> Piece:
        place = folder.relative_to(self.store.root).as_posix()
        with self._locked(place):
            if place not in self._pieces:
                self._pieces[place] = Piece(place, pack(folder, self.put))
            return self._pieces[place]

    def _locked(self, name: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(name, threading.Lock())


def _data(task: Task) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Data set and identity of each pack that a task reads."""
    if task.run is not None:
        identity = task.run.train["data"]
        yield task.run.dataset, identity
        yield task.run.dataset, scored(identity, task.run.evaluation)
    for need in [*task.needs, *([task.need] if task.need else [])]:
        if need.data:
            yield need.dataset, need.data
