"""What a run tells while it works: ``progress.json`` for who watches, ``metrics.jsonl`` for the curves,
``log.txt``.

All of it is a convenience; a run neither reads it back as a result nor fails because of it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from suite import files
from suite.cost import Meter
from suite.store import now

Progress = Callable[[str, int, int, Mapping[str, float]], None]
"""Called with stage, done, total and the latest metrics."""

EVERY = 1.0
"""Seconds between two points of a curve."""


class Recorder:
    """Takes the progress of one run. Time spent by earlier attempts of the same fit is counted on."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self._progress = folder, progress
        before = files.peek_json(folder / "progress.json").get("spent")
        self._spent = dict(before) if isinstance(before, dict) else {}
        self.meter: Meter | None = None
        self._told = 0.0
        self._curve_begun = False
        self._pending: dict[str, Any] | None = None

    def begin(self, *, resuming: bool) -> Meter:
        """The long work begins: afresh, or going on, with the time that earlier attempts spent."""
        if not resuming:
            self._spent = {}
            (self.folder / "metrics.jsonl").unlink(missing_ok=True)
        self.meter = Meter(_number(self._spent.get("wall")), _number(self._spent.get("cpu")))
        return self.meter

    def stage(self, name: str) -> Callable[[int, int, Mapping[str, float]], None]:
        """The progress hook of a stage (``data``, ``fit``, ``score``...). FloatingPointError for a loss that
        is not finite.
        """
        self._tell(name, 0, 0, {})

        def hook(done: int, total: int, metrics: Mapping[str, float]) -> None:
            for key, value in metrics.items():
                if "loss" in key and not math.isfinite(value):
                    raise FloatingPointError(f"{key} is {value} at step {done} of {total}")
            if name == "fit":
                self._pending = {"step": done, "total": total, **metrics}
            if time.monotonic() - self._told >= EVERY or done == total:
                self._tell(name, done, total, metrics)

        return hook

    def _tell(self, stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
        self._told = time.monotonic()
        plain = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self.flush()
        if self.meter is not None:
            self._spent = {"wall": round(self.meter.seconds, 3), "cpu": round(self.meter.cpu_seconds, 3)}
        told = {"stage": stage, "done": done, "total": total, "metrics": plain, "spent": self._spent}
        with suppress(OSError, ValueError):
            files.write_json(self.folder / "progress.json", {**told, "time": now()}, durable=False)
        self._progress(stage, done, total, metrics)

    def flush(self) -> None:
        """Append the latest point to the curve. A run that goes on drops the points it is going to make
        again.
        """
        point, self._pending = self._pending, None
        if point is None:
            return
        path = self.folder / "metrics.jsonl"
        with suppress(OSError):
            if not self._curve_begun:
                self._curve_begun = True
                kept = [line for line in _lines(path) if _step(line) < point["step"]]
                files.write_text(path, "".join(f"{line}\n" for line in kept), durable=False)
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({**point, "time": round(time.time(), 1)}) + "\n")

    def log(self, text: str) -> None:
        """Append a line (or a traceback) to ``log.txt``."""
        with suppress(OSError), (self.folder / "log.txt").open("a", encoding="utf-8") as stream:
            stream.write(f"{now()} {text.rstrip()}\n")

    def close(self, *, finished: bool) -> None:
        """At the end: the last point of the curve; a finished run needs no progress."""
        self.flush()
        if finished:
            (self.folder / "progress.json").unlink(missing_ok=True)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _step(line: str) -> float:
    """The step of a point; a line cut short by a kill sorts last, so it is dropped."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError):
        return math.inf


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
