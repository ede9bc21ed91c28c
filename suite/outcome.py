"""What a finished run leaves behind: the numbers, what they were computed from, and what they cost; all plain
JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT = 1


class OutcomeFault(ValueError):  # noqa: N818 - named as FileFault and DataFault
    """A JSON object that is no outcome; says which entry is wrong."""


@dataclass(frozen=True)
class Outcome:
    """One run's result. The file that holds it, ``outcome.json``, *is* the state "done".

    ``metrics``: auroc with its 95 % interval (auroc_low, auroc_high), aupr, fpr95. ``epoch``: how far
    training was (0 to 1) at the snapshot that was scored. ``candidates``: for ``best_*``, the AUROC of each
    snapshot on the split that chose. ``environment`` and ``cost`` are provenance and never part of a key.
    """

    method: str
    version: int
    dataset: str
    seed: int
    profile: str
    train_key: str
    eval_key: str
    train: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    settings: Mapping[str, Any]
    metrics: Mapping[str, float]
    counts: Mapping[str, int]
    data: Mapping[str, Any]
    selection: str
    epoch: float | None
    environment: Mapping[str, Any]
    cost: Mapping[str, Any]
    artefacts: Mapping[str, str] = field(default_factory=dict)
    artefact_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = ""
    finished: str = ""
    notes: tuple[str, ...] = ()
    candidates: tuple[Mapping[str, float], ...] = ()

    @property
    def fit_seconds(self) -> float:
        """Seconds of training; 0 where they are not known."""
        return _number(self.cost.get("fit_seconds"))

    @property
    def score_seconds(self) -> float:
        """Seconds of scoring; 0 where they are not known."""
        return _number(self.cost.get("score_seconds"))

    @property
    def seconds(self) -> float:
        """Seconds of both."""
        return self.fit_seconds + self.score_seconds

    @property
    def signs(self) -> dict[str, float]:
        """What tells a good dissolver without any label, of the diffusion model that the run used:
        ``diffusion_loss`` at the end of its training, and ``variance_kept``, the share of the variance between
        images that is left when each is dissolved at t = 100 (Section 3.1: different inputs become alike).
        Those that are not known are left out.
        """
        facts = _object(_object(self.artefact_info, "diffusion"), "facts")
        variance = _object(facts, "variance")
        loss, whole, left = facts.get("l1", facts.get("l2")), variance.get("0"), variance.get("100")
        found = {"diffusion_loss": _number(loss)} if loss is not None else {}
        return found | ({"variance_kept": _number(left) / _number(whole)} if _number(whole) else {})

    def to_json(self) -> dict[str, Any]:
        """A plain JSON object; the inverse of :meth:`from_json`."""
        plain = asdict(self)
        plain["notes"], plain["candidates"] = list(self.notes), [dict(one) for one in self.candidates]
        return {"format": FORMAT, **plain}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Outcome:
        """Check and read a JSON object. OutcomeFault when it is none of ours; unknown further entries are
        ignored.
        """
        if plain.get("format") != FORMAT:
            raise OutcomeFault(f"format {plain.get('format')!r} is not {FORMAT}")
        values = {name: plain[name] for name in _NAMES if name in plain}
        for name, kind in _KINDS.items():
            if name not in values:
                raise OutcomeFault(f"has no {name}")
            if not isinstance(values[name], kind) or isinstance(values[name], bool):
                raise OutcomeFault(f"{name} is a {type(values[name]).__name__}")
        metrics = values["metrics"]
        if not all(isinstance(number, int | float) for number in metrics.values()) or "auroc" not in metrics:
            raise OutcomeFault("metrics must be numbers, auroc among them")
        for name in ("notes", "candidates"):
            values[name] = tuple(values.get(name, ()))
        return cls(**values)


def _object(plain: Any, name: str) -> Mapping[str, Any]:
    found = plain.get(name) if isinstance(plain, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


_NAMES = tuple(one.name for one in fields(Outcome))
_KINDS: dict[str, type | tuple[type, ...]] = {
    "method": str,
    "version": int,
    "dataset": str,
    "seed": int,
    "profile": str,
    "train_key": str,
    "eval_key": str,
    "train": dict,
    "evaluation": dict,
    "settings": dict,
    "metrics": dict,
    "counts": dict,
    "data": dict,
    "selection": str,
    "epoch": (int, float, type(None)),
    "environment": dict,
    "cost": dict,
}
