"""How trials ended, written and read back; what is spoilt is as if it were not there."""

from __future__ import annotations

import os
from pathlib import Path

from suite.search import told
from suite.search.study import Trial

TRIALS = [
    Trial(0, {"train.lr": 0.1}, (0.8, 0.9), "complete"),
    Trial(1, {"train.lr": 0.2}, (), "failed", "out of memory"),
]


def write(folder: Path, profile: str = "cpu", study: str = "a") -> None:
    told.write(
        folder,
        "find_trials",
        profile,
        study,
        {"train.lr": 0},
        TRIALS,
        TRIALS[0],
        lambda one: f"n{one.number}",
    )


def test_there_and_back(tmp_path: Path) -> None:
    write(tmp_path / "search" / "a")
    found = told.read(tmp_path, "find_trials", "cpu")
    assert (found.study, found.searched, list(found.trials)) == ("a", ("train.lr",), ["n0", "n1"])
    best, failed = found.trials.values()
    assert (best.best, best.mean, best.settings) == (True, 0.8500000000000001, {"train.lr": 0.1})
    assert (failed.best, failed.mean, failed.reason) == (False, None, "out of memory")
    assert told.read(tmp_path, "find_trials", "paper") == told.Trials()
    assert told.read(tmp_path, "other", "cpu") == told.Trials()


def test_of_several_studies_the_last(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        write(tmp_path / "search" / name, study=name)
        os.utime(tmp_path / "search" / name / told.NAME, (number, number))
    assert told.read(tmp_path, "find_trials", "cpu").study == "b"


def test_a_spoilt_file_tells_nothing(tmp_path: Path) -> None:
    write(tmp_path / "search" / "a")
    path = tmp_path / "search" / "a" / told.NAME
    path.write_text(path.read_text().replace('"label"', '"other"'))
    assert told.read(tmp_path, "find_trials", "cpu") == told.Trials()
    path.write_text("{ torn")
    assert told.read(tmp_path, "find_trials", "cpu") == told.Trials()
