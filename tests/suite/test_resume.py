"""A run that is killed, whenever that is, ends with exactly the outcome of one that was not (:mod:`crashes`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import engine
import pytest

SPEC = """
title = "Killed"
seeds = [0]
profile = "smoke"
[settings]
dataset = "toy"
{settings}
[table]
rows = ["method"]
[grid]
method = ["{method}"]
"""
TOY = 'selection = "best_test"\nuses = "artefact"\n"train.steps" = 8\n"train.pause" = 1e-6\n'
SMALL = """
"data.size" = 16
"train.epochs" = 1
"train.batch" = 8
"""
SHORT = SMALL + '"train.epoch_size" = 72\n"score.views" = 1\n'
DISSOLVED = '"dissolve.size" = 16\n"diffusion.steps" = 3\n"diffusion.batch" = 4\n'


def _explore(
    folder: Path, method: str, settings: str, most: int
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """What was found after each kill, and the summary."""
    spec = folder / "killed.toml"
    spec.write_text(SPEC.format(method=method, settings=settings))
    environment = {
        **os.environ,
        "SUITE_PLUGINS": "fakes:FAKE,fakes:TOY",
        "PYTHONPATH": os.pathsep.join([str(engine.SUPPORT), str(engine.CHECKOUT)]),
    }
    done = subprocess.run(
        [sys.executable, engine.SUPPORT / "crashes.py", spec, folder, str(most)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    *found, summary = map(json.loads, done.stdout.splitlines())
    return found, summary


def _check(found: list[dict[str, Any]]) -> None:
    assert [one for one in found if not one["killed"]] == []
    assert [one for one in found if not one["finished"] or one["differing"] or one["litter"]] == []


def test_killed_at_some_changes_of_the_disk_a_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    found, _ = _explore(tmp_path, "fake", TOY, 8)
    _check(found)


@pytest.mark.long
def test_killed_at_any_change_of_the_disk_a_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Packing, making an artefact, every checkpoint, snapshots, weights, the facts of the fit, scores, outcome."""
    found, summary = _explore(tmp_path, "fake", TOY, 1000)
    _check(found)
    assert (summary["outcomes"], summary["weights"]) == (1, 8)
    assert len(found) == summary["changes"] > 60
    named = {(what, Path(path).name) for what, path, _ in (one["change"] for one in found)}
    assert named >= {
        ("rename", "done.json"),
        ("rename", "resume.pt"),
        ("rename", "snapshot-7.pt"),
        ("open", "weights.pt"),
        ("rename", "weights.pt"),
        ("rename", "fit.json"),
        ("remove", "resume.pt"),
        ("open", "scores.npz"),
        ("rename", "scores.npz"),
        ("rename", "outcome.json"),
    }


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "settings", "most"),
    [
        ("dia", 'selection = "best_val"\n' + SHORT + DISSOLVED, 2),
        ("csi", 'selection = "best_test"\n' + SHORT, 1),
        ("fastflow", SMALL, 1),
    ],
)
def test_a_killed_training_goes_on_to_the_bit(tmp_path: Path, method: str, settings: str, most: int) -> None:
    """DIA with its diffusion model and a choice on validation images, CSI with one on the test images, a baseline."""
    found, summary = _explore(tmp_path, method, settings, most)
    _check(found)
    assert summary["outcomes"] == 1
