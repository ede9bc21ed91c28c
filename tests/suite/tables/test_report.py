"""Reports as files: names, formats, profiles, selections, and nothing but the store needed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fabric import fill, plan_of, reported

from suite.store import Store
from suite.tables import report


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_one_file_a_format_and_profile(tmp_path: Path, store: Store) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "tiny.toml").write_text('[settings]\n"train.epochs" = 2\n')
    full, tiny = plan_of(tmp_path), plan_of(tmp_path, profile=str(profiles / "tiny.toml"))
    fill(store, full, {"DIA pneumonia_mnist": (0.90, 0.91, 0.95)})
    fill(store, tiny, {"DIA pneumonia_mnist": (0.60, 0.61, 0.65)}, profile=tiny.profile)
    out = tmp_path / "out"
    written = reported([full, tiny], store, out)
    names = {path.name for path in written}
    assert names == {
        "index.html",
        *(f"batch_control.{kind}" for kind in ("md", "tex", "csv")),
        *(f"batch_control-{tiny.profile}.{kind}" for kind in ("md", "tex", "csv")),
    }
    assert {path.name for path in out.iterdir()} == names
    text = (out / "batch_control.md").read_text()
    assert "0.920±0.026" in text
    assert "0.620" not in text
    small = (out / f"batch_control-{tiny.profile}.md").read_text()
    assert "0.620±0.026" in small
    assert "NOT the paper's full computation" in small
    tidy = pd.read_csv(out / "batch_control.csv")
    assert len(tidy) == 18
    assert tidy["auroc"].count() == 3


def test_reports_need_neither_mlflow_nor_torch() -> None:
    code = "import sys, suite.tables.report; print(sorted({'mlflow', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_table_for_each_selection(tmp_path: Path, store: Store) -> None:
    text = """
title = "Checkpoints"
seeds = [0]
[table]
rows = ["case"]
columns = ["dataset"]
[[case]]
label = "CSI"
set = { method = "csi" }
[grid]
dataset = ["phantom"]
"""
    plan = plan_of(tmp_path, text, "checkpoints")
    oracle = plan_of(tmp_path, text, "checkpoints", sets={"selection": "best_test"})
    both = type(plan)(plan.spec, plan.profile, (*plan.cells, *oracle.cells))
    fill(store, plan, {"CSI phantom": (0.8,)})
    fill(store, oracle, {"CSI phantom": (0.9,)})
    (path,) = reported([both], store, tmp_path / "out", ["md"])
    first, second = path.read_text().split("# Checkpoints ")[1:]
    assert first.startswith(r"(last)")
    assert "0.800" in first
    assert "0.900" not in first
    assert second.startswith(r"(best\_test)")
    assert "0.900" in second
    assert "an oracle" in second
    assert "an oracle" not in first


def test_absent_data_are_listed_with_what_to_do(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    text = reported([plan], store, tmp_path / "out", ["md"], data_root=tmp_path / "nothing")[0].read_text()
    missing = text[text.index("## Missing") :]
    assert "pneumonia" in missing
    assert text.count(" -- (paper") + text.count(" --† (paper") == 6


def test_no_variant_is_written_over_another(tmp_path: Path, store: Store) -> None:
    sets: list[dict[str, Any]] = [
        {},
        {"train.epochs": 3},
        {"train.epochs": 4},
        {"dataset": "folder:some images"},
        {"dataset": "folder:some/images"},
        {"dissolve.steps": [30, 130]},
    ]
    plans = [plan_of(tmp_path, sets=one) for one in sets]
    plans += [plan_of(tmp_path, seeds=(0,)), plan_of(tmp_path, sets={"train.epochs": 3}, seeds=(0, 5))]
    names = [report.stem(plan) for plan in plans]
    assert len(set(names)) == len(plans)
    assert names[:2] == ["batch_control", "batch_control-train.epochs=3"]
    assert names[-1] == "batch_control-train.epochs=3-seeds=0,5"
    assert all(re.fullmatch(r"[A-Za-z0-9.,=_-]+", name) for name in names)
    written = reported(plans, store, tmp_path / "out", ["md"])
    assert len({path.name for path in written}) == len(plans)
    told = written[1].read_text()
    assert "CHANGED from the spec by --set: train.epochs = 3." in told
    assert "CHANGED" not in written[0].read_text()


def test_unknown_format(tmp_path: Path, store: Store) -> None:
    with pytest.raises(ValueError, match="no format 'docx'; there are md, tex, csv, png, pdf"):
        reported([plan_of(tmp_path)], store, tmp_path / "out", ["docx"])
    assert not (tmp_path / "out").exists()


def test_writing_again_gives_the_same_bytes(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.91, 0.95)})
    before = [path.read_bytes() for path in reported([plan], store, tmp_path / "out")]
    assert [path.read_bytes() for path in reported([plan], store, tmp_path / "out")] == before
