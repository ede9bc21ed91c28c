"""A study: enough trials however often its searchers are killed, given up where that is clear, failures told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from suite.search import study as module
from suite.search.space import Search, Section, Span
from suite.search.study import RunFailed, Study


def search(**section: Any) -> Search:
    made = Section(validation="own", space={}, **section)
    return Search(made, {"x": Span(low=0.0, high=1.0)})


def study(folder: Path, seeds: tuple[int, ...] = (0, 1), **section: Any) -> Study:
    return Study(folder, "toy", search(**section), seeds)


def work(made: Study, evaluate: Any, wanted: int, told: Any = lambda trial: None) -> None:
    """Answer what a study asks for."""
    asked = made.requests(wanted, told)
    try:
        request = next(asked)
        while True:
            if request is None:
                request = next(asked)
                continue
            try:
                value = evaluate(*request)
            except RunFailed as failure:
                request = asked.throw(failure)
            else:
                request = asked.send(value)
    except StopIteration:
        return
    finally:
        asked.close()


def peak(settings: Any, seed: int) -> float:
    """Best at 0.7."""
    return 1 - (settings["x"] - 0.7) ** 2


def test_it_finds_the_peak_and_says_how_each_trial_ended(tmp_path: Path) -> None:
    told = []
    made = study(tmp_path, startup=5, prune=False)
    work(made, peak, 25, told.append)
    assert len(told) == len(made.ended()) == 25
    best = made.best()
    assert best is not None
    assert best.settings["x"] == pytest.approx(0.7, abs=0.1)
    assert best.mean == pytest.approx(peak(best.settings, 0))
    assert {one.end for one in made.ended()} == {"complete"}


def test_what_is_below_the_median_after_one_seed_is_given_up(tmp_path: Path) -> None:
    seen: list[int] = []

    def evaluate(settings: Any, seed: int) -> float:
        seen.append(seed)
        return 0.9 if len(set(map(str, seen))) and settings["x"] > 0.5 else 0.1

    made = study(tmp_path, startup=3)
    work(made, evaluate, 20)
    pruned = [one for one in made.ended() if one.end == "pruned"]
    assert pruned
    assert all(len(one.values) == 1 and one.mean == 0.1 for one in pruned)
    assert made.best().mean == 0.9


def test_a_run_that_fails_counts_and_is_told_with_its_reason(tmp_path: Path) -> None:
    def evaluate(settings: Any, seed: int) -> float:
        if seed:
            raise RunFailed("the loss is not finite")
        return 0.5

    made = study(tmp_path, prune=False)
    work(made, evaluate, 3)
    assert [(one.end, one.reason, one.values) for one in made.ended()] == [
        ("failed", "the loss is not finite", (0.5,))
    ] * 3
    assert made.best() is None


def test_what_is_interrupted_is_tried_again_first_with_the_same_settings(tmp_path: Path) -> None:
    drawn: list[float] = []

    def stop(settings: Any, seed: int) -> float:
        drawn.append(settings["x"])
        raise KeyboardInterrupt

    made = study(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        work(made, stop, 3)
    assert made.ended() == []
    again = study(tmp_path)
    work(again, peak, 3)
    assert len(again.ended()) == 3
    assert again.ended()[0].settings["x"] == drawn[0]


def test_a_searcher_that_goes_on_draws_nothing_twice(tmp_path: Path) -> None:
    work(study(tmp_path), peak, 4)
    made = study(tmp_path)
    work(made, peak, 8)
    assert len({one.settings["x"] for one in made.ended()}) == 8


KILLED = """
import os, sys
sys.path.insert(0, {checkout!r})
from pathlib import Path
from suite.search.space import Search, Section, Span
from suite.search.study import Study

search = Search(Section(validation="own", space={{}}), {{"x": Span(low=0.0, high=1.0)}})
settings, seed = next(Study(Path({folder!r}), "toy", search, (0, 1)).requests(5, print))
print(settings["x"], flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_killed_searchers_trial_is_replaced(tmp_path: Path) -> None:
    checkout = str(Path(__file__).resolve().parents[3])
    code = KILLED.format(checkout=checkout, folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    made = study(tmp_path)
    work(made, peak, 5)
    assert len(made.ended()) == 5
    assert made.ended()[0].settings["x"] == float(done.stdout.split()[0])


def test_a_living_searchers_trial_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that was begun this very moment, before it was claimed."""
    made = study(tmp_path)
    trial = made.optuna.ask()
    made.heal()
    assert made._running() == 1
    monkeypatch.setattr(module, "GRACE", timedelta(0))
    with made._claimed(trial.number):
        made.heal()
        assert made._running() == 1
    made.heal()
    assert made._running() == 0


def test_a_trial_that_another_asked_for_meanwhile_is_given_back(tmp_path: Path) -> None:
    """Both saw room for one; the later one tries nothing, and what was queued for it stays queued."""
    first, second = study(tmp_path, (0,)), study(tmp_path, (0,))
    look = second._running

    def look_before_the_other_asks() -> int:
        found = look()
        second._running = look  # type: ignore[method-assign]
        second.optuna.enqueue_trial({"x": 0.75})
        second.optuna.enqueue_trial({"x": 0.25})
        first.optuna.ask()
        return found

    second._running = look_before_the_other_asks  # type: ignore[method-assign]
    assert next(second.requests(1, lambda trial: None)) is None, "it waits for the other's trial"
    assert [one.state.name for one in second.optuna.get_trials()] == ["RUNNING", "FAIL", "WAITING"]
    assert second.optuna.get_trials()[2].system_attrs["fixed_params"] == {"x": 0.25}
    assert second.ended() == []


TOGETHER = """
import json, sys, time
sys.path.insert(0, {checkout!r})
from pathlib import Path
from suite.search.space import Search, Section, Span
from suite.search.study import Study

told = []
search = Search(Section(validation="own", space={{}}), {{"x": Span(low=0.0, high=1.0)}})
asked = Study(Path({folder!r}), "toy", search, (0,)).requests(12, lambda trial: told.append(trial.number))
request = next(asked, "end")
while request != "end":
    try:
        request = next(asked) if request is None else asked.send(request[0]["x"])
    except StopIteration:
        break
    time.sleep(0.02)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_searchers_share_the_trials(tmp_path: Path) -> None:
    checkout = str(Path(__file__).resolve().parents[3])
    code = TOGETHER.format(checkout=checkout, folder=str(tmp_path))
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        for _ in range(3)
    ]
    numbers = [json.loads(one.communicate(timeout=180)[0].splitlines()[-1]) for one in started]
    assert all(one.returncode == 0 for one in started)
    mine = sorted(number for told in numbers for number in told)
    assert mine == list(range(12)), "each trial is tried by one, and none beyond those that were asked for"
