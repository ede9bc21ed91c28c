"""What stands between a plan and its table: for each run its state in the store, and why it is so.

Nothing is written and neither torch nor a data set is loaded, so a plan can be looked at in a moment.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from suite import registry
from suite.data.identity import DataSettings, data_settings, known_to_be_too_contaminated
from suite.provenance import source_hash
from suite.registry import DataInfo, Need, in_order
from suite.settings import key_of, nest

if TYPE_CHECKING:
    from suite.plan import Plan, Run
    from suite.store import Outcome, Store

T = TypeVar("T")
RunState = Literal["done", "to run", "running", "failed", "interrupted", "blocked", "stale"]


@dataclass(frozen=True)
class Assessment:
    """A run, its state, the reason in a few words, the seconds it may take (median of its like; None: not
    known), and its outcome if it is done or stale.
    """

    run: Run
    state: RunState
    reason: str
    seconds: float | None = None
    outcome: Outcome | None = None


def assess(
    plan: Plan,
    store: Store,
    *,
    data_root: Path | None = None,
    force: bool = False,
    history: History | None = None,
) -> list[Assessment]:
    """The state of each run of a plan, in the plan's order.

    Done runs are ``stale`` when the method's source or the data at hand are not those they were computed
    with; that is only said, never acted upon, unless ``force`` asks for everything anew. ``history``: what was
    read of the store's outcomes already, for other plans.
    """
    history = history or History(store)
    data = DataAtHand(store.root, data_root)
    return [_assess(run, plan.profile, history, data, force) for run in plan.runs]


def _assess(run: Run, profile: str, history: History, data: DataAtHand, force: bool) -> Assessment:
    outcome = history.outcome(run)
    if outcome is not None and not force:
        changed = _changed(run, outcome, data)
        return Assessment(run, "stale" if changed else "done", changed or "done", outcome=outcome)
    seconds = history.seconds(run, profile)
    state = history.store.state(run)
    if state.name == "running":
        return Assessment(run, "running", f"running {state.reason}".rstrip(), seconds)
    if short := known_to_be_too_contaminated(registry.dataset(run.dataset), run.train["data"]):
        return Assessment(run, "blocked", short, seconds)
    if missing := data.missing(run):
        return Assessment(run, "blocked", f"data missing: {missing}", seconds)
    if absent := history.absent(run):
        return Assessment(run, "blocked", absent, seconds)
    if outcome is not None or (state.name == "failed" and force):
        return Assessment(run, "to run", "forced", seconds)
    if state.name == "failed" and not force:
        return Assessment(run, "failed", f"failed before: {state.reason}", seconds)
    if state.name == "interrupted":
        return Assessment(
            run, "interrupted", f"interrupted: {state.reason}" if state.reason else "interrupted", seconds
        )
    return Assessment(run, "to run", history.why_new(run), seconds)


def _changed(run: Run, outcome: Outcome, data: DataAtHand) -> str:
    """Why a done run is stale; empty when it is not."""
    now = data.digest(run)
    if not now and data.changed_folder(run):
        return "its folder holds other files now (--force computes it anew)"
    if now and outcome.data.get("digest") and outcome.data["digest"] != now:
        return "data digest changed"
    source = source_hash(registry.method(run.method))
    return "source changed" if source and outcome.source and outcome.source != source else ""


class _OfCell(Generic[T]):
    """What the seeds of a cell share, found out once for all of them: their ``settings`` are one object."""

    def __init__(self, find: Callable[[Run], T]) -> None:
        self._find = find
        # The settings are kept too, so that no other object can take their identity.
        self._found: dict[int, tuple[Mapping[str, Any], T]] = {}

    def __call__(self, run: Run) -> T:
        known = self._found.get(id(run.settings))
        if known is None:
            known = self._found[id(run.settings)] = (run.settings, self._find(run))
        return known[1]


class History:
    """What the store's outcomes tell about runs like the ones asked for; read once, when it is first asked."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.absent = _OfCell(_absent)
        """What the method has to be given before it can run here (weights, an extra); empty when nothing."""
        self._cell = _OfCell(lambda run: _cell_key(run.train, run.evaluation))

    @cached_property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Every outcome of the store by its key."""
        return {outcome.eval_key: outcome for outcome in self.store.outcomes()}

    @cached_property
    def _fits(self) -> set[str]:
        return {outcome.train_key for outcome in self.outcomes.values()}

    @cached_property
    def _cells(self) -> set[str]:
        return {_cell_key(outcome.train, outcome.evaluation) for outcome in self.outcomes.values()}

    @cached_property
    def _like(self) -> set[tuple[str, str, int]]:
        return {(one.method, _data_name(one.train), one.seed) for one in self.outcomes.values()}

    @cached_property
    def _medians(self) -> Mapping[tuple[str, str, str], tuple[float, float]]:
        """Seconds of fitting and of scoring, of each method on each data set under each profile."""
        fits: dict[tuple[str, str, str], dict[str, float]] = {}
        scorings: dict[tuple[str, str, str], list[float]] = {}
        for one in self.outcomes.values():
            place = (one.method, _data_name(one.train), one.profile)
            fits.setdefault(place, {})[one.train_key] = one.fit_seconds
            scorings.setdefault(place, []).append(one.score_seconds)
        return {
            place: (statistics.median(fits[place].values()), statistics.median(scorings[place]))
            for place in fits
        }

    def outcome(self, run: Run) -> Outcome | None:
        """The run's outcome, if it is done."""
        found = self.outcomes.get(run.eval_key)
        return found if found is not None and found.train_key == run.train_key else None

    def why_new(self, run: Run) -> str:
        """The nearest thing that is there: the fit, other seeds of the cell, or the same run under other
        settings.
        """
        if run.train_key in self._fits:
            return "settings changed (scoring only)"
        if self._cell(run) in self._cells:
            return "missing seed"
        like = (run.method, _data_name(run.train), run.seed)
        return "settings changed" if like in self._like else "new"

    def seconds(self, run: Run, profile: str) -> float | None:
        """Median seconds of done runs of the same method, data set and profile; of their scoring if the fit
        is there.
        """
        known = self._medians.get((run.method, _data_name(run.train), profile))
        if known is None:
            return None
        fit, score = known
        return score if run.train_key in self._fits else score + fit


