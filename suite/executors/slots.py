"""A slot of this machine: one task runs at a time, on one device, by a worker process that serves many tasks in
turn.

A worker costs seconds to start (it imports torch), so it is kept as long as it lives, and replaced when it
dies or says that it is leaving. It sees its own CUDA device only, so that nothing gets onto another's. It leads
a session of its own: Ctrl-C in a terminal reaches the parent alone, which then asks the workers to stop.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from suite import files, job
from suite.devices import alone
from suite.executors import Ended, Options, Task
from suite.executors.schedule import Answers
from suite.job import Keep

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**32), "MALLOC_TOP_PAD_": str(2**26)}
"""glibc keeps the memory of large tensors instead of giving it back after each: a seventh of a CPU run's time
went into clearing fresh pages. Other allocators ignore these; what the user has set stays.
"""
_FAREWELL = 5.0


@dataclass
class WorkerSlot:
    """A :class:`~suite.executors.schedule.Slot` with a worker process."""

    number: int
    device: str
    options: Options
    answers: Answers
    task: Task | None = None
    began: float = 0.0
    _process: subprocess.Popen[bytes] | None = None
    _errors: IO[bytes] | None = field(default=None, repr=False)

    def give(self, task: Task, keep: Keep) -> None:
        """Start a task; the worker is started first if need be."""
        self.task, self.began = task, time.monotonic()
        if self._process is None:
            self._start()
        message = {
            "store": str(self.options.store),
            "run": job.run_to_json(task.run) if task.run else None,
            "need": job.need_to_json(task.need) if task.need else None,
            "conditions": {
                "device": "cuda:0" if alone(self.device) else self.device,
                "threads": self.options.threads,
                "data_root": str(self.options.data_root) if self.options.data_root else None,
                "keep": keep,
                "profile": task.profile,
                "force": task.force,
                "checkpoint_every": self.options.checkpoint_every,
            },
        }
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died: its reader says so
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _start(self) -> None:
        environment = {**ALLOCATOR, **os.environ, **alone(self.device)}
        environment.update({name: str(self.options.threads) for name in _THREADS})
        # The worker finds exactly what this process finds, and nothing more (such as the current folder).
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the worker is gone
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "suite.executors.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        leaving = False
        for line in process.stdout:
            with suppress(ValueError):
                answer = json.loads(line)
                leaving = bool(answer.get("leaving"))
                self.answers.put((self, answer))
        process.stdout.close()
        process.wait()
        _end_group(process)
        if not leaving:
            self.answers.put((self, None))

    def finish(self, answer: dict[str, Any] | None) -> Ended | None:
        """What a worker's answer says about the task at hand, which is over; None when there was none."""
        task, seconds = self.task, time.monotonic() - self.began
        self.task = None
        if answer is not None:
            assert task is not None
            if answer.get("leaving"):
                self._part()
            reason, auroc = str(answer.get("reason", "")), answer.get("auroc")
            return Ended(task, answer["end"], reason, float(answer.get("seconds", seconds)), auroc)
        # Killed from outside, it deserves another try; a crash of its own would come again.
        assert self._process is not None
        restart = self._process.returncode in (0, -signal.SIGKILL, -signal.SIGTERM)
        reason = self._obituary()
        return None if task is None else Ended(task, "died", reason, seconds, restart=restart)

    def _obituary(self) -> str:
        """How the worker ended, with its last words; the next task gets a new one."""
        assert self._process is not None
        code = self._process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = ""
        if self._errors is not None:
            with suppress(OSError, ValueError):
                self._errors.seek(0)
                lines = self._errors.read().decode(errors="replace").strip().splitlines()
                last = f": {lines[-1]}" if lines else ""
        self._part()
        return f"its worker {how}{last}"

    def _part(self) -> None:
        """Let go of a worker that is gone or leaving."""
        process, self._process = self._process, None
        assert process is not None
        _wait(process)
        for pipe in (process.stdin, self._errors):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def folder(self) -> Path | None:
        """The folder of the task at hand."""
        from suite.store import Store

        return self.task.folder(Store(self.options.store)) if self.task else None

    def progress(self) -> dict[str, Any]:
        """What the task at hand last told of itself."""
        folder = self.folder()
        return dict(files.peek_json(folder / "progress.json")) if folder else {}

    def ask_to_stop(self) -> None:
        """Ask for a checkpoint and an end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the worker at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def dismiss(self) -> None:
        """Tell the worker that nothing more comes."""
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def close(self) -> None:
        """Wait for the dismissed worker to end."""
        if self._process is not None:
            _wait(self._process)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until a worker that was told to go is gone; it is made to if it takes too long."""
    try:
        process.wait(_FAREWELL)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what a worker that is gone has left running: it led a group of its own."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
