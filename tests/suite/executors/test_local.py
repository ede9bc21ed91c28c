"""Worker processes in slots: order, failures, kills, orderly ends."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from engine import Bench
from rich.console import Console

from suite.deadline import Deadline
from suite.executors import Ended, Finished, Options, Task
from suite.executors.display import Display, LiveDisplay, duration
from suite.executors.local import carry_out
from suite.executors.schedule import Answers, Schedule
from suite.executors.slots import WorkerSlot
from suite.job import Keep
from suite.plan import Run
from suite.store import Store
from suite.verbs.common import log_tail


class Shown(Display):
    """Keeps what would be printed."""

    def __init__(self, total: int) -> None:
        super().__init__(total, Console(file=io.StringIO(), width=200))
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)


def _do(
    bench: Bench, runs: list[Run], *, slots: int = 1, force: Any = "", **options: Any
) -> tuple[Finished, Shown]:
    shown = Shown(len(runs))
    tasks = [Task(run, force=force) for run in runs]
    made = Options(store=bench.store, slots=slots, **options)
    return carry_out(tasks, made, shown), shown


def _ends(finished: Finished) -> list[str]:
    return [one.end for one in finished.ended]


def test_runs_artefacts_and_failures_in_one_go(bench: Bench) -> None:
    """One worker serves them all; the artefact comes first; what failed is told and the rest goes on."""
    good = [bench.run(seed=seed, uses="artefact") for seed in (0, 1)]
    broken = bench.run(trouble="fit")
    sibling = bench.run(trouble="fit", score__gain=2.0)
    absent = bench.run(dataset="absent")
    finished, shown = _do(bench, [*good, broken, sibling, absent])
    assert _ends(finished) == ["done", "done", "failed", "failed", "blocked"]
    assert not finished.interrupted
    assert (bench.told("make"), bench.told("fit")) == (1, 3), "a fit that failed is not tried for a sibling"
    assert bench.log.read_text().startswith("make")
    assert shown.lines[0].startswith("fake artefact for toy: done in")
    assert shown.lines[1].startswith("[1/5] fake toy seed 0: AUROC 0.")
    assert shown.lines[3] == "[3/5] fake toy seed 0: failed: RuntimeError: broke in the middle"
    assert "get it from nowhere" in shown.lines[5]
    pids = {line.split()[1] for line in bench.log.read_text().splitlines()}
    assert len(pids) == 1
    assert not bench.workers()
    store = Store(bench.store)
    assert "broke in the middle" in (store.run_folder(broken.train_key) / "log.txt").read_text()
    again, _ = _do(bench, good)
    assert all(one.elsewhere for one in again.ended), "done runs start no worker"


def test_a_failed_artefact_fails_its_runs(bench: Bench) -> None:
    runs = [bench.run(seed=seed, uses="artefact", trouble="artefact") for seed in (0, 1)]
    finished, _ = _do(bench, [*runs, bench.run()])
    assert sorted(_ends(finished)) == ["done", "failed", "failed"]
    reasons = {one.reason for one in finished.ended if one.end == "failed"}
    assert reasons == {"fake artefact: RuntimeError: no artefact today"}
    assert Store(bench.store).state(runs[1]).reason in reasons
    assert bench.told("make") == 1


def test_whatever_goes_wrong_is_failed_with_a_reason_and_a_log_and_has_no_outcome(bench: Bench) -> None:
    """The rest goes on. What a run out of memory has left must not take the next one's place, so that it has a
    worker of its own.
    """
    reasons = {
        "loss": "loss is nan at step 1 of 8",
        "scores": "1 of 30 values of the method's score are not finite",
        "memory": "out of memory (fewer at a time: -j or --per-device; a smaller batch): CUDA out of memory. Tried to "
        "allocate 2.00 GiB",
        "segfault": "its worker was killed by SIGABRT",
    }
    runs = {trouble: bench.run(trouble=trouble) for trouble in reasons}
    finished, _ = _do(bench, [*runs.values(), bench.run()])
    assert _ends(finished) == ["failed"] * 4 + ["done"]
    store = Store(bench.store)
    for (trouble, run), ended in zip(runs.items(), finished.ended, strict=False):
        state = store.state(run)
        assert (state.name, state.reason) == ("failed", ended.reason)
        assert reasons[trouble] in state.reason
        assert any("failed: " in line for line in log_tail(store.run_folder(run.train_key), 1)), trouble
    assert [outcome.train_key for outcome in store.outcomes()] == [bench.run().train_key]
    assert len({line.split()[1] for line in bench.log.read_text().splitlines()}) == 3
    assert not bench.workers()


@pytest.mark.long
def test_a_run_whose_worker_is_killed_thrice_is_failed(bench: Bench) -> None:
    """As the system does it when memory runs out; its next command must not try it for ever."""
    run = bench.run(trouble="killed")
    finished, _ = _do(bench, [run, bench.run()])
    assert _ends(finished) == ["failed", "done"]
    assert bench.told("fit") == 4
    reason = "its worker was killed by SIGKILL, 3 times: out of memory, most likely"
    assert finished.ended[0].reason.startswith(reason)
    store = Store(bench.store)
    assert store.state(run).name == "failed"
    assert store.state(run).reason.startswith(reason)
    assert reason in (store.run_folder(run.train_key) / "log.txt").read_text().splitlines()[-1]


class At(Deadline):
    """A time that comes when something has happened."""

    def __init__(self, near: Callable[[], bool], here: Callable[[], bool] = lambda: False) -> None:
        super().__init__(60.0)
        object.__setattr__(self, "told", (near, here))

    @property
    def near(self) -> bool:
        return bool(self.told[0]())  # type: ignore[attr-defined]

    @property
    def here(self) -> bool:
        return bool(self.told[1]())  # type: ignore[attr-defined]


def test_when_the_time_is_nearly_up_runs_are_left_at_a_checkpoint(bench: Bench) -> None:
    runs = [bench.run(train__steps=400, train__pause=0.05), bench.run()]
    finished, shown = _do(bench, runs, deadline=At(lambda: bench.told("fit") == 1))
    assert _ends(finished) == ["interrupted", "skipped"]
    assert (finished.late, finished.interrupted) == (True, False)
    assert shown.lines[0].startswith("the time is nearly up (--max-time)")
    assert _checkpoint(bench, runs[0]).exists()
    assert Store(bench.store).state(runs[0]).name == "interrupted"
    assert not bench.workers()


def test_what_does_not_stop_is_ended_when_the_time_is_up(bench: Bench) -> None:
    begun: list[float] = []

    def fitting() -> bool:
        begun.extend([time.monotonic()] * bench.told("child"))
        return bool(begun)

    # No checkpoint before two minutes have passed, and a process of its own that would outlive the worker.
    run = bench.run(train__pause=120, trouble="child")
    finished, _ = _do(bench, [run], deadline=At(fitting, fitting))
    assert _ends(finished) == ["interrupted"]
    assert time.monotonic() - begun[0] < 60
    assert finished.late
    bench.wait_for(lambda: not bench.workers(), 10)
    assert Store(bench.store).state(run).name == "interrupted"


def test_nothing_is_begun_when_there_is_no_time(bench: Bench) -> None:
    finished, _ = _do(bench, [bench.run()], deadline=At(lambda: True, lambda: True))
    assert _ends(finished) == ["skipped"]
    assert finished.late
    assert bench.told("fit") == 0


class Place:
    """A slot in which everything is done at once."""

    number, device, began = 0, "cpu", 0.0

    def __init__(self, answers: Answers) -> None:
        self.answers, self.given = answers, list[Task]()
        self.task: Task | None = None

    def give(self, task: Task, keep: Keep) -> None:
        self.task = task
        self.given.append(task)
        self.answers.put((self, {"end": "done"}))

    def finish(self, answer: dict[str, Any] | None) -> Ended | None:
        task, self.task = self.task, None
        return Ended(task, "done") if task else None

    def progress(self) -> dict[str, Any]:
        return {}

    def ask_to_stop(self) -> None: ...
    def kill(self) -> None: ...
    def dismiss(self) -> None: ...
    def close(self) -> None: ...


def test_the_longest_way_is_begun_first(bench: Bench) -> None:
    short, long = Task(bench.run(), seconds=5.0), Task(bench.run(seed=1), seconds=50.0)
    chain = Task(bench.run(uses="artefact"), seconds=49.0)
    answers: Answers = SimpleQueue()
    place = Place(answers)
    Schedule([short, long, chain], Options(store=bench.store), Shown(3), [place], answers).work()
    assert [task.run.train_key if task.run else "artefact" for task in place.given] == [
        "artefact",
        *(task.run.train_key for task in (long, chain, short) if task.run),
    ]


def test_a_worker_sees_its_own_device_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    started: list[tuple[str, str]] = []

    class Process:
        def __init__(self, arguments: list[str], env: dict[str, str], **others: Any) -> None:
            self.stdin, self.stdout, self.env = self, io.BytesIO(), env
            self.pid, self.returncode = 2**30, 0

        def write(self, line: bytes) -> None:
            started.append((self.env["CUDA_VISIBLE_DEVICES"], json.loads(line)["conditions"]["device"]))

        def flush(self) -> None: ...
        def wait(self, limit: float = 0) -> int:
            return 0

    monkeypatch.setattr("suite.executors.slots.subprocess.Popen", Process)
    options = Options(store=bench.store)
    for number, device in enumerate(("cuda:0", "cuda:1")):
        WorkerSlot(number, device, options, SimpleQueue()).give(Task(bench.run()), "all")
    assert started == [("GPU-a", "cuda:0"), ("GPU-b", "cuda:0")]


def test_fail_fast(bench: Bench) -> None:
    finished, _ = _do(bench, [bench.run(trouble="fit"), bench.run(), bench.run(seed=1)], fail_fast=True)
    assert _ends(finished) == ["failed", "skipped", "skipped"]
    assert not finished.interrupted


def test_forcing_two_evaluations_of_a_fit_fits_once(bench: Bench) -> None:
    runs = [bench.run(), bench.run(score__gain=2.0)]
    _do(bench, runs)
    assert bench.told("fit") == 1
    finished, _ = _do(bench, runs, force="fit", keep="last")
    assert _ends(finished) == ["done", "done"]
    assert (bench.told("fit"), bench.told("score")) == (2, 4)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_run_goes_on(bench: Bench) -> None:
    run = bench.run(train__pause=0.1, train__steps=24)

    def kill() -> None:
        bench.wait_for(lambda: bench.told("fit") == 1 and _checkpoint(bench, run).exists())
        os.kill(bench.workers()[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    finished, _ = _do(bench, [run])
    thread.join()
    assert _ends(finished) == ["done"]
    assert (bench.told("fit"), bench.told("resume")) == (2, 1)


def _checkpoint(bench: Bench, run: Run) -> Path:
    return Store(bench.store).run_folder(run.train_key) / "checkpoints" / "resume.pt"


@pytest.mark.slow
def test_a_run_that_another_process_has_is_waited_for(bench: Bench) -> None:
    run = bench.run()
    store = Store(bench.store)
    held = store.claim(store.run_folder(run.train_key))
    assert held is not None
    timer = threading.Timer(2.0, held.release)
    timer.start()
    finished, shown = _do(bench, [run])
    assert _ends(finished) == ["done"]
    assert "waiting for it" in shown.lines[0]
    assert bench.told("fit") == 1


def test_the_live_display_shows_who_works_on_what(bench: Bench) -> None:
    console = Console(file=io.StringIO(), width=150, force_terminal=True)
    run = bench.run(train__steps=60, train__pause=0.05)
    carry_out([Task(run, seconds=30.0)], Options(store=bench.store), LiveDisplay(1, console))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "fake toy seed 0 (cpu)" in printed
    assert "fit " in printed
    assert "loss" in printed
    assert "left" in printed


def test_time_left_is_the_median_of_finished_runs_shared_by_the_slots(bench: Bench) -> None:
    shown = Shown(4)
    task = Task(bench.run())
    for seconds in (10.0, 10.0, 100.0):
        shown.ended(Ended(task, "done", seconds=seconds, auroc=0.5))
    shown.slots = []
    assert shown.left() == 10.0
    assert [duration(value) for value in (40, 600, 18_000)] == ["40 s", "10 min", "5.0 h"]


@pytest.mark.long
def test_a_forced_run_is_fitted_anew_though_its_artefact_had_to_be_made(bench: Bench) -> None:
    run = bench.run(uses="artefact")
    _do(bench, [run])
    (need,) = run.needs
    (Store(bench.store).artefact_folder(need.kind, need.key) / "done.json").unlink()
    _do(bench, [run], force="fit")
    assert (bench.told("make"), bench.told("fit")) == (2, 2)


FIGURE = """
[figure]
kind = "dissolving"
[settings]
method = "fake"
dataset = "toy"
uses = "artefact"
[grid]
trouble = {troubles}
"""


def _show(bench: Bench, troubles: str) -> Finished:
    """Make what a figure shows, in cells that need the same fake artefact."""
    bench.spec.write_text(FIGURE.format(troubles=troubles))
    goals = bench.plan().goals
    tasks = [Task(need=goal, goal=True) for goal in goals]
    return carry_out(tasks, Options(store=bench.store, slots=2), Shown(len(goals)))


def test_what_an_artefact_needs_is_made_before_it_and_once(bench: Bench) -> None:
    assert _ends(_show(bench, '["none", "loss"]')) == ["done", "done"]
    assert (bench.told("make"), bench.told("show")) == (1, 2)
    assert bench.log.read_text().startswith("make")


def test_what_cannot_be_made_fails_what_needs_it(bench: Bench) -> None:
    finished = _show(bench, '["artefact"]')
    assert _ends(finished) == ["failed"]
    assert finished.ended[0].reason == "fake artefact: RuntimeError: no artefact today"
    assert bench.told("show") == 0
