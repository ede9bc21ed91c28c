"""The measurement of large stores measures what it says; how long it takes is no test."""

from __future__ import annotations

from pathlib import Path

import pytest
import scale


@pytest.mark.slow
def test_all_planned_runs_are_finished_in_the_made_up_store(tmp_path: Path) -> None:
    scale.build(tmp_path, runs=100)
    found = {name: scale.told(command, tmp_path) for name, command in scale.commands(tmp_path).items()}
    assert set(found) >= set(scale.LIMITS)
    assert found["plan"] == "100 runs: 100 done"
    assert found["scan"] == "100"
    assert found["report"].startswith("written: ")
