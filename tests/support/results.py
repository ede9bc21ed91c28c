"""What must be equal to the bit between a store that was disturbed and one that was not: everything but the times,
the places and the machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PROVENANCE = ("environment", "cost", "finished")
"""Entries of an outcome (and of an artefact's facts) that tell of the circumstances."""


def outcomes(root: Path) -> dict[str, dict[str, Any]]:
    """By evaluation key: an outcome without the circumstances, and a digest of each array of its scores."""
    found = {}
    for path in sorted((root / "runs").glob("*/eval/*/outcome.json")):
        outcome = _plain(json.loads(path.read_text()))
        outcome["artefact_info"] = {
            kind: _plain(facts) for kind, facts in outcome.get("artefact_info", {}).items()
        }
        with np.load(path.parent / "scores.npz", allow_pickle=False) as scores:
            arrays = {name: _digest(scores[name]) for name in scores.files}
        found[outcome["eval_key"]] = {"outcome": outcome, "scores": arrays}
    return found


def weights(root: Path) -> dict[str, dict[str, Any]]:
    """By path in the store: a digest of each tensor of what was trained (final weights, snapshots, models)."""
    paths = sorted(path for path in root.rglob("*.pt") if not path.name.startswith("."))
    return {path.relative_to(root).as_posix(): _tensors(path) for path in paths}


def litter(root: Path) -> list[str]:
    """Files below the runs and artefacts that no finished work should leave: checkpoints, half-written files.

    (What a killed packer leaves beside its pack is removed by a later one.)
    """
    found = (path for part in ("runs", "artefacts") for path in (root / part).rglob("*"))
    paths = (path for path in found if path.relative_to(root).parts[:2] != ("artefacts", "data"))
    return sorted(
        path.relative_to(root).as_posix()
        for path in paths
        if path.name in ("resume.pt", "resume.part") or path.name.endswith(".part")
    )


def differing(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys at which two such tables are not equal."""
    return sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    # Seals are of files whose containers name the temporary file they were written to.
    return {name: value for name, value in facts.items() if name not in (*PROVENANCE, "files")}


def _digest(array: np.ndarray[Any, Any]) -> str:
    head = f"{array.dtype.str} {array.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(array).tobytes()).hexdigest()


def _tensors(path: Path) -> dict[str, Any]:
    import torch

    flat: dict[str, Any] = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            flat[name] = _digest(value.contiguous().reshape(-1).view(torch.uint8).numpy())
        elif isinstance(value, Mapping):
            for key, one in value.items():
                visit(f"{name}.{key}", one)
        elif isinstance(value, list | tuple):
            for number, one in enumerate(value):
                visit(f"{name}.{number}", one)
        else:
            flat[name] = repr(value)

    visit("", torch.load(path, map_location="cpu", weights_only=True))
    return flat
