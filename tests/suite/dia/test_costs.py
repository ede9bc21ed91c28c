"""Table 6 by counting, and memory by measuring real training steps."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import torch

from suite.detector import Context, Interrupted
from suite.dia import costs

CPU = Context(device=torch.device("cpu"), seed=0)
PAPER: dict[str, Any] = {"channels": 3, "size": 224, "network": {"stem": "imagenet", "width": 64}}
SLIM: dict[str, Any] = {
    "channels": 1,
    "size": 32,
    "network": {"stem": "imagenet", "width": 8},
    "train": {"batch": 4, "optimiser": "adam"},
}


@pytest.mark.parametrize(
    ("side", "macs", "parameters"),
    [(None, 1.81, 11.18), (32, 2.32, 20.38), (64, 3.83, 20.38), (128, 9.92, 20.38)],
)
def test_table_6(side: int | None, macs: float, parameters: float) -> None:
    identity = dict(PAPER)
    if side is not None:
        identity |= {"dim": 32, "dissolve": {"op": "diffusion", "size": side}}
    made = costs.make(identity, None, CPU)
    assert made["macs"] / 1e9 == pytest.approx(macs, abs=0.005)
    assert made["parameters"] / 1e6 == pytest.approx(parameters, abs=0.005)
    assert made["macs"] == sum(part["macs"] for part in made["parts"].values())


@pytest.mark.parametrize(
    "dissolve",
    [
        None,
        {"op": "diffusion", "size": 32},
        {"op": "gaussian", "size": 32, "kernel": 3},
        {"op": "resize", "size": 16},
        {"op": "none"},
    ],
)
def test_the_steps_that_are_measured_are_those_of_training(dissolve: dict[str, Any] | None) -> None:
    identity = dict(SLIM)
    if dissolve is not None:
        identity |= {"dissolve": dissolve} | ({"dim": 8} if dissolve["op"] == "diffusion" else {})
    costs.steps(identity, torch.device("cpu"))


@pytest.mark.long
def test_memory_grows_with_the_batch() -> None:
    def measured(batch: int) -> dict[str, Any]:
        train = {"batch": batch, "optimiser": "adam"}
        identity = {**SLIM, "size": 64, "network": PAPER["network"], "train": train}
        return costs.make_memory(identity, None, CPU)

    small, large = measured(2), measured(8)
    assert small["measure"] == "process"
    assert 0 < small["rest_mb"] < small["peak_memory_mb"] < large["peak_memory_mb"]


def test_a_measurement_stops_when_asked_to() -> None:
    with pytest.raises(Interrupted):
        costs.make_memory(SLIM, None, Context(device=torch.device("cpu"), seed=0, stop=lambda: True))


@pytest.mark.parametrize(
    ("code", "told"), [(-9, "too little memory"), (1, "ended with code 1: CUDA out of memory")]
)
def test_a_measurement_that_failed_says_why(monkeypatch: pytest.MonkeyPatch, code: int, told: str) -> None:
    class Child(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            text = f"import os, sys; print('CUDA out of memory', file=sys.stderr); {end}"
            super().__init__([arguments[0][0], "-c", text], **named)

    end = "os.kill(os.getpid(), 9)" if code == -9 else "sys.exit(1)"
    monkeypatch.setattr(costs.subprocess, "Popen", Child)
    with pytest.raises(RuntimeError, match=told):
        costs.make_memory(SLIM, None, CPU)
