"""What DIA costs: parameters and multiply-accumulates by counting (Table 6), memory by measuring (Table 14).

A count needs neither data nor weights: the networks run on tensors without content. The peak memory of a
process never falls, so each measurement happens in a process of its own, which trains for a few real steps on
random images.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from suite import cost
from suite.detector import Context
from suite.dia import diffusion, dissolve, info, network, training, views
from suite.dia.contrast import Design
from suite.settings import Settings

STEPS = 2
"""Steps of a measurement: the first sets up what the optimiser keeps, the second has it beside everything
else.
"""
POLL = 0.2


def make(identity: Mapping[str, Any], pack: Any, context: Context) -> dict[str, Any]:
    """Make the artefact ``cost``: parameters and multiply-accumulates of one image through the ResNet18
    without its heads and, where a diffusion model dissolves, once through its UNet. Blurs count as free.
    """
    channels, size = identity["channels"], identity["size"]
    settings = info.Network.parse(identity["network"])
    encoder = network.build(settings.stem, settings.width, views.SHIFTS, 0)
    encoder.projection, encoder.shift = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    parts = {"encoder": cost.count(encoder, (channels, size, size))}
    if "dim" in identity:
        side = identity["dissolve"]["size"]
        unet = diffusion.unet(identity["dim"], channels, plain=True)  # the model as it is defined
        parts["dissolver"] = cost.count(unet, (channels, side, side), steps=True)
    return {
        "parameters": sum(parameters for parameters, _ in parts.values()),
        "macs": sum(macs for _, macs in parts.values()),
        "parts": {name: {"parameters": one, "macs": macs} for name, (one, macs) in parts.items()},
    }


def make_memory(identity: Mapping[str, Any], pack: Any, context: Context) -> dict[str, Any]:
    """Make the artefact ``memory``: the peak of :data:`STEPS` training steps in a fresh process (MiB).

    On a CUDA device it is what its allocator had at most in use; on a CPU the process's peak of resident
    memory, ``rest_mb`` of which it had before it began (torch itself).
    """
    asked = {"identity": dict(identity), "device": str(context.device)}
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "suite.dia.costs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=cost.plain_environment(),
    )
    try:
        assert child.stdin is not None
        child.stdin.write(json.dumps(asked))
        child.stdin.close()
        child.stdin = None
        while child.poll() is None:
            context.pulse()
            time.sleep(POLL)
        answer, errors = child.communicate()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode:
        raise RuntimeError(_obituary(child.returncode, errors))
    measured: dict[str, Any] = json.loads(answer)
    return measured


def _obituary(code: int, errors: str) -> str:
    if code == -9:
        return (
            "the measuring process was killed: most likely the machine has too little memory for this batch"
        )
    last = errors.strip().splitlines()
    return f"the measuring process ended with code {code}{': ' + last[-1] if last else ''}"


def steps(identity: Mapping[str, Any], device: torch.device) -> None:
    """Train :data:`STEPS` steps on random images, as :mod:`suite.dia.training` does it."""
    channels, size, batch = identity["channels"], identity["size"], identity["train"]["batch"]
    op = identity.get("dissolve", {}).get("op")
    settings = info.DIA.training({"dissolve": {"op": op}}).parse(_settings(identity, op)) if op else None
    chosen = settings or info.CsiTraining.parse(_settings(identity, None))
    assert isinstance(chosen, info.Contrastive)
    design: Design = "a" if op else "csi"
    context = Context(device=device, seed=0)
    state = training.Training(batch, chosen, design, _dissolver(identity, chosen, device), context)
    generator = torch.Generator().manual_seed(0)
    state.network.train()
    for _ in range(STEPS):
        shape = (batch, channels, size, size)
        state.advance(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator))


def _settings(identity: Mapping[str, Any], op: str | None) -> dict[str, Any]:
    nested = {"network": identity["network"], "train": identity["train"]}
    return {**nested, "dissolve": identity["dissolve"]} if op else nested


def _dissolver(
    identity: Mapping[str, Any], settings: Settings, device: torch.device
) -> dissolve.Dissolver | None:
    """The dissolver; a diffusion model keeps its first weights, which need the same memory."""
    if "dim" not in identity:
        made: dissolve.Dissolver | None = dissolve.build(getattr(settings, "dissolve", None), {}, device)
        return made
    side = identity["dissolve"]["size"]
    unet = diffusion.unet(identity["dim"], identity["channels"])
    predict, alphas = diffusion.predictor(unet, side, device)
    return dissolve.DiffusionDissolver(predict, alphas, (30, 130), side, False)


def _measured(asked: Mapping[str, Any]) -> dict[str, Any]:
    device = torch.device(asked["device"])
    if device.type == "cuda":
        steps(asked["identity"], device)
        peak = torch.cuda.max_memory_allocated(device) / 2**20
        reserved = torch.cuda.max_memory_reserved(device) / 2**20
        return {"peak_memory_mb": round(peak, 1), "reserved_mb": round(reserved, 1), "measure": "cuda"}
    cost.reset_peak_memory()
    rest = cost.peak_memory_mb()
    steps(asked["identity"], device)
    return {"peak_memory_mb": cost.peak_memory_mb(), "rest_mb": rest, "measure": "process"}


if __name__ == "__main__":
    print(json.dumps(_measured(json.loads(sys.stdin.read()))))
