"""What is said about each run of a plan: its state in the store, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite import registry
from suite.assess import Assessment, History
from suite.data import pack
from suite.data.identity import DataSettings
from suite.plan import Plan, Run, assess, expand
from suite.provenance import source_hash
from suite.spec import load_spec
from suite.store import Outcome, Store

from .spec_files import write

TEXT = """
seeds = [0, 1]
settings = { dataset = "phantom" }
[[case]]
label = "CSI"
set = { method = "csi" }
[[case]]
label = "DIA"
set = { method = "dia" }
"""


@pytest.fixture
def found(tmp_path: Path) -> Plan:
    return expand(load_spec(write(tmp_path, TEXT)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def outcome(run: Run, **facts: Any) -> Outcome:
    made = Outcome(
        method=run.method,
        version=1,
        dataset=run.dataset,
        seed=run.seed,
        profile="paper",
        train_key=run.train_key,
        eval_key=run.eval_key,
        train=run.train,
        evaluation=run.evaluation,
        settings=run.settings,
        metrics={"auroc": 0.9},
        counts={},
        data={"digest": ""},
        selection="last",
        epoch=1.0,
        environment={},
        cost={"fit_seconds": 100.0, "score_seconds": 10.0},
        source=source_hash(registry.method(run.method)),
        finished="2026-01-01T00:00:00+00:00",
    )
    return replace(made, **facts)


def finish(store: Store, run: Run, **facts: Any) -> None:
    store.write_outcome(outcome(run, **facts), np.array(["a"]), np.array([1], np.uint8), np.array([0.5]), {})


def told(found: Plan, store: Store, **options: Any) -> list[tuple[str, str]]:
    return [(one.state, one.reason) for one in assess(found, store, **options)]


def first(found: Plan, store: Store, **options: Any) -> Assessment:
    return assess(found, store, **options)[0]


def test_an_empty_store_has_everything_to_run_and_stays_empty(found: Plan, store: Store) -> None:
    assert told(found, store) == [("to run", "new")] * 4
    assert [one.run for one in assess(found, store)] == list(found.runs)
    assert not store.root.exists()


def test_the_outcomes_are_read_once_for_any_number_of_plans(
    found: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(store, found.runs[0])
    read, reading = Store.outcomes, []
    monkeypatch.setattr(Store, "outcomes", lambda self: reading.append(1) or read(self))
    history = History(store)
    assert not reading
    for _ in range(3):
        verdict = assess(found, store, history=history)[0]
        assert verdict.outcome == store.outcome(found.runs[0].train_key, found.runs[0].eval_key)
    assert len(reading) == 1


def test_done_runs_are_done_and_their_sisters_miss_a_seed(found: Plan, store: Store) -> None:
    finish(store, found.runs[0])
    assert told(found, store) == [("done", "done"), ("to run", "missing seed"), *[("to run", "new")] * 2]


def test_other_settings_of_the_same_run_are_the_reason(found: Plan, store: Store, tmp_path: Path) -> None:
    finish(store, found.runs[0])
    spec = load_spec(write(tmp_path, TEXT))
    changed = expand(spec, sets={"train.batch": 48})
    assert told(changed, store)[:2] == [("to run", "settings changed"), ("to run", "new")]
    views = assess(expand(spec, sets={"score.views": 3}), store)
    assert (views[0].state, views[0].reason) == ("to run", "settings changed (scoring only)")


def test_a_run_that_failed_was_interrupted_or_is_running_says_so(found: Plan, store: Store) -> None:
    store.fail(found.runs[0], "loss is not finite at step 12", stage="fit")
    store.fail(found.runs[1], "", stage="fit", state="interrupted")
    claim = store.claim(store.run_folder(found.runs[2].train_key))
    assert claim is not None
    with claim:
        states = told(found, store)
    assert states[0] == ("failed", "failed before: loss is not finite at step 12")
    assert states[1] == ("interrupted", "interrupted")
    assert states[2][0] == "running"
    assert states[2][1].startswith("running on ")
    assert states[3] == ("to run", "new")


def test_force_asks_for_done_runs_again(found: Plan, store: Store) -> None:
    finish(store, found.runs[0])
    assert told(found, store, force=True)[:2] == [("to run", "forced"), ("to run", "missing seed")]


def test_a_changed_source_is_stale_and_an_unknown_one_is_not(found: Plan, store: Store) -> None:
    finish(store, found.runs[0], source="0123456789abcdef")
    finish(store, found.runs[1], source="")
    assert told(found, store)[:2] == [("stale", "source changed"), ("done", "done")]


def test_other_data_at_hand_make_a_done_run_stale(
    found: Plan, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(store, found.runs[0], data={"digest": "of-then"})
    assert first(found, store).state == "done"
    monkeypatch.setattr(pack, "known_digest", lambda *places: "of-now")
    assert (first(found, store).state, first(found, store).reason) == ("stale", "data digest changed")
    monkeypatch.setattr(pack, "known_digest", lambda *places: "of-then")
    assert first(found, store).state == "done"


def test_a_folder_with_other_images_makes_a_done_run_stale(store: Store, tmp_path: Path) -> None:
    """Two folders may share the last part of their path, and so the key: the older's numbers are not the other's."""
    from PIL import Image

    for place, count in (("a", 12), ("b", 13)):
        for kind in ("normal", "anomalous"):
            folder = tmp_path / place / "images" / kind
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (16, 16), number * 9 + (100 if kind == "anomalous" else 0)).save(
                    folder / f"{number}.png"
                )

    def verdict(place: str) -> tuple[str, str]:
        text = f"""settings = {{ method = "pixel_knn", "data.size" = 16 }}
