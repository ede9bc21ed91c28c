"""Spec to plan, without side effects: cells, keys, de-duplication, and what stands in the way of each run.

``expand`` is pure; ``assess`` compares a plan with a store and says for each run what state it is in and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suite.registry import Need


@dataclass(frozen=True)
class Run:
    """A cell and a seed. ``train`` and ``evaluation`` are the payloads of the two keys (64 hex digits each)."""

    method: str
    dataset: str
    seed: int
    settings: Mapping[str, Any]
    """All resolved settings, flat and dotted (training, scoring, data), as they act."""
    train: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    train_key: str
    eval_key: str
    needs: tuple[Need, ...]


@dataclass(frozen=True)
class Cell:
    """One value of a table: where it stands (axis -> label) and its runs, one a seed, in the spec's order."""

    labels: Mapping[str, str]
    values: Mapping[str, Any]
    method: str
    dataset: str
    settings: Mapping[str, Any]
    runs: tuple[Run, ...]
