"""The facts of the baselines cost nothing."""

from __future__ import annotations

import subprocess
import sys

import pydantic
import pytest

from baselines.info.controls import NeighbourScoring
from suite.registry import method


def test_facts_load_no_torch() -> None:
    code = "import sys, baselines.info; print([m for m in ('torch', 'numpy', 'torchvision') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["pixel_knn", "random_knn"])
def test_they_are_registered_and_can_be_built(name: str) -> None:
    info = method(name)
    detector = info.load()(info.training({})(), info.scoring())
    assert detector.k == 1


def test_k_is_a_positive_whole_number() -> None:
    assert NeighbourScoring.parse({"k": 3.0}) == NeighbourScoring(k=3)
    for wrong in (0, 1.5, "2"):
        with pytest.raises(pydantic.ValidationError):
            NeighbourScoring.parse({"k": wrong})