seeds = [0]
[grid]
dataset = ["folder:{tmp_path}/{place}/images"]
[table]
rows = ["dataset"]
"""
        (one,) = assess(expand(load_spec(write(tmp_path, text))), store)
        return one.state, one.reason, one.run  # type: ignore[return-value]

    state, _, run = verdict("a")  # type: ignore[misc]
    assert state == "to run"
    packed = pack.load(registry.dataset(run.dataset), DataSettings(size=16), store.root, None)
    finish(store, run, data={"digest": packed.digest})
    assert verdict("a")[0] == "done"
    assert verdict("b")[:2] == ("stale", "its folder holds other files now (--force computes it anew)")


def test_missing_data_block_a_run_unless_they_can_be_fetched(store: Store, tmp_path: Path) -> None:
    names = f'dataset = ["sars_cov_2", "breast_mnist", "folder:{tmp_path}/nothing"]'
    text = f'settings = {{ method = "csi" }}\nseeds = [0]\n[grid]\n{names}'
    states = assess(expand(load_spec(write(tmp_path, text))), store, data_root=tmp_path)
    assert [one.state for one in states] == ["blocked", "to run", "blocked"]
    assert states[0].reason.startswith("data missing: sars_cov_2 is not at hand: ")
    assert states[0].reason.endswith("then suite data add sars_cov_2 PATH")
    assert "\n" not in states[0].reason
    # What is done needs no data.
    finish(store, states[0].run)
    again = assess(expand(load_spec(write(tmp_path, text))), store, data_root=tmp_path)
    assert again[0].state == "done"


def test_more_contamination_than_there_are_anomalies_blocks_a_run_and_not_its_neighbours(
    store: Store, tmp_path: Path
) -> None:
    text = (
        'settings = { method = "csi", dataset = "pneumonia_mnist" }\nseeds = [0]\n'
        '[grid]\n"data.contamination" = [0.1, 0.8]'
    )
    states = assess(expand(load_spec(write(tmp_path, text))), store)
    assert [one.state for one in states] == ["to run", "blocked"]
    assert "needs 4856 anomalies, and the training split has 3494" in states[1].reason


def test_the_time_is_the_median_of_the_like(found: Plan, store: Store, tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, TEXT))
    like = expand(spec, seeds=(7, 8, 9), only={"method": {"csi"}})
    for run, seconds in zip(like.runs, (10.0, 60.0, 500.0), strict=True):
        finish(store, run, cost={"fit_seconds": seconds, "score_seconds": 5.0})
    finish(store, replace(found.runs[2]), profile="cpu")
    seconds = [one.seconds for one in assess(found, store)]
    assert seconds == [65.0, 65.0, None, None]
    rescored = expand(spec, seeds=(7,), sets={"score.views": 3}, only={"method": {"csi"}})
    assert [one.seconds for one in assess(rescored, store)] == [5.0]


def test_a_method_that_lacks_something_is_blocked_with_the_way_to_get_it(
    tmp_path: Path, store: Store
) -> None:
    """The others of the plan go on."""
    text = f"""
seeds = [0, 1]
settings = {{ dataset = "phantom" }}
[[case]]
label = "Mine"
set = {{ method = "pretrained_knn", weights = "file:{tmp_path}/w.pth", weights_sha256 = "01234567" }}
[[case]]
label = "CSI"
set = {{ method = "csi" }}
"""
    planned = expand(load_spec(write(tmp_path, text)))
    line = f"weights missing: no file {tmp_path}/w.pth"
    assert told(planned, store) == [("blocked", line)] * 2 + [("to run", "new")] * 2
    (tmp_path / "w.pth").write_bytes(b"")
    assert told(planned, store) == [("to run", "new")] * 4
