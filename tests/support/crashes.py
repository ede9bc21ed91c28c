"""Kills a run at every moment that can make a difference: before each change that it makes to its store.

``python crashes.py SPEC FOLDER MOST`` carries out the spec's one run in a process of its own for each of its changes
(opening a file to write, renaming, removing), or for MOST of them, is killed there as by ``kill -9``, carries it out
once more to the end, and prints what then differs from an undisturbed run. Python's audit events tell of the
changes. Each process is forked from this one, which has imported everything and trained nothing, so that a kill
costs no start.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import results

from suite import provenance, registry
from suite.job import Conditions
from suite.plan import Run, expand
from suite.run import execute
from suite.spec import load_spec
from suite.store import Store

OF_THE_CLOCK = ("progress.json", "metrics.jsonl", "log.txt", "claim.json")
"""Files that change by the second, or not in the same way each time."""
TEMPORARY = re.compile(r"^\.(.*?)\.[^.]*\.(?:part|removed)$")
CHANGES = ("open", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")
Change = tuple[str, str, int]
"""What is done, to which path in the store (temporary ones stand for their target), and for which time."""


class Watch:
    """Counts a process's changes below ``root``, and dies before one of them."""

    def __init__(self, root: Path, fatal: Change | None, told: Path | None) -> None:
        self.root, self.fatal, self.told = str(root), fatal, told
        self.counts: dict[tuple[str, str], int] = {}

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or not _writes(event, arguments):
            return
        path = os.fspath(arguments[1] if event == "os.rename" else arguments[0])
        if not isinstance(path, str) or not path.startswith(self.root):
            return
        place, name = os.path.split(path)
        while name != (name := TEMPORARY.sub(r"\1", name)):
            pass
        if name.startswith((*OF_THE_CLOCK, *(f".{one}" for one in OF_THE_CLOCK))):
            return
        what = event.rpartition(".")[2], os.path.join(os.path.relpath(place, self.root), name)
        self.counts[what] = self.counts.get(what, 0) + 1
        change = (*what, self.counts[what])
        if change == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.told is not None:
            handle = os.open(self.told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, (json.dumps(change) + "\n").encode())
            os.close(handle)


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open":
        return True
    if not isinstance(arguments[0], str | bytes | os.PathLike):
        return False
    mode, flags = arguments[1], arguments[2] or 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR)) if mode is None else any(c in mode for c in "wax+")


def _forked(work: Callable[[], object]) -> int:
    """The wait status of a process that does this."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitpid(process, 0)[1]


def carry_out(run: Run, root: Path, *, fatal: Change | None = None, told: Path | None = None) -> int:
    """The wait status of a process that carries out the run, with a checkpoint after every step."""

    def work() -> None:
        sys.addaudithook(Watch(root, fatal, told))
        execute(run, Store(root), Conditions(checkpoint_every=0.0))
        if told is not None:
            told.with_name("modules").write_text("\n".join(set(sys.modules) - {"__main__"}))

    return _forked(work)


def explore(run: Run, folder: Path, most: int) -> Iterator[dict[str, Any]]:
    """What differs after a kill at each change, or at ``most`` spread over those after packing; at last a summary."""
    whole, told = folder / "whole", folder / "changes"
    assert carry_out(run, whole, told=told) == 0
    for name in (folder / "modules").read_text().split():
        with suppress(ImportError):  # some are made by others, and have no file
            importlib.import_module(name)
    provenance.environment()
    changes: list[Change] = [tuple(json.loads(line)) for line in told.read_text().splitlines()]
    expected = results.outcomes(whole), results.weights(whole)
    packed = max((number for number, one in enumerate(changes) if "artefacts/data" in one[1]), default=0)
    points = list(range(len(changes)))
    if most < len(changes):
        rest = len(changes) - packed - 1
        points = [packed + 1 + rest * part // (most + 1) for part in range(1, most + 1)]
    for point in points:
        root = folder / f"killed-{point}"
        if point > packed:
            # What is packed once is packed for all but the kills that come before.
            shutil.copytree(whole / "artefacts" / "data", root / "artefacts" / "data")
        status = carry_out(run, root, fatal=changes[point])
        again = carry_out(run, root)
        found = results.outcomes(root), results.weights(root)
        yield {
            "change": changes[point],
            "killed": os.WIFSIGNALED(status),
            "finished": again == 0,
            "differing": [
                one
                for mine, other in zip(found, expected, strict=True)
                for one in results.differing(mine, other)
            ],
            "litter": results.litter(root),
        }
        shutil.rmtree(root)
    yield {"changes": len(changes), "outcomes": len(expected[0]), "weights": len(expected[1])}


def main(spec: str, folder: str, most: str) -> None:
    (run,) = expand(load_spec(Path(spec))).runs
    registry.method(run.method).load()
    for one in explore(run, Path(folder), int(most)):
        print(json.dumps(one), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
