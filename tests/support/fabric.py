"""Specs from a text, and made-up outcomes in a store, for tests of what is done with results. Nothing is
computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from suite.outcome import Outcome
from suite.plan import Assessment, Plan, Run, expand
from suite.spec import load_spec
from suite.store import Store
from suite.tables.report import FORMATS, look_up, write

BATCHES = """
title = "DIA against a batch-size increment"
seeds = [0, 1, 2]
[table]
rows = ["dataset"]
columns = ["case"]
published = "table11"
[[case]]
label = "CSI"
set = { method = "csi" }
[[case]]
label = "CSI-1.5"
set = { method = "csi", "train.batch" = 48 }
[[case]]
label = "DIA"
set = { method = "dia" }
[grid]
dataset = ["pneumonia_mnist", "breast_mnist"]
"""
"""Table 11 on two data sets: 6 cells, 18 runs."""

DIGEST = "0123456789abcdef" * 4


def plan_of(folder: Path, text: str = BATCHES, name: str = "batch_control", **options: Any) -> Plan:
    """The plan of a spec with this text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return expand(load_spec(path), **options)


def outcome_of(run: Run, auroc: float, *, profile: str = "paper", **changes: Any) -> Outcome:
    """An outcome with this AUROC. ``changes``: fields, or entries of ``environment``, ``data`` and ``cost``."""
    environment = {"revision": "f" * 40, "dirty": False, "python": "3.11", "torch": "2.14.1", "device": "cpu"}
    environment["threads"] = 1
    data = {"name": run.dataset, "digest": DIGEST, "stand_in": False, "size": 28, "notes": []}
    cost = {"fit_seconds": 60.0, "score_seconds": 5.0, "cpu_seconds": 64.0, "parameters": 11_200_000}
    for part in (environment, data, cost):
        part.update({key: changes.pop(key) for key in list(changes) if key in part})
    values: dict[str, Any] = {
        "method": run.method,
        "version": 1,
        "dataset": run.dataset,
        "seed": run.seed,
        "profile": profile,
        "train_key": run.train_key,
        "eval_key": run.eval_key,
        "train": dict(run.train),
        "evaluation": dict(run.evaluation),
        "settings": dict(run.settings),
        "metrics": {
            "auroc": auroc,
            "auroc_low": auroc - 0.02,
            "auroc_high": auroc + 0.02,
            "aupr": 0.5,
            "fpr95": 0.25,
        },
        "counts": {"train": 1214, "normal": 234, "anomalous": 390},
        "data": data,
        "selection": str(run.evaluation.get("selection", "last")),
        "epoch": 1.0,
        "environment": environment,
        "cost": cost,
        "finished": f"2025-11-2{run.seed}T10:00:00+00:00",
    }
    return Outcome(**{**values, **changes})


def finish(store: Store, run: Run, auroc: float, **changes: Any) -> Outcome:
    """Write a made-up outcome into the store."""
    outcome = outcome_of(run, auroc, **changes)
    ids, labels = np.array(["a", "b"]), np.array([0, 1], dtype=np.uint8)
    store.write_outcome(outcome, ids, labels, np.array([0.1, 0.9]), {})
    return outcome


def fill(store: Store, plan: Plan, values: Mapping[str, Sequence[float]], **changes: Any) -> None:
    """Finish runs: label of the case and data set (``"DIA pneumonia_mnist"``) -> AUROC of the first seeds."""
    for cell in plan.cells:
        for run, auroc in zip(cell.runs, values.get(" ".join(cell.labels.values()), ()), strict=False):
            finish(store, run, auroc, **changes)


def judged(
    plan: Plan, store: Store, told: Mapping[str, tuple[str, str]] | None = None
) -> Iterable[Assessment]:
    """What ``assess`` would say, without looking at data or sources; ``told``: eval key -> state and reason."""
    verdicts = []
    for run in plan.runs:
        done = store.outcome(run.train_key, run.eval_key) is not None
        state, reason = (told or {}).get(run.eval_key, ("done", "done") if done else ("to run", "new"))
        verdicts.append(Assessment(run, state, reason))  # type: ignore[arg-type]
    return verdicts


def reported(
    plans: Iterable[Plan],
    store: Store,
    out: Path,
    formats: Sequence[str] = FORMATS,
    *,
    data_root: Path | None = None,
) -> list[Path]:
    """The files of a report on plans."""
    return write(look_up(plans, store, data_root=data_root), store, out, formats, data_root=data_root)