def _absent(run: Run) -> str:
    info = registry.method(run.method)
    return info.absent(info.parse(run.train["settings"]))


def _cell_key(train: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """What the seeds of a cell share. Artefacts may be a seed's own; their settings stand in the training's
    anyway.
    """
    shared = {name: value for name, value in train.items() if name not in ("seed", "artefacts")}
    return key_of(
        {"train": shared, "evaluation": {name: one for name, one in evaluation.items() if name != "train"}}
    )


def _data_name(train: Mapping[str, Any]) -> str:
    """The data set's name in the keys."""
    data = train.get("data")
    return str(data.get("name", "")) if isinstance(data, Mapping) else ""


def _data_settings(run: Run) -> DataSettings:
    flat = {name.removeprefix("data."): one for name, one in run.settings.items() if name.startswith("data.")}
    return DataSettings.parse(nest(flat))


class DataAtHand:
    """Whether the data of a run or an artefact are at hand, asked once for each data set and its settings."""

    def __init__(self, store_root: Path, data_root: Path | None) -> None:
        self._roots = (store_root, data_root)
        self._found: dict[str, tuple[str, str]] = {}
        self._own = _OfCell(lambda run: self._look(run.dataset, _data_settings(run)))
        self._needed: dict[tuple[str, ...], str] = {}

    def missing(self, run: Run) -> str:
        """One line on what is missing (of the run, or of what it needs) and how to get it; empty when
        nothing is.
        """
        keys = tuple(need.key for need in run.needs)
        if keys not in self._needed:
            self._needed[keys] = self.missing_for(run.needs)
        return self._own(run)[0] or self._needed[keys]

    def missing_for(self, needs: Iterable[Need]) -> str:
        """The same for artefacts and all that they need in turn."""
        asked = ((need.dataset, need.data) for need in in_order(needs) if need.data)
        lines = (self._look(name, data_settings(data))[0] for name, data in asked)
        return next(filter(None, lines), "")

    def changed_folder(self, run: Run) -> bool:
        """Whether the data are a folder of images that is at hand but was never packed as it is now."""
        return bool(registry.dataset(run.dataset).origin) and not self.missing(run) and not self.digest(run)

    def digest(self, run: Run) -> str:
        """The content digest of the packed data; empty while they are not packed."""
        return self._own(run)[1]

    def digest_for(self, need: Need) -> str:
        """The same for what an artefact is made from; empty for one that is made from none."""
        return self._look(need.dataset, data_settings(need.data))[1] if need.data else ""

    def _look(self, name: str, settings: DataSettings) -> tuple[str, str]:
        key = f"{name} {settings!r}"
        if key not in self._found:
            self._found[key] = self._ask(registry.dataset(name), settings)
        return self._found[key]

    def _ask(self, info: DataInfo, settings: DataSettings) -> tuple[str, str]:
        from suite.data import pack

        if pack.find(info, settings, *self._roots) is None and not pack.automatic(info):
            return pack.missing(info), ""
        return "", pack.known_digest(info, settings, *self._roots) or ""
