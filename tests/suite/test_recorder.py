"""Progress and curves of a run, also of one that goes on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suite.recorder import Recorder


def _recorder(folder: Path) -> Recorder:
    return Recorder(folder, lambda *ignored: None)


def test_a_run_that_goes_on_makes_no_point_twice_and_counts_time_on(tmp_path: Path) -> None:
    first = _recorder(tmp_path)
    first.begin(resuming=False)
    hook = first.stage("fit")
    for step in (1, 2, 3):
        hook(step, 3, {"loss": 1.0 / step})
        first.flush()
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 4, "lo')
    told = json.loads((tmp_path / "progress.json").read_text())
    assert (told["stage"], told["done"], told["total"]) == ("fit", 3, 3)
    (tmp_path / "progress.json").write_text(json.dumps({**told, "spent": {"wall": 100.0, "cpu": 50.0}}))

    second = _recorder(tmp_path)
    meter = second.begin(resuming=True)
    assert meter.seconds >= 100
    hook = second.stage("fit")
    for step in (3, 4):
        hook(step, 4, {"loss": 0.5})
        second.flush()
    points = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [point["step"] for point in points] == [1, 2, 3, 4]
    second.close(finished=True)
    assert not (tmp_path / "progress.json").exists()


def test_a_fresh_fit_starts_at_zero(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text(json.dumps({"spent": {"wall": 100.0, "cpu": 50.0}}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert _recorder(tmp_path).begin(resuming=False).seconds < 50
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path, value: float) -> None:
    hook = _recorder(tmp_path).stage("fit")
    hook(1, 9, {"rate": value})
    with pytest.raises(FloatingPointError, match=r"loss is .* at step 2 of 9"):
        hook(2, 9, {"loss": value})


def test_telling_costs_little(tmp_path: Path) -> None:
    """Every step may tell; the disk hears of it about once a second."""
    told: list[int] = []
    recorder = Recorder(tmp_path, lambda stage, done, total, metrics: told.append(done))
    recorder.begin(resuming=False)
    hook = recorder.stage("fit")
    for step in range(1, 2000):
        hook(step, 10_000, {"loss": 1.0})
    assert len(told) < 10
