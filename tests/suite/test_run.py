"""One run to its outcome, in this process: what is computed, kept, and said when it goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import Bench

from suite import provenance
from suite.data.errors import DataMissing
from suite.detector import Interrupted
from suite.job import Busy, Conditions, run_from_json, run_to_json
from suite.outcome import Outcome
from suite.plan import Plan, Run, assess
from suite.run import execute, make_artefact
from suite.store import Store
from suite.vocabulary import SpecErrors


@pytest.fixture
def store(bench: Bench) -> Store:
    return Store(bench.store)


def _result(outcome: Outcome, store: Store) -> tuple[Any, ...]:
    kept = store.scores(outcome.train_key, outcome.eval_key)
    return outcome.metrics, outcome.epoch, [kept[name].tolist() for name in sorted(kept)]


def _folder(store: Store, run: Run) -> Path:
    return store.run_folder(run.train_key)


def test_a_run_leaves_an_outcome_and_what_it_promises(bench: Bench, store: Store) -> None:
    run = bench.run()
    outcome = execute(run, store, Conditions(profile="smoke"))
    assert store.outcome(run.train_key, run.eval_key) == outcome
    assert outcome.counts == {"train": 20, "normal": 20, "anomalous": 10}
    assert 0 <= outcome.metrics["auroc_low"] <= outcome.metrics["auroc"] <= outcome.metrics["auroc_high"] <= 1
    assert (outcome.profile, outcome.selection, outcome.epoch) == ("smoke", "last", 1.0)
    assert outcome.data["stand_in"] is True
    assert len(outcome.data["digest"]) == 64
    assert outcome.environment["threads"] == 1
    assert outcome.environment["device"] == "cpu"
    assert outcome.source
    assert set(outcome.cost) == {
        "fit_seconds",
        "score_seconds",
        "cpu_seconds",
        "peak_memory_mb",
        "parameters",
    }
    assert outcome.cost["parameters"] == 5
    kept = store.scores(run.train_key, run.eval_key)
    assert set(kept["ids"]) == {f"image-{number}" for number in range(60, 90)}
    assert kept["labels"].sum() == 10
    assert np.array_equal(kept["part_plain"], kept["score"])
    names = {path.name for path in _folder(store, run).iterdir()}
    assert names == {
        "settings.json",
        "environment.json",
        "fit.json",
        "weights.pt",
        "metrics.jsonl",
        "log.txt",
        "checkpoints",
        "eval",
    }
    points = [json.loads(line) for line in (_folder(store, run) / "metrics.jsonl").read_text().splitlines()]
    assert points[-1]["step"] == 8


def test_an_outcome_tells_where_it_comes_from(bench: Bench, store: Store) -> None:
    """Revision, dirtiness, lock, device, data digest, wall and processor time, memory (part 7 of the protocol)."""
    outcome = execute(bench.run(), store)
    environment, costs = outcome.environment, outcome.cost
    assert isinstance(environment["dirty"], bool)
    assert environment["revision"] is None or len(environment["revision"]) == 12
    listed = provenance.lock_in(_folder(store, bench.run()))
    assert provenance.lock_digest(listed) == environment["lock"]
    assert listed["torch"] == environment["torch"]
    assert (environment["device"], environment["threads"]) == ("cpu", 1)
    assert all(environment[name] for name in ("system", "machine", "processor", "python"))
    assert len(outcome.data["digest"]) == 64
    assert all(costs[name] > 0 for name in ("fit_seconds", "score_seconds", "cpu_seconds", "peak_memory_mb"))


def test_scoring_with_other_packages_is_noted(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = execute(bench.run(), store)
    lock = {**provenance.installed(), "numpy": "0.1"}
    monkeypatch.setattr(provenance, "installed", lambda: lock)
    later = bench.run(score__gain=3.0)
    second = execute(later, store)
    assert first.environment["lock"] == second.environment["lock"]
    assert "scored with other packages installed than it was fitted with" in second.notes
    assert provenance.lock_in(store.eval_folder(later.train_key, later.eval_key))["numpy"] == "0.1"
    assert not provenance.lock_in(store.eval_folder(first.train_key, first.eval_key))


def test_a_done_run_is_not_repeated_and_needs_no_claim(bench: Bench, store: Store) -> None:
    run = bench.run()
    first = execute(run, store)
    with store.claim(_folder(store, run)):  # type: ignore[union-attr]
        assert execute(run, store) == first
    assert (bench.told("fit"), bench.told("score")) == (1, 1)


def test_the_same_run_gives_the_same_and_another_seed_another(
    bench: Bench, store: Store, tmp_path: Path
) -> None:
    run = bench.run()
    first = _result(execute(run, store), store)
    # Whatever drew from the global generators before.
    np.random.rand(3)
    again = Store(tmp_path / "other")
    assert _result(execute(run, again), again) == first
    assert _result(execute(bench.run(seed=1), store), store) != first


def test_another_scoring_or_selection_trains_nothing(bench: Bench, store: Store) -> None:
    execute(bench.run(), store)
    louder = execute(bench.run(score__gain=2.0), store)
    best = execute(bench.run(selection="best_test"), store)
    validated = execute(bench.run(selection="best_val"), store)
    assert bench.told("fit") == 1
    assert len(best.candidates) == 8
    assert best.metrics["auroc"] == max(one["auroc"] for one in best.candidates)
    assert best.epoch in [one["epoch"] for one in best.candidates]
    assert len(validated.candidates) == 8
    assert louder.cost["fit_seconds"] == best.cost["fit_seconds"]


def test_what_a_fit_noted_stands_in_every_outcome(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fakes

    fit = fakes.Fake.fit

    def noting(self: Any, images: Any, context: Any) -> None:
        context.notes.append("fewer steps than published")
        fit(self, images, context)

    monkeypatch.setattr(fakes.Fake, "fit", noting)
    for run in (bench.run(), bench.run(score__gain=2.0)):
        assert "fewer steps than published" in execute(run, store).notes
    assert bench.told("fit") == 1


def test_scoring_later_gives_what_scoring_at_once_would_have(
    bench: Bench, store: Store, tmp_path: Path
) -> None:
    """Also with the weights rounded when saved, which the fitted model was not."""
    execute(bench.run(), store)
    later = _result(execute(bench.run(selection="best_test"), store), store)
    other = Store(tmp_path / "other")
    assert _result(execute(bench.run(selection="best_test"), other), other) == later


@pytest.mark.parametrize(
    ("trouble", "reason", "stage"),
    [
        ("fit", "RuntimeError: broke in the middle", "fit"),
        ("loss", "loss is nan at step 1 of 8", "fit"),
        ("scores", "1 of 30 values of the method's score are not finite", "score"),
    ],
)
def test_a_failure_has_a_reason_a_traceback_and_no_outcome(
    bench: Bench, store: Store, trouble: str, reason: str, stage: str
) -> None:
    run = bench.run(trouble=trouble)
    with pytest.raises((RuntimeError, FloatingPointError)):
        execute(run, store)
    state = store.state(run)
    assert (state.name, state.reason) == ("failed", reason)
    assert store.outcome(run.train_key, run.eval_key) is None
    assert "Traceback" in (_folder(store, run) / "log.txt").read_text()
    assert store.claim(_folder(store, run)) is not None, "the claim was given up"
    assert (store.eval_folder(run.train_key, run.eval_key) / "state.json").exists() is (stage == "score")


def test_a_full_disk_is_not_the_runs_fault(
    bench: Bench, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "write_outcome", full)
        with pytest.raises(OSError, match="No space"):
            execute(run, store)
    assert store.state(run).name == "interrupted"
    execute(run, store)
    assert bench.told("fit") == 1


def test_stopping_leaves_a_checkpoint_from_which_the_run_goes_on(
    bench: Bench, store: Store, tmp_path: Path
) -> None:
    run = bench.run(train__pause=0.001)
    calls = iter(range(100))
    with pytest.raises(Interrupted):
        execute(run, store, Conditions(stop=lambda: next(calls) > 6))
    assert store.state(run).name == "interrupted"
    outcome = execute(run, store)
    assert bench.told("resume") == 1
    undisturbed = Store(tmp_path / "other")
    assert _result(outcome, store) == _result(execute(run, undisturbed), undisturbed)
    assert not (_folder(store, run) / "checkpoints" / "resume.pt").exists()
    best = execute(bench.run(train__pause=0.001, selection="best_test"), store)
    assert len(best.candidates) == 8, "snapshots of before the stop count"


def test_a_run_that_another_has_is_busy(bench: Bench, store: Store) -> None:
    run = bench.run()
    with store.claim(_folder(store, run)), pytest.raises(Busy, match="running on"):  # type: ignore[union-attr]
        execute(run, store)


def test_missing_data_leave_no_trace_of_failure(bench: Bench, store: Store) -> None:
    run = bench.run(dataset="absent")
    with pytest.raises(DataMissing, match="get it from nowhere"):
        execute(run, store)
    assert store.state(run).name is None


@pytest.mark.parametrize(
    ("keep", "snapshots", "weights"), [("all", 7, True), ("last", 0, True), ("none", 0, False)]
)
def test_what_is_kept(bench: Bench, store: Store, keep: Any, snapshots: int, weights: bool) -> None:
    run = bench.run()
    execute(run, store, Conditions(keep=keep))
    folder = _folder(store, run)
    assert len(list(folder.glob("checkpoints/snapshot-*.pt"))) == snapshots
    assert (folder / "weights.pt").exists() is weights
    execute(bench.run(selection="best_test"), store)
    assert bench.told("fit") == (1 if snapshots else 2), "what is not there is made again"


def test_keeping_the_best(bench: Bench, store: Store) -> None:
    run = bench.run(selection="best_test")
    outcome = execute(run, store, Conditions(keep="best"))
    assert outcome.epoch is not None
    chosen = [f"snapshot-{round(outcome.epoch * 8)}.pt"] if outcome.epoch < 1 else []
    assert [path.name for path in _folder(store, run).glob("checkpoints/snapshot-*.pt")] == chosen


def test_force_repeats_and_keeps_the_outcome_before(bench: Bench, store: Store) -> None:
    run = bench.run()
    first = execute(run, store)
    forced = execute(run, store, Conditions(force="score"))
    assert (bench.told("fit"), bench.told("score")) == (1, 2)
    execute(run, store, Conditions(force="fit"))
    assert bench.told("fit") == 2
    assert _result(forced, store) == _result(first, store)
    assert list((store.eval_folder(run.train_key, run.eval_key) / "previous").iterdir())


def test_an_artefact_is_made_once_and_recorded(bench: Bench, store: Store) -> None:
    for seed in (0, 1):
        outcome = execute(bench.run(seed=seed, uses="artefact"), store)
    assert bench.told("make") == 1
    need = bench.run(uses="artefact").needs[0]
    assert outcome.artefacts == {"fake": need.key}
    assert outcome.artefact_info["fake"]["facts"] == {"images": 90}
    facts = store.artefact(need)
    assert facts is not None
    assert facts["data"] == outcome.data["digest"]


def test_scoring_does_without_an_artefact_that_is_gone(bench: Bench, store: Store) -> None:
    run = bench.run(uses="artefact")
    execute(run, store)
    need = run.needs[0]
    (store.artefact_folder(need.kind, need.key) / "done.json").unlink()
    execute(bench.run(uses="artefact", score__gain=3.0), store)
    assert bench.told("make") == 1


def test_an_artefact_of_other_data_is_made_again(bench: Bench, store: Store) -> None:
    run = bench.run(uses="artefact")
    make_artefact(run.needs[0], store, Conditions())
    path = store.artefact_folder("fake", run.needs[0].key) / "done.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": "other"}))
    make_artefact(run.needs[0], store, Conditions())
    make_artefact(run.needs[0], store, Conditions())
    assert bench.told("make") == 2


def test_a_fit_on_other_data_is_not_used(bench: Bench, store: Store) -> None:
    run = bench.run()
    execute(run, store)
    path = _folder(store, run) / "fit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "digest": "other"}))
    execute(bench.run(score__gain=2.0), store)
    assert bench.told("fit") == 2


def test_a_folder_of_another_key_is_refused(bench: Bench, store: Store) -> None:
    run = bench.run()
    execute(run, store)
    twin = replace(run, train_key=run.train_key[:12] + "0" * 52)
    with pytest.raises(RuntimeError, match="belongs to the key"):
        execute(twin, store)


def test_a_run_survives_json(bench: Bench) -> None:
    run = bench.run(uses="artefact")
    assert run_from_json(json.loads(json.dumps(run_to_json(run)))) == run


def test_other_lesions_are_another_test_set_of_the_same_fit(bench: Bench, store: Store) -> None:
    asked: list[dict[str, Any]] = [{}, {"data__lesion_contrast": 0.2}, {"data__lesion_contrast": 0.8}]
    runs = [bench.run(dataset="phantom", data__size=16, **one) for one in asked]
    assert len({run.train_key for run in runs}) == 1
    assert len({run.eval_key for run in runs}) == 3
    outcomes = [execute(run, store, Conditions()) for run in runs]
    assert bench.told("fit") == 1
    assert len({outcome.data["digest"] for outcome in outcomes}) == 3
    states = {one.run.eval_key: one.state for run in runs for one in assess(_one(bench, run), store)}
    assert [states[run.eval_key] for run in runs] == ["done"] * 3


def _one(bench: Bench, run: Run) -> Plan:
    """A plan of this run alone."""
    plan = bench.plan()
    return replace(plan, cells=(replace(plan.cells[0], runs=(run,)),))


def test_lesions_and_contamination_do_not_go_together(bench: Bench) -> None:
    with pytest.raises(SpecErrors, match=r"data\.contamination: .* leave one out"):
        bench.plan(dataset="phantom", data__lesion_radius=0.1, data__contamination=0.1)
    (other, *_) = bench.plan(data__lesion_radius=0.1).runs
    assert "lesions" not in other.evaluation
