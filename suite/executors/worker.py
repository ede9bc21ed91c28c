"""A worker process: ``python -m suite.executors.worker``. Reads tasks as lines of JSON, answers each with
one.

Whatever a task prints, by Python or by C, goes to the ``log.txt`` of its folder. A failure may leave memory
behind, or a device in disorder, so that a worker on a CUDA device, or out of memory, leaves after it. SIGTERM,
or the end of the input (the parent is gone), asks the task at hand to stop at its next pulse with a checkpoint;
then the worker ends.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from suite import files, job
from suite.data.errors import DataMissing
from suite.detector import Interrupted
from suite.devices import CPU
from suite.executors import Task
from suite.job import Busy, Conditions
from suite.run import execute, make_artefact, out_of_memory, reason_of
from suite.store import Store


class Worker:
    """The loop of a worker process."""

    def __init__(self) -> None:
        self.lines: SimpleQueue[bytes | None] = SimpleQueue()
        self.stopping = threading.Event()

    def main(self) -> int:
        """Answer tasks until the input ends or a signal says so."""
        # The answers keep the real standard output; everything else that is printed goes to standard error.
        with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
            os.dup2(2, 1)
            faulthandler.enable()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop())
            threading.Thread(target=self._read, daemon=True).start()
            while (line := self.lines.get()) is not None and not self.stopping.is_set():
                answer = self.carry_out(json.loads(line))
                _free()
                with suppress(BrokenPipeError):
                    print(json.dumps(answer), file=answers, flush=True)
                if answer.get("leaving"):
                    break
        return 0

    def stop(self) -> None:
        """End after the task at hand, which is asked to stop."""
        self.stopping.set()
        self.lines.put(None)

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            self.lines.put(line)
        self.stop()

    def carry_out(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Do one task; how it ended, as plain JSON. Never raises."""
        start = time.monotonic()
        try:
            store = Store(Path(message["store"]))
            task = Task(
                job.run_from_json(message["run"]) if message["run"] else None,
                job.need_from_json(message["need"]) if message["need"] else None,
            )
            given = dict(message["conditions"])
            given["data_root"] = Path(given["data_root"]) if given["data_root"] else None
            conditions = Conditions(**given, stop=self.stopping.is_set)
            with _captured(task.folder(store) / "log.txt"):
                if task.need is not None:
                    make_artefact(task.need, store, conditions)
                    return {"end": "done", "seconds": time.monotonic() - start}
                assert task.run is not None
                outcome = execute(task.run, store, conditions)
            return {"end": "done", "auroc": outcome.metrics["auroc"], "seconds": time.monotonic() - start}
        except Busy as error:
            return {"end": "busy", "reason": str(error)}
        except Interrupted:
            return {"end": "interrupted", "reason": "asked to stop"}
        except DataMissing as error:
            return {"end": "blocked", "reason": reason_of(error)}
        except BaseException as error:
            traceback.print_exc()
            if files.surroundings(error):
                return {"end": "halted", "reason": reason_of(error)}
            failed = {"end": "failed", "reason": reason_of(error), "seconds": time.monotonic() - start}
            spoilt = message["conditions"]["device"] != CPU or out_of_memory(error)
            return {**failed, "leaving": True} if spoilt else failed


def _free() -> None:
    """Give back the device memory that torch keeps for later: another worker's run may need it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


@contextmanager
def _captured(log: Path) -> Iterator[None]:
    """Send everything that is printed to the end of ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(2)
    with log.open("ab", buffering=0) as stream:
        try:
            _point(stream.fileno())
            yield
        finally:
            _point(kept)
            os.close(kept)


def _point(handle: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)


if __name__ == "__main__":
    code = Worker().main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # to take an interpreter apart that has torch in it takes a second
