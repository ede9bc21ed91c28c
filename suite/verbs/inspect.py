"""The verb show: everything about one run, found by the beginning of one of its keys."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite import files, provenance
from suite.outcome import Outcome
from suite.settings import KEY_LENGTH
from suite.store import Store
from suite.verbs.common import OK, USAGE, grid, log_tail, say, say_json

LOG_LINES = 20
"""Lines of a failed run's log that are shown."""


@dataclass(frozen=True)
class Found:
    """A run in the store: its fit's folder, and its outcome if it is done."""

    folder: Path
    outcome: Outcome | None
    evaluation: Path | None = None

    @property
    def key(self) -> str:
        """The digits that name it."""
        return (self.evaluation or self.folder).name


class NotFoundError(Exception):
    """No run, or more than one, has such a key; the message says what to do."""


def find(store: Store, prefix: str) -> Found:
    """The run whose evaluation key, or else whose training key, begins so. NotFoundError if that is not one
    run.
    """
    start = prefix.lower()[:KEY_LENGTH]
    evaluations = sorted(store.root.glob(f"runs/*/eval/{start}*")) if start.isalnum() else []
    fits = sorted(store.root.glob(f"runs/{start}*")) if start.isalnum() else []
    if len(evaluations) == 1:
        return _found(store, evaluations[0].parent.parent, evaluations[0])
    if not evaluations and len(fits) == 1:
        inside = sorted(fits[0].glob("eval/*"))
        return _found(store, fits[0], inside[0] if inside else None)
    names = [path.name for path in (evaluations or fits)]
    if not names:
        raise NotFoundError(
            f"{prefix}: no run in {store.root} has a key that begins so (`suite status` lists them)"
        )
    raise NotFoundError(
        f"{prefix}: {len(names)} runs have such keys ({', '.join(names[:5])}): give more digits"
    )


def _found(store: Store, folder: Path, evaluation: Path | None) -> Found:
    outcomes = {} if evaluation is None else files.peek_json(evaluation / "outcome.json")
    keys = outcomes.get("train_key"), outcomes.get("eval_key")
    outcome = store.outcome(str(keys[0]), str(keys[1])) if all(keys) else None
    return Found(folder, outcome, evaluation)


def show(store: Store, prefix: str, *, worst: int | None = None, as_json: bool = False) -> int:
    """Print a run's settings, results, cost and files; with ``worst`` the test images it ranks worst."""
    try:
        found = find(store, prefix)
    except NotFoundError as error:
        say(str(error))
        return USAGE
    if worst is not None:
        return _worst(store, found, worst, as_json)
    described = describe(store, found)
    if as_json:
        say_json(described)
        return OK
    for title, values in described.items():
        if isinstance(values, Mapping) and values:
            grid((title, ""), [(str(name), _text(value)) for name, value in values.items()])
        elif values and title == "log":
            say("\n  ".join(["the end of log.txt:", *values]))
        elif values:
            say(f"{title}: {_text(values)}")
    return OK


def describe(store: Store, found: Found) -> dict[str, Any]:
    """All about a run, in sections."""
    settings = files.peek_json(found.folder / "settings.json")
    outcome = found.outcome
    sections: dict[str, Any] = {
        "run": {name: settings.get(name) for name in ("method", "dataset", "seed")},
        "keys": {"fit": settings.get("train_key"), "evaluation": outcome.eval_key if outcome else None},
        "settings": outcome.settings if outcome else settings.get("settings", {}),
    }
    if outcome is None:
        places = [place for place in (found.evaluation, found.folder) if place is not None]
        state = next(filter(None, (files.peek_json(place / "state.json") for place in places)), {})
        name, reason = state.get("state", "not done"), state.get("reason", "")
        sections["state"] = f"{name}: {reason}" if reason else name
        sections["progress"] = files.peek_json(found.folder / "progress.json")
        sections["log"] = log_tail(found.folder, LOG_LINES) if name == "failed" else []
    else:
        like = [other for other in store.outcomes() if _but_seed(other) == _but_seed(outcome)]
        sections |= {
            "metrics": outcome.metrics,
            "images": outcome.counts,
            "checkpoint": f"{outcome.selection}, after {outcome.epoch:.0%} of the training"
            if outcome.epoch is not None
            else outcome.selection,
            "candidates": {f"{one['epoch']:.3f}": one["auroc"] for one in outcome.candidates},
            "cost": outcome.cost,
            "data": outcome.data,
            "artefacts": outcome.artefacts,
            "environment": outcome.environment,
            "cell": _cell(outcome, like),
            "packages": _packages(store, outcome, like),
            "finished": outcome.finished,
            "notes": list(outcome.notes),
        }
    sections["files"] = {
        str(path.relative_to(found.folder)): f"{path.stat().st_size} bytes"
        for path in sorted(found.folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    sections["folder"] = str(found.folder)
    return sections


def _cell(outcome: Outcome, like: Sequence[Outcome]) -> dict[str, Any]:
    """The run among its seeds."""
    values = {
        f"seed {other.seed}": other.metrics["auroc"] for other in sorted(like, key=lambda one: one.seed)
    }
    numbers = list(values.values())
    spread = {"std": statistics.stdev(numbers)} if len(numbers) > 1 else {}
    return {**values, "mean AUROC": statistics.mean(numbers), **spread, "n": len(numbers)}


def _packages(store: Store, outcome: Outcome, like: Sequence[Outcome]) -> dict[str, str]:
    """Where other seeds of the cell were fitted with other packages: this run's versions, theirs in brackets."""
    found = {}
    lock = outcome.environment.get("lock")
    for other in sorted(like, key=lambda one: one.seed):
        theirs = other.environment.get("lock")
        if lock and theirs and theirs != lock:
            folders = (store.run_folder(one.train_key) for one in (outcome, other))
            told = provenance.differences(*map(provenance.lock_in, folders))
            found[f"other than seed {other.seed}"] = ", ".join(told) or "not listed"
    return found


def _but_seed(outcome: Outcome) -> tuple[dict[str, Any], dict[str, Any]]:
    train = {name: value for name, value in outcome.train.items() if name not in ("seed", "artefacts")}
    return train, {name: value for name, value in outcome.evaluation.items() if name != "train"}


def _worst(store: Store, found: Found, count: int, as_json: bool) -> int:
    """The test images that are furthest on the wrong side: normal ones scored high, anomalous ones scored
    low.
    """
    from suite import separation

    if found.outcome is None:
        say(f"{found.key} is not done, so it has no scores")
        return USAGE
    kept = store.scores(found.outcome.train_key, found.outcome.eval_key)
    labels, score = kept["labels"].astype(bool), kept["score"]
    wrong = separation.wrongness(labels, score)
    order = separation.worst(wrong, count)
    rows: list[dict[str, Any]] = [
        {
            "id": str(kept["ids"][at]),
            "label": "anomalous" if labels[at] else "normal",
            "score": float(score[at]),
            "wrong": float(wrong[at]),
        }
        for at in order
    ]
    if as_json:
        say_json(rows)
    else:
        header = ("image", "is", "score", "share of the other class on its wrong side")
        grid(header, [(r["id"], r["label"], f"{r['score']:.5g}", f"{r['wrong']:.0%}") for r in rows])
    return OK


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_text(one) for one in value)
    return str(value)
