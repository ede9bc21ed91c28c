"""Trials of a search as a tracker shows them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric import finish, plan_of

from suite.mirror import trials as shown
from suite.mirror.cells import records
from suite.mirror.records import NOTE
from suite.search import told
from suite.search.specs import named
from suite.search.study import Trial
from suite.store import Store

SEARCHED = """
title = "Toy: trials"
seeds = [0, 1]
[table]
rows = ["case"]
[[case]]
label = "train.lr 0.1 (trial 0)"
set = { method = "csi", dataset = "pneumonia_mnist", "train.lr" = 0.1 }
[[case]]
label = "train.lr 0.1 (trial 2)"
set = { method = "csi", dataset = "pneumonia_mnist", "train.lr" = 0.1 }
[[case]]
label = "train.lr 0.3 (trial 3)"
set = { method = "csi", dataset = "pneumonia_mnist", "train.lr" = 0.3 }
[[case]]
label = "Reference"
set = { method = "csi", dataset = "pneumonia_mnist" }
"""


def test_each_trial_has_a_record_of_its_own(tmp_path: Path) -> None:
    """Of equal settings too, and of one that failed before any of its runs was done."""
    store = Store(tmp_path / "runs")
    trials = [
        Trial(0, {"train.lr": 0.1}, (0.8, 0.9), "complete", "", "2025-01-01T00:00:00+00:00"),
        Trial(1, {"train.lr": 9.0}, (), "failed", "loss is not finite", "2025-01-01T00:00:00+00:00"),
        Trial(2, {"train.lr": 0.1}, (0.8, 0.9), "complete", "", "2025-01-01T00:00:00+00:00"),
        Trial(3, {"train.lr": 0.3}, (0.4,), "pruned", "", "2025-01-01T00:00:00+00:00"),
    ]
    folder = store.root / "search" / "study"
    told.write(folder, "found_trials", "paper", "study", ["train.lr"], trials, trials[0], named)
    plan = plan_of(tmp_path, SEARCHED, "found_trials")
    for cell, values in zip(plan.cells, ((0.8, 0.9), (0.8, 0.9), (0.4,), (0.7, 0.7)), strict=True):
        for run, auroc in zip(cell.runs, values, strict=False):
            finish(store, run, auroc)
    first, again, pruned, reference, failed = records(plan, store)
    assert first.name == "best: train.lr 0.1 (trial 0)"
    assert (first.tags["suite.kind"], first.tags["suite.best"]) == ("trial", "true")
    assert first.metrics["objective"] == pytest.approx(0.85) == first.metrics["auroc_mean"]
    assert (again.tags["suite.best"], again.key == first.key, again.cell == first.cell) == (
        "false",
        False,
        True,
    )
    assert [seed.key for seed in again.seeds] == [seed.key for seed in first.seeds]
    assert (pruned.tags["suite.trial_state"], pruned.n, "objective" in pruned.metrics) == ("pruned", 1, False)
    assert (reference.tags["suite.kind"], "suite.trial" in reference.tags) == ("cell", False)
    assert (failed.failed, failed.seeds, failed.params) == (True, (), {"train.lr": "9.0"})
    assert failed.tags["suite.reason"] == "loss is not finite"
    assert failed.end == 1735689600000
    assert failed.tags[NOTE] == "Trial 1: failed: loss is not finite"


def test_a_reason_is_text() -> None:
    one = told.Told(3, "a", {}, "failed", "<b>x</b>\nin *two* lines")
    assert shown.note(one) == "Trial 3: failed: &lt;b&gt;x&lt;/b&gt; in \\*two\\* lines"
    assert shown.tags(one)["suite.reason"] == "<b>x</b> in *two* lines"
    assert shown.objective(one) == {}
