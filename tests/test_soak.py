"""The soak, small: twenty kills of the command and its workers while a toy method trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parent / "soak.py"


@pytest.mark.long
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    words = [
        "--toy",
        "--runs",
        "6",
        "--kills",
        "20",
        "--apart",
        "0.5",
        "3",
        "--store",
        str(tmp_path / "soak"),
    ]
    done = subprocess.run([sys.executable, SOAK, *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "0 faults" in done.stdout


def test_a_fault_is_found(tmp_path: Path) -> None:
    """The soak can tell: a store in which a score, a tensor or a file moved is not equal to the other."""
    import numpy as np
    import results
    import torch

    for root, value in (("a", 0.5), ("b", np.nextafter(0.5, 1))):
        folder = tmp_path / root / "runs" / "r" / "eval" / "e"
        folder.mkdir(parents=True)
        content = {"eval_key": "k", "metrics": {"auroc": 1}, "finished": root}
        (folder / "outcome.json").write_text(json.dumps(content))
        np.savez(folder / "scores.npz", score=np.array([value]))
        torch.save(
            {"w": [torch.tensor([value], dtype=torch.float64)], "step": 1},
            folder.parent.parent / "weights.pt",
        )
    (tmp_path / "b" / "runs" / "r" / "checkpoints").mkdir()
    (tmp_path / "b" / "runs" / "r" / "checkpoints" / "resume.pt").touch()
    found, other = (results.outcomes(tmp_path / root) for root in ("a", "b"))
    assert found["k"]["outcome"] == other["k"]["outcome"]
    assert results.differing(found, other) == ["k"]
    assert results.differing(found, found) == []
    assert results.litter(tmp_path / "a") == []
    assert results.litter(tmp_path / "b") == ["runs/r/checkpoints/resume.pt"]
    (tmp_path / "b" / "runs" / "r" / "checkpoints" / "resume.pt").unlink()
    weights = [results.weights(tmp_path / root) for root in ("a", "b")]
    assert results.differing(*weights) == ["runs/r/weights.pt"], "double precision: one bit"
