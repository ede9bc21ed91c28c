"""What of a store travels to another, and whether it is what it says: finished runs under their own keys.

A fit is known by the key that its settings give, an outcome by the key of its evaluation, and its AUROC by the
scores beside it; what fails one of these is :class:`Unfit` and is told in one line. Claims, states, progress and
checkpoints to resume from stay where they are: they speak of work on one machine.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from suite import files
from suite.goals import COSTS
from suite.job import run_from_json
from suite.outcome import Outcome, OutcomeFault
from suite.plan import Run
from suite.registry import in_order, keys_by_name
from suite.settings import KEY_LENGTH, key_of

FIT = ("settings.json", "environment.json", "metrics.jsonl", "log.txt", "fit.json")
EVALUATION = ("environment.json", "scores.npz", "outcome.json")
"""The files of a fit and of an evaluation, each list in the order of writing: the last says that it is whole."""
LOCAL = ("claim", "state.json", "progress.json", "resume", "origin.json")
"""How the names of an artefact's files begin that are of no use elsewhere."""
PACKS = "data"
"""The kind of artefact that never travels: images have their own licences, and are fetched."""


class Unfit(Exception):  # noqa: N818 - says what is wrong with something on its way
    """A run or an artefact that is not what it says it is; one line that names it."""


def folders(parent: Path) -> list[Path]:
    """The visible sub-folders, by name; none when ``parent`` is absent."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def fit_in(folder: Path) -> Run:
    """The fit that a run folder holds, by its ``settings.json``. Unfit when the key is not that of the settings."""
    try:
        run = run_from_json(files.read_json(folder / "settings.json") or {})
        own = key_of(run.train) == run.train_key
        own = own and run.train.get("artefacts", {}) == keys_by_name(run.needs)
    except files.FileFault:
        raise Unfit(f"{folder.name}: settings.json is spoilt") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unfit(f"{folder.name}: settings.json is no description of a run") from None
    if not own or folder.name != run.train_key[:KEY_LENGTH]:
        raise Unfit(f"{folder.name}: its settings do not give its key")
    return run


def outcome_in(folder: Path, train_key: str) -> Outcome | None:
    """The outcome in an evaluation's folder, None when it is not finished. Unfit when it is not whole, not of this
    fit, or not what its scores say.
    """
    name = f"{folder.parent.parent.name}/{folder.name}"
    try:
        plain = files.read_json(folder / "outcome.json")
        outcome = None if plain is None else Outcome.from_json(plain)
    except files.FileFault:
        raise Unfit(f"{name}: outcome.json is truncated or spoilt") from None
    except OutcomeFault as fault:
        raise Unfit(f"{name}: outcome.json is none: {fault}") from None
    if outcome is None:
        return None
    own = key_of(outcome.evaluation) == outcome.eval_key and outcome.evaluation.get("train") == train_key
    own = own and key_of(outcome.train) == outcome.train_key == train_key
    if not own or folder.name != outcome.eval_key[:KEY_LENGTH]:
        raise Unfit(f"{name}: its settings do not give its key")
    _check_scores(folder, outcome, name)
    return outcome


def _check_scores(folder: Path, outcome: Outcome, name: str) -> None:
    import numpy as np

    from suite.metrics import auroc

    try:
        with np.load(folder / "scores.npz", allow_pickle=False) as kept:
            labels, score, count = kept["labels"], kept["score"], len(kept["ids"])
        found = auroc(labels, score)
    except FileNotFoundError:
        raise Unfit(f"{name}: has no scores.npz") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise Unfit(f"{name}: scores.npz is truncated or spoilt") from None
    if count != len(score) or abs(found - outcome.metrics["auroc"]) > 1e-9:
        raise Unfit(f"{name}: its scores do not give its AUROC of {outcome.metrics['auroc']:.4f}")


def artefact_in(folder: Path, wanted: Mapping[tuple[str, str], Any]) -> dict[str, Any] | None:
    """The facts of a finished artefact, None when it is not finished. Unfit when its key is neither that of its
    identity nor one of ``wanted`` (kind and key -> identity: what runs use).
    """
    name = f"{folder.parent.name}/{folder.name}"
    try:
        facts = files.read_json(folder / "done.json")
    except files.FileFault:
        raise Unfit(f"{name}: done.json is truncated or spoilt") from None
    if facts is None:
        return None
    payload = {part: facts.get(part) for part in ("kind", "version", "identity")}
    payload |= {"needs": facts["needs"]} if facts.get("needs") else {}
    key = str(facts.get("key"))
    own = key_of(payload) == key or wanted.get((folder.parent.name, key)) == facts.get("identity")
    if not own or folder.name != key[:KEY_LENGTH] or facts.get("kind") != folder.parent.name:
        raise Unfit(f"{name}: its identity does not give its key")
    return facts


def used_by(runs: Iterable[Run]) -> dict[tuple[str, str], Any]:
    """Kind and key of each artefact that runs use, and that these are made from, with its identity."""
    needs = in_order(need for run in runs for need in run.needs)
    return {need.place: dict(need.identity) for need in needs}


def weights_of(folder: Path) -> list[Path]:
    """The final weights of a fit and its snapshots, as far as they are kept."""
    found = [folder / "weights.pt", *sorted((folder / "checkpoints").glob("snapshot-*.pt"))]
    return [path for path in found if path.is_file()]


def files_of(artefact: Path) -> list[Path]:
    """The files of a finished artefact, ``done.json`` last."""
    inside = (path for path in sorted(artefact.rglob("*")) if path.is_file())
    kept = [path for path in inside if not path.name.startswith((".", *LOCAL)) and path.name != "done.json"]
    return [*kept, artefact / "done.json"]


def small_artefacts(root: Path) -> Iterator[Path]:
    """The folders of artefacts that are measurements: bytes, and of use on any machine."""
    for kind in sorted(set(COSTS.values())):
        yield from folders(root / "artefacts" / kind)
