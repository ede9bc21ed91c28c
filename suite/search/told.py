"""How the trials of a search ended, kept beside its journal in a file that is read without Optuna.

The mirror shows trials from it: those that failed before any run was done too, of which the table of the trials
has no cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import files

if TYPE_CHECKING:
    from suite.search.study import Trial

NAME = "trials.json"
PICTURES = "pictures"
"""The folder of the search's pictures beside it."""


@dataclass(frozen=True)
class Told:
    """A trial: its label in the table of the trials, its settings, how it ended and when (UTC, ISO), the mean over
    its seeds (None when none ran), and whether it is the best.
    """

    number: int
    label: str
    settings: Mapping[str, Any]
    end: str
    reason: str = ""
    mean: float | None = None
    best: bool = False
    finished: str = ""


@dataclass(frozen=True)
class Trials:
    """The trials of one study by their labels, and the settings that were searched."""

    study: str = ""
    searched: tuple[str, ...] = ()
    trials: Mapping[str, Told] = field(default_factory=dict)
    folder: Path = Path()


def write(
    folder: Path,
    spec: str,
    profile: str,
    study: str,
    searched: Iterable[str],
    ended: Iterable[Trial],
    best: Trial | None,
    label: Any,
) -> None:
    """Note the trials of a study; ``spec`` is the name of their table's spec, ``label`` names a trial in it."""
    told = [
        Told(
            number=one.number,
            label=label(one),
            settings=dict(one.settings),
            end=one.end,
            reason=one.reason,
            mean=one.mean if one.values else None,
            best=best is not None and one.number == best.number,
            finished=one.finished,
        )
        for one in ended
    ]
    content = {"spec": spec, "profile": profile, "study": study, "searched": list(searched)}
    files.write_json(folder / NAME, {**content, "trials": [asdict(one) for one in told]})


def read(root: Path, spec: str, profile: str) -> Trials:
    """What the store knows of the trials in this spec's table; of several studies the one that went on last."""
    found = [
        (path.stat().st_mtime, path, content)
        for path in (root / "search").glob(f"*/{NAME}")
        if (content := files.peek_json(path)).get("spec") == spec and content.get("profile") == profile
    ]
    if not found:
        return Trials()
    _, path, content = max(found, key=lambda one: one[0])
    try:
        told = [Told(**one) for one in content["trials"]]
    except (KeyError, TypeError):
        return Trials()
    return Trials(
        str(content.get("study")), tuple(content["searched"]), {one.label: one for one in told}, path.parent
    )
