"""What finished work in the store took, for what is to be done of the same kind: seconds, and bytes on the disk.

Outcomes, the facts of artefacts and the sizes of folders are read, each when it is first asked for.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import files
from suite.job import Keep
from suite.registry import Need
from suite.settings import key_of
from suite.store import Outcome, Store

if TYPE_CHECKING:
    from suite.plan import Run

LIKE = 3
"""Folders that are measured for one of their kind."""


@dataclass
class Fits:
    """Fits of a kind: seconds of each by its train key, and the seconds of scoring them."""

    fit: dict[str, float] = field(default_factory=dict)
    score: list[float] = field(default_factory=list)

    def seconds(self, *, fitted: bool) -> float:
        """The median of a run, or of its scoring if its fit is there."""
        score = statistics.median(self.score)
        return score if fitted else score + statistics.median(self.fit.values())


class Past:
    """What a store tells. ``device``: times are those of work on such a device, ``cpu`` or ``cuda``; empty for any.
    ``outcomes``: where they have been read already.
    """

    def __init__(
        self, store: Store, device: str = "", outcomes: Callable[[], Iterable[Outcome]] | None = None
    ) -> None:
        self.store, self.device = store, device
        self._outcomes = outcomes or store.outcomes
        self._measured = cache(_parts)
        self._made = cache(self._read)

    def fits(self, run: Run, profile: str) -> Fits | None:
        """Fits that differ in the seed alone, or else those of the same method, data set and profile; None when
        there are none.
        """
        kinds = _settings(run.train), _place(run.method, run.train, profile)
        return next((self._fits[kind] for kind in kinds if kind in self._fits), None)

    def rough(self, run: Run, profile: str) -> Fits | None:
        """Fits of the same method and profile on whatever data."""
        return self._fits.get((run.method, profile))

    def fit_sizes(self, fits: Fits, keep: Keep) -> list[int]:
        """Bytes of some of these fits as far as they are there, if no more had been kept than ``keep`` says."""
        found = [self._measured(self.store.run_folder(key)) for key in list(fits.fit)[-LIKE:]]
        return [_kept(parts, keep) for parts in found if parts]

    def seconds(self, need: Need) -> float | None:
        """The median time in which artefacts like this one were made; None when none was."""
        times = [
            float(one["cost"]["seconds"]) for _, one in self._like(need) if self._here(one["environment"])
        ]
        return statistics.median(times) if times else None

    def sizes(self, need: Need) -> list[int]:
        """Bytes of some artefacts like this one."""
        return [sum(self._measured(folder).values()) for folder, _ in self._like(need)[-LIKE:]]

    @cached_property
    def _fits(self) -> Mapping[Any, Fits]:
        found: dict[Any, Fits] = {}
        for one in self._outcomes():
            if self._here(one.environment):
                kinds = (
                    _settings(one.train),
                    _place(one.method, one.train, one.profile),
                    (one.method, one.profile),
                )
                for kind in kinds:
                    fits = found.setdefault(kind, Fits())
                    fits.fit[one.train_key] = one.fit_seconds
                    fits.score.append(one.score_seconds)
        return found

    def _here(self, environment: Mapping[str, Any]) -> bool:
        return str(environment.get("device", "")).startswith(self.device)

    def _like(self, need: Need) -> list[tuple[Path, Mapping[str, Any]]]:
        """Finished artefacts that differ in the seed alone, or else in the data too, but not in their size."""
        kinds = _kinds(need.version, need.identity)
        return next(filter(None, (self._made(need.kind).get(kind) for kind in kinds)), [])

    def _read(self, kind: str) -> dict[str, list[tuple[Path, Mapping[str, Any]]]]:
        groups: dict[str, list[tuple[Path, Mapping[str, Any]]]] = {}
        for path in sorted(self.store.root.glob(f"artefacts/{kind}/*/done.json")):
            facts = files.peek_json(path)
            if {"version", "identity", "cost", "environment"} <= facts.keys():
                for one in _kinds(facts["version"], facts["identity"]):
                    groups.setdefault(one, []).append((path.parent, facts))
        return groups


def _settings(train: Mapping[str, Any]) -> str:
    """What a fit shares with those of other seeds."""
    return key_of({name: value for name, value in train.items() if name not in ("seed", "artefacts")})


def _place(method: str, train: Mapping[str, Any], profile: str) -> tuple[Any, ...]:
    data = train.get("data")
    data = data if isinstance(data, Mapping) else {}
    return method, data.get("name"), data.get("size"), profile


def _kinds(version: int, identity: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of what an artefact is of, the narrowest first."""
    own = {name: value for name, value in identity.items() if name not in ("seed", "data")}
    data = identity.get("data")
    data = data if isinstance(data, Mapping) else {}
    told = ({"name": data.get("name"), "size": data.get("size")}, {"size": data.get("size")})
    return tuple(key_of({"version": version, "own": own, "data": one}) for one in told)


def _parts(folder: Path) -> dict[str, int]:
    """Bytes of a folder's weights, of each snapshot, and of the rest; empty when there is no folder."""
    if not folder.is_dir():
        return {}
    whole = (folder / "weights.pt", *folder.glob("checkpoints/snapshot-*.pt"))
    parts = {path.name: files.size_of(path) for path in whole if path.is_file()}
    return {**parts, "": files.size_of(folder) - sum(parts.values())}


def _kept(parts: Mapping[str, int], keep: Keep) -> int:
    weights, rest = parts.get("weights.pt", 0), parts[""]
    snapshots = [size for name, size in parts.items() if name.startswith("snapshot-")]
    if keep == "none":
        return rest
    return rest + weights + {"last": 0, "best": max(snapshots, default=0), "all": sum(snapshots)}[keep]
