"""The verb that searches settings: trials as ordinary runs of the store, then the winner on the test images."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import files
from suite.executors import Ended, Finished, Options, Task
from suite.plan import Plan, expand
from suite.search import specs, told
from suite.search.space import label
from suite.settings import key_of
from suite.spec import Spec, load_spec
from suite.store import Store
from suite.verbs import carry_out, common, look
from suite.verbs.carry_out import How
from suite.verbs.common import FAILED, INTERRUPTED, OK, UNFINISHED, Ask, say
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from suite.outcome import Outcome
    from suite.search.study import Request, Study, Trial
    from suite.tracking import Mirror


def search(ask: Ask, how: How, *, trials: int | None = None, final: bool = True) -> int:
    """Search until as many trials have ended as the spec (or ``trials``) asks for, then run the winner."""
    plans = common.plans_of(ask)
    if len(plans) != 1:
        raise SpecErrors(["give one spec: a search is one study"])
    (reference,) = plans
    if reference.spec.search is None:
        raise SpecErrors([f"{reference.spec.path} has no [search] section: suite run {reference.spec.name}"])
    return _Searcher(reference, ask, how).search(trials or reference.spec.search.section.trials, final)


class _Searcher:
    """One search under one profile, by this process."""

    def __init__(self, reference: Plan, ask: Ask, how: How) -> None:
        from suite.search.study import Study

        spec = reference.spec
        assert spec.search is not None
        self.reference, self.spec, self.ask, self.how = reference, spec, ask, how
        self.store = ask.open()
        self.seeds = tuple(dict.fromkeys(run.seed for run in reference.runs))
        self.name = _name(reference, self.seeds)
        self.folder = self.store.root / "search" / self.name
        self.study: Study = Study(self.folder, self.name, spec.search, self.seeds)
        self.mirror: Mirror | None = None
        if how.mirror:
            from suite.tracking import Mirror

            self.mirror = Mirror([], self.store, how.tracking_uri, ask.data_root)

    def search(self, wanted: int, final: bool) -> int:
        profile = common.profile_line(self.reference, self.ask.profile)
        say(
            f"{profile}; search {self.name}: {len(self.study.ended())} of {wanted} trials; results in {self.ask.store}"
        )
        finished = self._carry_out(wanted)
        if finished.interrupted:
            say("interrupted; the same command goes on from here")
            return INTERRUPTED
        if finished.late:
            say("unfinished: the time is up; the same command goes on from here")
            return UNFINISHED
        return self._close(final)

    def _carry_out(self, wanted: int) -> Finished:
        """The runs of the trials one after another in one worker, and those of the reference."""
        from suite.executors.display import display

        feed = _Feed(self._asked_for(wanted), self._run, self.store)
        options = Options(
            store=self.store.root.absolute(),
            data_root=self.ask.data_root.absolute() if self.ask.data_root else None,
            threads=self.how.threads,
            devices=self.how.slots,
            keep=self.how.keep,
            checkpoint_every=self.how.checkpoint_every,
            deadline=self.how.deadline,
            on_end=feed.take,
            more=feed.more,
        )
        try:
            with replace(self.how, in_process=False).executor() as place:
                return place.carry_out([], options, display((wanted + 1) * len(self.seeds), common.console()))
        finally:
            feed.requests.close()

    def _asked_for(self, wanted: int) -> Generator[Request | None, float, None]:
        from suite.search.study import RunFailed

        yield from self.study.requests(wanted, self._told)
        for seed in self.seeds:
            try:
                yield {}, seed
            except RunFailed as failure:
                say(f"the reference failed with seed {seed}: {failure}")

    def _run(self, settings: Mapping[str, Any], seed: int) -> Task:
        (run,) = self._plan(settings, seed).runs
        return Task(run=run, profile=self.reference.profile)

    def _plan(self, settings: Mapping[str, Any], seed: int) -> Plan:
        return expand(
            self.spec,
            profile=self.reference.profile,
            sets={**self.reference.sets, **settings},
            seeds=(seed,),
            stand_ins=self.reference.stand_ins,
        )

    def _told(self, trial: Trial) -> None:
        mean = (
            f"validation AUROC {trial.mean:.4f} over {len(trial.values)} seed(s)"
            if trial.values
            else trial.reason
        )
        end = "" if trial.end == "complete" else f" ({trial.end})"
        say(f"trial {trial.number}: {label(trial.settings)}: {mean}{end}")
        self._mirrored()

    def _mirrored(self) -> Plan:
        """The trials so far as a table of the store, which MLflow shows too."""
        name, ended, profile = f"{self.spec.name}_trials", self.study.ended(), self.reference.profile
        path = self.folder / f"{name}.toml"
        files.write_text(path, specs.trials(self.spec, ended, profile))
        searched = self.study.search.space
        told.write(self.folder, name, profile, self.name, searched, ended, self.study.best(), specs.named)
        plan = self._expanded(load_spec(path))
        if self.mirror is not None:
            self.mirror.update([plan])
        return plan

    def _expanded(self, spec: Spec) -> Plan:
        sets = {name: value for name, value in self.reference.sets.items() if name != "score_on"}
        return expand(spec, profile=self.reference.profile, sets=sets, stand_ins=self.reference.stand_ins)

    def _close(self, final: bool) -> int:
        """The trials' table and pictures, then the winner's spec, and its runs."""
        plan = self._mirrored()
        common.remember(plan, self.ask, self.store)
        from suite.search import plots

        drawn = plots.write(self.study.optuna, self.spec.name, self.how.out)
        for path in drawn:
            files.write_bytes(self.folder / told.PICTURES / path.name, path.read_bytes())
        if self.mirror is not None:
            self.mirror.close()
        look.show_tables([plan], self.store, self.ask.data_root, self.how.out, ("md", "tex"))
        say(f"drawn: {', '.join(map(str, drawn))}" if drawn else "no trial is complete: nothing to draw")
        best = self.study.best()
        if best is None:
            say("no trial is complete, so there is no winner")
            return FAILED
        path = self._winner(best)
        say(f"the winner is trial {best.number}: {label(best.settings)}; as a spec: {path}")
        if not final:
            return OK
        ask = replace(self.ask, specs=(str(path),), profile=self.reference.profile, only=(), seeds=None)
        return carry_out.run(ask, self.how)

    def _winner(self, best: Trial) -> Path:
        path = self.how.out / f"{self.spec.name}_winner.toml"
        files.write_text(path, specs.winner(self.spec, best, self.reference.profile))
        return path


class _Feed:
    """Turns what a study asks for into tasks, and their outcomes into answers."""

    def __init__(
        self,
        requests: Generator[Request | None, float, None],
        task: Callable[[Mapping[str, Any], int], Task],
        store: Store,
    ) -> None:
        self.requests, self.task, self.store = requests, task, store
        self.waiting: Task | None = None
        self.reason = ""

    def take(self, ended: Ended) -> None:
        """Note why a task did not come to an outcome."""
        self.reason = ended.reason if ended.end != "done" else self.reason

    def more(self) -> list[Task] | None:
        """The next task that is not done yet; none yet, or (None) none ever."""
        try:
            while (request := self._next()) is not None:
                try:
                    self.waiting = self.task(*request)
                except SpecErrors as errors:
                    self.reason, self.waiting = "; ".join(errors.messages), None
                    continue
                if self._outcome() is None:
                    return [self.waiting]
            return []
        except StopIteration:
            return None

    def _next(self) -> Request | None:
        """Answer the last request, if there was one, and get the next."""
        from suite.search.study import RunFailed

        task, reason, self.waiting, self.reason = self.waiting, self.reason, None, ""
        if task is None and not reason:
            return next(self.requests)
        outcome = self._outcome(task) if task is not None else None
        if outcome is None:
            return self.requests.throw(RunFailed(reason or "it has no outcome"))
        return self.requests.send(float(outcome.metrics["auroc"]))

    def _outcome(self, task: Task | None = None) -> Outcome | None:
        run = (task or self.waiting).run  # type: ignore[union-attr]
        assert run is not None
        return self.store.outcome(run.train_key, run.eval_key)


def _name(reference: Plan, seeds: tuple[int, ...]) -> str:
    """What is searched, in a name: another space, profile, data or seeds are another study."""
    spec = reference.spec
    assert spec.search is not None
    space = {name: repr(dimension) for name, dimension in spec.search.space.items()}
    (run, *_) = reference.runs
    what = {
        "space": space,
        "train": dict(run.train) | {"seed": 0},
        "evaluation": dict(run.evaluation) | {"train": ""},
    }
    return f"{spec.name}-{key_of({**what, 'seeds': list(seeds)})[:8]}"
