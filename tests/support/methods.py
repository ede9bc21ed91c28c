"""Every registered method under the smoke profile, built as a run builds it, for tests of what all have in common."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from suite import attempt, registry
from suite.data import phantom
from suite.detector import Context, Images
from suite.plan import Run, expand
from suite.spec import load_spec

CPU = torch.device("cpu")
SPEC = """
title = "one method"
seeds = [{seed}]
[settings]
method = "{method}"
dataset = "phantom"
"data.size" = 32
{settings}
[table]
rows = ["method"]
[grid]
method = ["{method}"]
"""


def baselines() -> list[str]:
    """The registered methods that this project ships beside CSI and DIA."""
    return sorted(n for n, one in registry.methods().items() if one.implementation.startswith("baselines."))


@cache
def run(method: str, settings: str = "", seed: int = 0, profile: str = "smoke") -> Run:
    """One run of a method, planned from a spec; ``settings`` are further lines of TOML."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.toml"
        path.write_text(
            SPEC.format(method=method, settings=settings, seed=seed).replace(f'method = "{method}"\n', "", 1)
        )
        (planned,) = expand(load_spec(path), profile=profile).runs
    return planned


def build(method: str, settings: str = "", profile: str = "smoke") -> Any:
    """A fresh detector."""
    return attempt.build(run(method, settings, profile=profile))


def context(seed: int = 0, **more: Any) -> Context:
    return Context(device=CPU, seed=seed, **more)


def fitted(method: str, images: Images, settings: str = "", seed: int = 0) -> Any:
    """A detector that has seen these images."""
    detector = build(method, settings)
    detector.fit(images, context(seed))
    return detector


@cache
def lesions(count: int, seed: int, size: int = 32, kind: Any = "coarse") -> Images:
    """Half normal phantoms, then half with lesions (``count`` each); for seed 0 normal ones only."""
    images = phantom.generate(count, 0 if seed == 0 else count, size, seed, kind).images
    images = np.array(images)
    images.flags.writeable = False
    return images
