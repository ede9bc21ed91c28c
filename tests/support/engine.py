"""Runs of the fake method: specs, plans and the command line as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fakes
import pytest

from suite import registry
from suite.plan import Plan, Run, expand
from suite.spec import load_spec
from suite.vocabulary import vocabulary

CHECKOUT = Path(__file__).resolve().parents[2]
SUPPORT = Path(__file__).resolve().parent
CHECKOUT = SUPPORT.parent.parent
TOY = """
title = "Toy"
seeds = [0, 1]
[settings]
method = "fake"
dataset = "toy"
[table]
rows = ["train.steps"]
[grid]
"train.steps" = [8, 16]
"""
"""Two cells, four runs, a second or less each."""


def forget() -> None:
    """Drop what was remembered of the registry."""
    for remembered in (
        registry.methods,
        registry.families,
        registry.datasets,
        registry._plugins,
        vocabulary,
    ):
        remembered.cache_clear()


@contextmanager
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The fakes are registered, here and in child processes."""
    monkeypatch.setenv("SUITE_PLUGINS", fakes.PLUGINS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), str(CHECKOUT)]))
    forget()
    yield
    forget()


class Bench:
    """A folder with a spec, a store and a log of what the fakes did."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "runs"
        self.spec = folder / "toy.toml"
        self.spec.write_text(TOY)
        self.log = folder / "fakes.log"

    def plan(self, **sets: Any) -> Plan:
        """The spec's plan; names of settings with double underscores for dots."""
        return expand(
            load_spec(self.spec), sets={name.replace("__", "."): value for name, value in sets.items()}
        )

    def run(self, seed: int = 0, **sets: Any) -> Run:
        """The run of one seed in the first cell."""
        return next(run for run in self.plan(**sets).runs if run.seed == seed)

    def told(self, word: str) -> int:
        """How often the fakes did this, in any process."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(line.split()[0] == word for line in lines)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """``suite ...`` in the folder."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "suite.cli", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def cli(self, *arguments: str, code: int = 0, seconds: float = 180) -> str:
        """What ``suite ...`` prints; it must end with ``code``, and in time."""
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=seconds)
        assert process.returncode == code, f"exit code {process.returncode}\n{output}\n{errors}"
        return output + errors

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Until something holds; fails when it does not come to hold."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.05)

    def workers(self) -> list[int]:
        """Process numbers in the log that are still alive, other than this one."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        numbers = {int(line.split()[1]) for line in lines} - {os.getpid()}
        return [number for number in numbers if _alive(number)]


def _alive(number: int) -> bool:
    from suite.claims import process_start

    return bool(process_start(number))
