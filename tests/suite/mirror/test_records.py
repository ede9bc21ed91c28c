"""A record's name and curves are those of its tags and files."""

from __future__ import annotations

from pathlib import Path

from fabric import fill, plan_of

from suite.mirror.cells import records
from suite.mirror.records import NAME
from suite.store import Store


def test_names_and_curves(tmp_path: Path) -> None:
    plan, store = plan_of(tmp_path), Store(tmp_path / "runs")
    fill(store, plan, {"CSI pneumonia_mnist": (0.8,)})
    (cell,) = records(plan, store)
    assert cell.name == cell.tags[NAME] == "CSI, pneumonia_mnist"
    (seed,) = cell.seeds
    assert (seed.name, list(seed.curves())) == ("CSI, pneumonia_mnist, seed 0", [])
    (seed.folder / "metrics.jsonl").write_text('{"step": 3, "loss": 0.5}\n')
    assert list(seed.curves()) == [("curve.loss", 3, 0.5)]
