"""The work of one attempt at a run: data, artefacts, fit, scoring, outcome. Errors pass through;
:mod:`suite.run` notes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import cost, files, provenance, registry, seals, stages
from suite.artefacts import ensure
from suite.claims import Claim
from suite.data import pack as packs
from suite.data import select
from suite.data.identity import data_settings, scored
from suite.data.pack import Pack
from suite.data.select import Selection
from suite.detector import Detector, Interrupted
from suite.devices import device_name
from suite.job import SNAPSHOTS, Conditions, fit_serves
from suite.metrics import evaluate
from suite.outcome import Outcome
from suite.recorder import Recorder
from suite.registry import Need
from suite.stages import Artefacts, Bench, Scored
from suite.store import Stage, Store, now

if TYPE_CHECKING:
    from suite.plan import Run


class Attempt:
    """One attempt at a run, whose claim the caller holds. ``stage`` tells how far it came."""

    def __init__(
        self,
        run: Run,
        store: Store,
        conditions: Conditions,
        folder: Path,
        recorder: Recorder,
        claim: Claim,
    ) -> None:
        self.run, self.store, self.conditions = run, store, conditions
        self.folder, self.recorder, self.claim = folder, recorder, claim
        self.stage: Stage = "fit"

    def stop(self) -> bool:
        """Whether the attempt is to end: it was asked to, or the run is another process's by now."""
        return self.conditions.stop() or self.claim.lost

    def outcome(self) -> Outcome:
        """Do what is not done yet, write the outcome, and remove what need not be kept."""
        run = self.run
        self.recorder.stage("data")
        identity = run.train["data"]
        pack = pack_of(run, self.store, self.conditions)
        seen = pack_of(run, self.store, self.conditions, scored(identity, run.evaluation))
        training = select.training(pack, identity, run.seed)
        test = select.evaluation(seen, identity, run.evaluation["split"], run.seed)
        bench = Bench(
            run=run,
            folder=self.folder,
            build=lambda: build(run),
            artefacts=Artefacts(run.needs, self._artefact),
            train=stages.images_of(pack, training.indices, self.folder / "checkpoints"),
            conditions=self.conditions,
            recorder=self.recorder,
            stop=self.stop,
        )
        fit = self._fit(bench, pack, len(training.indices))
        # (Again, where a kill came between the two.)
        (bench.checkpoints / "resume.pt").unlink(missing_ok=True)
        self.stage = "score"
        meter, result = self._score(bench, seen, test)
        outcome = self._written(seen, test, fit, result, meter)
        self._tidy(bench)
        return outcome

    def _artefact(self, need: Need) -> tuple[Path, dict[str, Any]]:
        facts = ensure(need, self.store, self.conditions, self.stop)
        return self.store.artefact_folder(need.kind, need.key), facts

    def _fit(self, bench: Bench, pack: Pack, train: int) -> dict[str, Any]:
        """The facts of the fit (``fit.json``). It is made if it is not there or lacks the snapshots asked
        for.
        """
        if self.conditions.force != "fit" and fit_serves(self.run, self.folder, pack.digest):
            return dict(files.peek_json(self.folder / "fit.json"))
        made = {kind: bench.artefacts.facts(kind) for kind in bench.artefacts}
        source = provenance.source_hash(registry.method(self.run.method))
        # Importing torch and the method takes seconds that are not the fit's.
        registry.method(self.run.method).load()
        resuming, notes = self._settle(bench, pack, source)
        meter = self.recorder.begin(resuming=resuming)
        environment = self._environment()
        provenance.write_lock(self.folder, environment)
        cost.reset_peak_memory(self.conditions.device)
        parameters = stages.fit(bench)
        facts = {
            "format": 1,
            "train_key": self.run.train_key,
            "digest": pack.digest,
            "train": train,
            "snapshots": bench.snapshots(),
            "fit_seconds": round(meter.seconds, 3),
            "cpu_seconds": round(meter.cpu_seconds, 3),
            **cost.peaks(self.conditions.device),
            "parameters": parameters,
            "environment": environment,
            "artefact_info": made,
            "source": source,
            "notes": [*notes, *bench.notes],
            "files": seals.of(self.folder, [bench.weights, *map(bench.snapshot, bench.snapshots())]),
            "finished": now(),
        }
        self.recorder.flush()
        files.write_json(self.folder / "fit.json", facts)
        self.recorder.log(f"fitted in {meter.seconds:.0f} s")
        return facts

    def _settle(self, bench: Bench, pack: Pack, source: str) -> tuple[bool, list[str]]:
        """Whether to go on from a checkpoint (else the place is cleared), and notes on that for the outcome."""
        path = bench.checkpoints / "origin.json"
        origin = files.peek_json(path)
        same_data = origin.get("digest") == pack.digest
        if (bench.checkpoints / "resume.pt").exists() and same_data and self.conditions.force != "fit":
            changed = origin.get("source") != source
            return True, ["training went on from a checkpoint of an earlier source"] if changed else []
        for stale in (bench.checkpoints / "resume.pt", *map(bench.snapshot, bench.snapshots())):
            stale.unlink(missing_ok=True)
        files.write_json(path, {"digest": pack.digest, "source": source})
        return False, []

    def _score(self, bench: Bench, pack: Pack, test: Selection) -> tuple[Any, Scored]:

        cost.reset_peak_memory(self.conditions.device)
        meter = cost.Meter()
        val = None
        if self.run.evaluation["selection"] == "best_val":
            chosen = select.evaluation(pack, self.run.train["data"], "val", self.run.seed)
            val = stages.images_of(pack, chosen.indices, bench.checkpoints), chosen.labels
        images = stages.images_of(pack, test.indices, bench.checkpoints)
        return meter, stages.select(bench, images, test.labels, val)

    def _written(
        self, pack: Pack, test: Selection, fit: Mapping[str, Any], result: Scored, meter: Any
    ) -> Outcome:

        run, environment = self.run, self._environment()
        anomalous = int(test.labels.sum())
        method = registry.method(run.method)
        notes = [*fit.get("notes", ()), *method.notes(method.parse(run.train["settings"]), run.train["data"])]
        versions = fit["environment"].get("packages", {})
        notes += [f"computed by {name} {versions[name]}" for name in method.packages if name in versions]
        if differing := _differing(fit["environment"], environment):
            notes.append(f"scored on another {differing} than it was fitted on")
        if fit["environment"].get("lock", environment["lock"]) != environment["lock"]:
            notes.append("scored with other packages installed than it was fitted with")
            provenance.write_lock(self.store.eval_folder(run.train_key, run.eval_key), environment)
        outcome = Outcome(
            method=run.method,
            version=int(run.train["version"]),
            dataset=run.dataset,
            seed=run.seed,
            profile=self.conditions.profile,
            train_key=run.train_key,
            eval_key=run.eval_key,
            train=dict(run.train),
            evaluation=dict(run.evaluation),
            settings=dict(run.settings),
            metrics=evaluate(test.labels, result.score, run.seed),
            counts={
                "train": int(fit["train"]),
                "normal": len(test.labels) - anomalous,
                "anomalous": anomalous,
            },
            data={
                "name": pack.name,
                "digest": pack.digest,
                "stand_in": pack.info.stand_in,
                "size": run.train["data"]["size"],
                "notes": list(pack.notes),
            },
            selection=run.evaluation["selection"],
            epoch=result.epoch,
            environment=fit["environment"],
            cost={
                "fit_seconds": fit["fit_seconds"],
                "score_seconds": round(meter.seconds, 3),
                "cpu_seconds": round(fit["cpu_seconds"] + meter.cpu_seconds, 3),
                **{
                    name: max(fit.get(name, 0), one)
                    for name, one in cost.peaks(self.conditions.device).items()
                },
                "parameters": fit["parameters"],
            },
            artefacts={need.name: need.key for need in run.needs},
            artefact_info=fit["artefact_info"],
            source=fit["source"],
            finished=now(),
            notes=tuple(notes),
            candidates=result.candidates,
        )
        if not self.claim.held():
            raise Interrupted
        self.store.write_outcome(outcome, test.ids, test.labels, result.score, result.parts)
        return outcome

    def _environment(self) -> dict[str, Any]:
        return {
            **provenance.environment(registry.method(self.run.method).packages),
            "device": device_name(self.conditions.device),
            "threads": self.conditions.threads,
        }

    def _tidy(self, bench: Bench) -> None:
        """Remove what ``keep`` does not keep, now that the outcome stands."""
        keep = self.conditions.keep
        if keep == "all":
            return
        chosen: set[int] = set()
        if keep == "best":
            outcomes = (files.peek_json(path) for path in self.folder.glob("eval/*/outcome.json"))
            chosen = {round(one["epoch"] * SNAPSHOTS) for one in outcomes if one.get("epoch") is not None}
        for number in set(bench.snapshots()) - chosen:
            bench.snapshot(number).unlink(missing_ok=True)
        if keep == "none":
            bench.weights.unlink(missing_ok=True)


def pack_of(
    run: Run, store: Store, conditions: Conditions, identity: Mapping[str, Any] | None = None
) -> Pack:
    """A run's data, packed first if need be: those it trains on, or of another identity."""
    settings = data_settings(run.train["data"] if identity is None else identity)
    return packs.load(registry.dataset(run.dataset), settings, store.root, conditions.data_root)


def build(run: Run) -> Detector:
    """A fresh detector under a run's settings."""
    info = registry.method(run.method)
    training, scoring = info.parse(run.train["settings"]), info.scoring.parse(run.evaluation["score"])
    detector: Detector = info.load()(training, scoring)
    return detector


def _differing(fitted: Mapping[str, Any], scored: Mapping[str, Any]) -> str:
    return " and ".join(name for name in ("device", "torch") if fitted.get(name) != scored.get(name))
