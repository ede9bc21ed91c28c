"""The cluster's end of the Ray executor: a host on some machine that carries out one task at a time, in a worker
process like those of the local executor.

Without a shared store it works in scratch: packs and artefacts are fetched once a machine, by key, into a cache
that all hosts there use; each task has a small store of its own, filled with what the driver's store has of the
fit (a checkpoint, say), and what it holds at the end goes back to the driver. The scratch folder goes away with
the last host of the command there; what a killed one left is removed by the next.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from suite import claims, files
from suite.data.pack import LISTINGS
from suite.executors import Options, Task
from suite.executors.parcel import Parcel, pack, stamps, unpack
from suite.executors.schedule import Answers
from suite.executors.slots import WorkerSlot
from suite.job import Keep
from suite.provenance import package_version
from suite.store import Store

FORGOTTEN = 120.0
"""Seconds after which a scratch folder that nobody works in counts as left behind."""


@dataclass(frozen=True)
class Piece:
    """A pack or an artefact: ``place`` is its folder within a store."""

    place: str
    parcel: Parcel


@dataclass(frozen=True)
class Order:
    """A task and what it is done with. ``own``: what the driver's store has in the task's folder; None: the store
    is shared and nothing travels. ``listings``: of the packs whose sources are only at the driver.
    """

    task: Task
    keep: Keep
    pieces: tuple[Piece, ...] = ()
    listings: Mapping[str, str] = field(default_factory=dict)
    own: Parcel | None = None


@dataclass(frozen=True)
class Setting:
    """What all hosts of a command share. ``sight``: a file that a shared store must show to every machine."""

    command: str
    options: Options
    device: str
    requirements: tuple[str, ...]
    sight: Path | None = None


class Host:
    """A Ray actor; its calls come in threads, so that it can be asked and told things while a task is at work."""

    def __init__(self, setting: Setting, node: str) -> None:
        self.setting = setting
        self.base = Path(tempfile.gettempdir()) / f"dissolving-suite-{os.getuid()}"
        self.scratch = self.base / setting.command / node[:12]
        self.home = self.scratch / "hosts" / str(os.getpid())
        self.answers: Answers = SimpleQueue()
        self.slot = WorkerSlot(0, setting.device, setting.options, self.answers)
        self.stopping = False
        self.claim: claims.Claim | None = None

    def unfit(self) -> tuple[str, str]:
        """Why nothing can be carried out on this machine, in one line, empty when it can; and the machine's name."""
        return self._unfit(), socket.gethostname()

    def _unfit(self) -> str:
        absent = [name for name in self.setting.requirements if package_version(name) is None]
        if absent:
            return f"{socket.gethostname()} lacks {', '.join(absent)}: install dissolving-suite there too"
        if self.setting.sight is not None:
            seen = self.setting.sight.exists()
            return "" if seen else f"{socket.gethostname()} does not see the store: leave out --shared-store"
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.base.stat().st_uid != os.getuid():
            return f"{socket.gethostname()}: {self.base} is another user's: set TMPDIR on that machine"
        self._sweep()
        self.claim = claims.claim(self.home)
        return ""

    def carry_out(self, order: Order) -> dict[str, Any]:
        """Do a task. How it ended, and as ``parcel`` what its folder holds now; OSError when the machine fails."""
        if order.own is None:
            return self._work(order, self.setting.options)
        root = self.home / uuid.uuid4().hex[:8]
        folder = order.task.folder(Store(root))
        try:
            for piece in order.pieces:
                self._lay(piece, root)
            files.write_json(root / "artefacts" / "data" / LISTINGS, dict(order.listings), durable=False)
            unpack(order.own, _get, folder)
            known = stamps(folder)
            answer = self._work(order, replace(self.setting.options, store=root))
            return {**answer, "parcel": pack(folder, _put, known)}
        finally:
            shutil.rmtree(root, ignore_errors=True)

    def _work(self, order: Order, options: Options) -> dict[str, Any]:
        """The task in the worker process, which is started if need be."""
        if self.stopping:
            return {"end": "interrupted", "reason": "asked to stop"}
        self.slot.options = options
        self.slot.give(order.task, order.keep)
        if self.stopping:
            self.slot.ask_to_stop()
        # What a worker says that ended between two tasks is no answer.
        while (ended := self.slot.finish(self.answers.get()[1])) is None:
            pass
        told = ("end", "reason", "seconds", "auroc", "restart")
        return {name: getattr(ended, name) for name in told}

    def _lay(self, piece: Piece, root: Path) -> None:
        """Have a piece in the machine's cache, fetched if it is not there, and point to it from a task's store."""
        kept = self.scratch / piece.place
        lock = self.scratch / "locks" / piece.place.replace("/", "-")
        held = claims.wait(lock, until=kept.is_dir, stop=lambda: self.stopping)
        if held is not None:
            with held:
                if not kept.is_dir():
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    with tempfile.TemporaryDirectory(prefix=".fetching.", dir=kept.parent) as part:
                        unpack(piece.parcel, _get, Path(part, "whole"))
                        os.replace(Path(part, "whole"), kept)
        link = root / piece.place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept, target_is_directory=True)

    def progress(self) -> dict[str, Any]:
        """What the task at hand last told of itself."""
        return self.slot.progress()

    def stop(self) -> None:
        """Ask the task at hand for a checkpoint and an end, also if it is only being prepared."""
        self.stopping = True
        self.slot.ask_to_stop()

    def kill(self) -> None:
        """End the worker process at once."""
        self.stopping = True
        self.slot.kill()

    def close(self) -> None:
        """Nothing more comes: end the worker, and leave the machine as it was."""
        self.slot.dismiss()
        self.slot.close()
        if self.claim is None:
            return
        self.claim.release()
        shutil.rmtree(self.home, ignore_errors=True)
        if not _lived_in(self.scratch):
            _remove(self.scratch)

    def _sweep(self) -> None:
        """Remove scratch folders that no living host works in any more."""
        for folder in self.base.glob("*/*"):
            if (
                folder != self.scratch
                and time.time() - folder.stat().st_mtime > FORGOTTEN
                and not _lived_in(folder)
            ):
                _remove(folder)


def _lived_in(scratch: Path) -> bool:
    return any(map(claims.held, scratch.glob("hosts/*")))


def _remove(scratch: Path) -> None:
    shutil.rmtree(scratch, ignore_errors=True)
    for parent in scratch.parents[:2]:
        try:
            parent.rmdir()
        except OSError:
            return  # others work below it


def _get(chunk: Any) -> bytes:
    import ray

    return bytes(ray.get(chunk))


def _put(chunk: bytes) -> Any:
    import ray

    return ray.put(chunk)
