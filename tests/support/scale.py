"""Ten thousand runs: how long a plan, a scan of the store and a report take (``nox -s bench -- --only scale``).

The store is made up: real keys, made-up outcomes, scores of a small test set. Each command is a process of its
own, as a user starts it, and its cost is the processor time of that process, so that a busy machine does not
count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from fabric import outcome_of

ROOT = Path(__file__).resolve().parents[2]

SPEC = """
title = "Ten thousand runs"
seeds = [{seeds}]
[table]
rows = ["case", "train.lr"]
columns = ["dataset"]
[[case]]
label = "CSI"
set = {{ method = "csi" }}
[[case]]
label = "DIA"
set = {{ method = "dia" }}
[grid]
dataset = ["pneumonia_mnist", "breast_mnist", "phantom", "sars_cov_2", "kvasir_polyp"]
"train.lr" = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1]
"""
CELLS, IMAGES = 100, 200
LIMITS = {"plan": 3, "scan": 3, "report": 20}
"""Processor seconds for ten thousand runs."""
SCAN = """
import sys
from pathlib import Path
from suite.store import Store
print(sum(1 for _ in Store(Path(sys.argv[1])).outcomes()))
"""


def build(folder: Path, runs: int) -> Path:
    """A spec of so many planned runs (a multiple of 100) in ``folder``, and a store in which all are finished."""
    from suite import files
    from suite.job import run_to_json
    from suite.plan import expand
    from suite.spec import load_spec
    from suite.store import Store

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ten_thousand.toml"
    path.write_text(SPEC.format(seeds=", ".join(map(str, range(runs // CELLS)))))
    store = Store(folder / "runs")
    generator = np.random.default_rng(0)
    ids = np.array([f"test/{number:04}.png" for number in range(IMAGES)])
    labels = (np.arange(IMAGES) % 3 == 0).astype(np.uint8)
    curve = "".join(f'{{"step": {step}, "total": 200, "loss": {1 / step:.4f}}}\n' for step in range(1, 201))
    for run in expand(load_spec(path)).runs:
        score = generator.normal(labels, 1.0)
        outcome = outcome_of(run, float(generator.uniform(0.7, 0.9)), finished="2025-11-20T10:00:00+00:00")
        home = store.run_folder(run.train_key)
        files.write_json(home / "settings.json", {"format": 1, **run_to_json(run)}, durable=False)
        files.write_text(home / "metrics.jsonl", curve, durable=False)
        place = store.eval_folder(run.train_key, run.eval_key)
        place.mkdir(parents=True)
        np.savez_compressed(place / "scores.npz", allow_pickle=False, ids=ids, labels=labels, score=score)
        files.write_json(place / "outcome.json", outcome.to_json(), durable=False)
    return path


def told(command: list[str], folder: Path) -> str:
    """Run a command in a folder; what it printed last."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=3600
    )
    return done.stdout.strip().splitlines()[-1]


def commands(folder: Path) -> dict[str, list[str]]:
    """What is measured, by name; to be run in ``folder``, where :func:`build` has made a store."""
    suite = [sys.executable, "-m", "suite.cli"]
    spec = "ten_thousand.toml"
    return {
        "plan of an empty store": [*suite, "plan", spec, "--store", str(folder / "empty")],
        "plan": [*suite, "plan", spec, "--store", "runs"],
        "scan": [sys.executable, "-c", SCAN, "runs"],
        "report": [*suite, "report", spec, "--store", "runs", "--out", "out"],
    }
