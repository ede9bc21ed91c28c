"""An Optuna study on a journal in the store: any number of searchers, each killed and started again at will.

A searcher holds a claim in the folder of each trial that it works on. A trial that runs without a living owner was
killed: it is told as failed and its settings are queued again, and what its runs had finished is in the store. A
trial whose run fails counts as tried, with the reason, so that a search ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from suite import claims
from suite.detector import derive_seed
from suite.search.space import Search

GRACE = timedelta(seconds=30)
"""How long a trial may run before its searcher has claimed it."""
LOOK = 0.5
"""Seconds between two looks at trials that other searchers have."""
REASON, SETTINGS, VALUES = "reason", "settings", "values"
"""What is noted of a trial: why its run failed; its settings; the AUROC of each seed."""


class RunFailed(Exception):  # noqa: N818 - the trial's end, not the search's
    """A run of a trial failed; the message says why."""


Request = tuple[Mapping[str, Any], int]
"""Settings and a seed, whose validation AUROC is asked for."""


@dataclass(frozen=True)
class Trial:
    """A trial that has ended: its settings, the AUROC of each seed that ran, how it ended (``complete``, ``pruned``
    or ``failed``, with a ``reason``) and when (UTC, ISO).
    """

    number: int
    settings: Mapping[str, Any]
    values: tuple[float, ...]
    end: str
    reason: str = ""
    finished: str = ""

    @property
    def mean(self) -> float:
        """Mean over the seeds that ran; minus infinity when none did."""
        return sum(self.values) / len(self.values) if self.values else float("-inf")


class Study:
    """The study of one search in ``folder``, under a name that says what it searches."""

    def __init__(self, folder: Path, name: str, search: Search, seeds: tuple[int, ...]) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.search, self.seeds = folder, search, seeds
        folder.mkdir(parents=True, exist_ok=True)
        path = str(folder / "journal.log")
        storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
        startup = search.section.startup
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if search.section.prune:
            pruner = optuna.pruners.MedianPruner(n_startup_trials=startup)
        self.optuna = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=pruner
        )
        self._seed_sampler()

    def _seed_sampler(self) -> None:
        """Each draw hangs on how many trials there are, so that a search that goes on draws no trial twice."""
        seed = derive_seed(0, "search", self.optuna.study_name, len(self.optuna.get_trials(deepcopy=False)))
        self.optuna.sampler = optuna.samplers.TPESampler(
            n_startup_trials=self.search.section.startup,
            seed=seed % 2**32,
            multivariate=True,
            constant_liar=True,
        )

    def ended(self) -> list[Trial]:
        """The trials that count, in their order: those that were killed have been put back and do not."""
        return [trial for one in self.optuna.get_trials(deepcopy=False) if (trial := _ended(one)) is not None]

    def best(self) -> Trial | None:
        """The complete trial with the highest mean; of equals the first."""
        complete = [trial for trial in self.ended() if trial.end == "complete"]
        return max(complete, key=lambda trial: trial.mean, default=None)

    def requests(self, wanted: int, told: Callable[[Trial], None]) -> Generator[Request | None, float, None]:
        """Try settings until ``wanted`` trials have ended, ours and those of other searchers.

        Yields what is to be evaluated, and wants its AUROC sent, or RunFailed thrown; None is a look at what
        others have, to be asked again. ``told`` hears of each trial of ours. Closed at any point, it puts the
        trial that it is at back.
        """
        while len(self.ended()) < wanted:
            self.heal()
            if len(self.ended()) + self._running() >= wanted:
                time.sleep(LOOK)
                yield None
                continue
            self._seed_sampler()
            trial = self.optuna.ask()
            if self._is_surplus(trial.number, wanted):
                self._put_back(trial.number, self._queued(trial.number))
                continue
            with self._claimed(trial.number):
                told((yield from self._tried(trial)))

    def heal(self) -> None:
        """Put back what a searcher left running when it was killed."""
        for one in self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._is_owned(one):
                self._put_back(one.number, one.params)

    def _put_back(self, number: int, params: Mapping[str, Any]) -> None:
        try:
            self.optuna.tell(number, state=TrialState.FAIL)
        except ValueError:
            return  # Another searcher was faster.
        if params:
            self.optuna.enqueue_trial(dict(params), skip_if_exists=False)

    def _running(self) -> int:
        return len(self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))

    def _is_surplus(self, number: int, wanted: int) -> bool:
        """Whether others asked for the last wanted trial in the moment between our look and our own asking."""
        running = self.optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return len(self.ended()) + sum(one.number < number for one in running) >= wanted

    def _queued(self, number: int) -> Mapping[str, Any]:
        """The parameters that trial ``number`` was queued with; none when it was not."""
        (one,) = [one for one in self.optuna.get_trials(deepcopy=False) if one.number == number]
        return dict(one.system_attrs.get("fixed_params", {}))

    def _is_owned(self, trial: FrozenTrial) -> bool:
        owner = claims.owner(self._place(trial.number))
        if owner is not None:
            return owner.alive
        return trial.datetime_start is None or datetime.now() - trial.datetime_start < GRACE

    def _place(self, number: int) -> Path:
        return self.folder / "trials" / str(number)

    @contextmanager
    def _claimed(self, number: int) -> Iterator[None]:
        claim = claims.claim(self._place(number))
        assert claim is not None, "a new trial is nobody else's"
        with claim:
            yield

    def _tried(self, trial: optuna.Trial) -> Generator[Request | None, float, Trial]:
        settings = self.search.draw(trial)
        trial.set_user_attr(SETTINGS, settings)
        values: list[float] = []
        state = TrialState.COMPLETE
        try:
            for step, seed in enumerate(self.seeds):
                values.append((yield settings, seed))
                trial.set_user_attr(VALUES, values)
                trial.report(sum(values) / len(values), step)
                if step + 1 < len(self.seeds) and trial.should_prune():
                    state = TrialState.PRUNED
                    break
        except RunFailed as failure:
            trial.set_user_attr(REASON, str(failure))
            state = TrialState.FAIL
        except BaseException:
            self._put_back(trial.number, trial.params)
            raise
        mean = sum(values) / len(values) if state is TrialState.COMPLETE else None
        self.optuna.tell(trial, mean, state=state)
        (ended,) = [one for one in self.ended() if one.number == trial.number]
        return ended


_ENDS = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def _ended(trial: FrozenTrial) -> Trial | None:
    reason = str(trial.user_attrs.get(REASON, ""))
    if trial.state not in _ENDS or (trial.state is TrialState.FAIL and not reason):
        return None
    about = trial.user_attrs
    # Optuna notes the time of this machine, without its zone.
    finished = trial.datetime_complete.astimezone(UTC).isoformat() if trial.datetime_complete else ""
    values = tuple(about.get(VALUES, ()))
    return Trial(trial.number, about.get(SETTINGS, {}), values, _ENDS[trial.state], reason, finished)
