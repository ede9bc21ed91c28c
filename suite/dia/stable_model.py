"""Where the files of a Stable Diffusion model lie, and what is missing of them; torch-free, and no network."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("diffusers", "transformers")
INDEX = "model_index.json"
ROOT = "SUITE_MODELS"
"""The environment variable that names a folder of models, owner/name below it, in the layout of diffusers."""


def missing_model(model: str) -> str:
    """One line on what has to be got before a model (owner/name) can be used; empty when nothing has."""
    if absent := [name for name in PACKAGES if find_spec(name) is None]:
        return f"{' and '.join(absent)} not installed: pip install 'dissolving-suite[stable-diffusion]'"
    if folder(model) is None:
        return f"the model {model} is not at hand: hf download {model}, or put it below the folder {ROOT}"
    return ""


def folder(model: str) -> Path | None:
    """The model's folder, None when it is not on this machine."""
    if root := os.environ.get(ROOT):
        given = Path(root).expanduser() / model
        if (given / INDEX).is_file():
            return given
    # The cache's layout, read here: the library's own look-up imports an HTTP client, which takes longer
    # than a plan.
    from huggingface_hub.constants import HF_HUB_CACHE

    kept = Path(HF_HUB_CACHE) / f"models--{model.replace('/', '--')}"
    try:
        revision = (kept / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None
    snapshot = kept / "snapshots" / revision
    return snapshot if (snapshot / INDEX).is_file() else None
