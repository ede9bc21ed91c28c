"""What a method computes is guarded by its version: tiny scores of every method, kept with the version that
gave them. When one moves, either it is a mistake, or the method's ``version`` is to be raised and the file
written anew with ``UPDATE_GOLDEN=1`` (old runs then keep their old key).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import methods
import numpy as np
import pytest
import torch

from suite import registry
from suite.data.phantom import generate
from suite.detector import Context

GOLDEN = Path(__file__).with_name("golden_scores.json")
SLIM = {
    "network": {"stem": "cifar", "width": 8},
    "train": {"epochs": 1, "epoch_size": 12, "batch": 4},
    "contrast": {"tau": 0.5},
}
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "csi": ("csi", SLIM),
    "dia, Gaussian": ("dia", {**SLIM, "dissolve": {"op": "gaussian", "kernel": 3, "size": 16}}),
    "dia, diffusion": ("dia", {**SLIM, "dissolve": {"size": 16, "steps": [30, 130]}}),
    "dia, diffusion, one t an image": (
        "dia",
        {**SLIM, "dissolve": {"size": 16, "steps": [30, 130], "draw": "per_image"}},
    ),
    "dia, diffusion, symmetric": (
        "dia",
        {**SLIM, "dissolve": {"size": 16, "steps": [30, 130], "range": "symmetric", "draw": "per_image"}},
    ),
}
BRIEF = {"efficientad": '"distil.steps" = 3\n"train.steps" = 3'}
"""Settings of methods that make much of a rounding error in as many steps as the smoke profile has."""
RELATIVE = 2e-3
"""Processors round differently; a change of meaning is far larger."""


def scores_of(name: str, raw: dict[str, object], folder: Path) -> list[float]:
    """Scores of four images after a fit on twelve."""
    info = registry.method(name)
    model = info.training(raw)
    # Without balancing: an untrained classifier's mean logit is near zero, and dividing by it magnifies rounding.
    plain = {"balance": False} if "balance" in info.scoring.model_fields else {}
    detector = info.load()(model.parse(raw), info.scoring.parse(plain))
    phantom = generate(14, 2, 16, seed=0)
    train, test = phantom.images[:12], phantom.images[12:]
    context = Context(device=torch.device("cpu"), seed=0, artefacts={"diffusion": _unet(folder)})
    detector.fit(train, context)
    context = Context(device=torch.device("cpu"), seed=0, train=train)
    return [float(score) for score in detector.score(test, context)]


def scores_of_baseline(name: str) -> list[float]:
    """The same under the smoke profile, at 32 px."""
    phantom = generate(14, 2, 32, seed=0)
    train, test = phantom.images[:12], phantom.images[12:]
    return [
        float(score)
        for score in methods.fitted(name, train, BRIEF.get(name, "")).score(
            test, methods.context(train=train)
        )
    ]


def _unet(folder: Path) -> Path:
    """An untrained diffusion model, as its artefact would lie there."""
    from suite.dia import diffusion
    from suite.dia.info import Diffusion
    from suite.tensors import write_torch

    model = diffusion.build(1, 16, Diffusion(dim=8), 0).model.state_dict()
    header = {"channels": 1, "size": 16, "dim": 8, "loss": "l1"}
    write_torch(folder / "model.pt", {"ema": model, "raw": model, "header": header})
    return folder


def golden() -> dict[str, dict[str, object]]:
    return json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


@pytest.mark.parametrize("case", [*CASES, *methods.baselines()])
def test_scores_move_only_with_the_version(case, tmp_path):
    name, raw = CASES.get(case, (case, None))
    found = scores_of_baseline(name) if raw is None else scores_of(name, raw, tmp_path)
    version = registry.method(name).version
    if os.environ.get("UPDATE_GOLDEN"):
        kept = golden() | {case: {"version": version, "scores": [float(f"{score:.6g}") for score in found]}}
        GOLDEN.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    expected = golden()[case]
    assert expected["version"] == version, f"{name} has version {version}: write its scores anew"
    np.testing.assert_allclose(
        found,
        expected["scores"],
        rtol=RELATIVE,
        err_msg=f"{name} computes something else than version {version} did: raise its version or undo",
    )


def test_every_method_is_guarded():
    guarded = {name for name, _ in CASES.values()} | set(methods.baselines())
    assert guarded == set(registry.methods())
