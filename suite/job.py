"""How a run is to be carried out (never what it computes), and what carrying it out may end in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suite import files, seals
from suite.recorder import Progress
from suite.registry import Need

if TYPE_CHECKING:
    from suite.plan import Run

logger = logging.getLogger("suite")
Keep = Literal["all", "best", "last", "none"]
"""What stays of a finished fit: all snapshots; those that an outcome chose; only the final weights; nothing.
"""

KEEPS: tuple[Keep, ...] = ("all", "best", "last", "none")
Force = Literal["", "score", "fit"]
"""What is done again although it is there: nothing, the scoring, or the fit too."""

SNAPSHOTS = 8
"""Candidates of ``best_val`` and ``best_test``, the final weights included. The key of such an evaluation names their
number; that of a fit does not, since taking them changes nothing.
"""


class Busy(Exception):  # noqa: N818 - no error: the run is in good hands
    """Another process works on this run (or artefact); the message says which."""


def _silent(stage: str, done: int, total: int, metrics: Mapping[str, float]) -> None:
    return None


@dataclass(frozen=True)
class Conditions:
    """Where and how a run is carried out. ``stop`` is asked often; once true, the run ends with a checkpoint."""

    device: str = "cpu"
    threads: int = 1
    data_root: Path | None = None
    keep: Keep = "all"
    profile: str = "paper"
    force: Force = ""
    checkpoint_every: float = 60.0
    progress: Progress = _silent
    stop: Callable[[], bool] = lambda: False


def fit_serves(run: Run, folder: Path, digest: str | None = None) -> bool:
    """Whether the fit in ``folder`` is finished, kept, made from these data, and has the snapshots that a run
    needs. With a digest at hand the files are read too, and one whose content has changed does not serve.
    """
    facts = files.peek_json(folder / "fit.json")
    if facts.get("train_key") != run.train_key or (digest and facts.get("digest") != digest):
        return False
    needed = ["weights.pt"]
    if run.evaluation["selection"] != "last":
        needed += [f"checkpoints/snapshot-{number}.pt" for number in facts.get("snapshots", ())]
    sealed = facts.get("files", {})
    if not all((folder / name).exists() for name in needed):
        return False
    wanted = {name: sealed[name] for name in needed if name in sealed}
    damaged = seals.broken(folder, wanted, thorough=digest is not None)
    for name in damaged:
        logger.warning("%s: is damaged; the training is repeated", folder / name)
    return not damaged


def run_to_json(run: Run) -> dict[str, Any]:
    """A run as plain JSON, for another process or for ``settings.json``."""
    return {
        "method": run.method,
        "dataset": run.dataset,
        "seed": run.seed,
        "train_key": run.train_key,
        "eval_key": run.eval_key,
        "settings": dict(run.settings),
        "train": dict(run.train),
        "evaluation": dict(run.evaluation),
        "needs": [need_to_json(need) for need in run.needs],
    }


def run_from_json(plain: Mapping[str, Any]) -> Run:
    """The inverse of :func:`run_to_json`. KeyError or TypeError when it is none."""
    from suite.plan import Run

    values = {field.name: plain[field.name] for field in fields(Run)}
    return Run(**{**values, "needs": tuple(need_from_json(need) for need in plain["needs"])})


def need_to_json(need: Need) -> dict[str, Any]:
    """An artefact's description as plain JSON."""
    return {
        "kind": need.kind,
        "version": need.version,
        "identity": dict(need.identity),
        "make": need.make,
        "label": need.label,
        "needs": [need_to_json(one) for one in need.needs],
        "dataset": need.dataset,
        "data": None if need.data is None else dict(need.data),
        "role": need.role,
    }


def need_from_json(plain: Mapping[str, Any]) -> Need:
    """The inverse of :func:`need_to_json`; those of an earlier form name no data and need nothing."""
    return Need(**{**plain, "needs": tuple(need_from_json(one) for one in plain.get("needs", ()))})
