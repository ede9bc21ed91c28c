"""The measurement of large stores measures what it says; how long it takes is no test."""

from __future__ import annotations

from pathlib import Path

import pytest
import scale


@pytest.mark.slow
def test_all_planned_runs_are_finished_in_the_made_up_store(tmp_path: Path) -> None:
    found = scale.measure(tmp_path, runs=100)
    assert found["plan"]["told"] == "100 runs: 100 done"
    assert found["scan"]["told"] == "100"
    assert found["report"]["told"].startswith("written: ")
    assert all(one["seconds"] > 0 for one in found.values())
