"""The run tree on disk, the source of truth: which runs are done, running, failed or interrupted, and their
results.

::

    <store>/runs/<train12>/       settings.json claim.json metrics.jsonl log.txt checkpoints/ weights.pt fit.json
    <store>/runs/<train12>/eval/<eval12>/   scores.npz, then outcome.json: the run is done
    <store>/artefacts/<kind>/<key12>/       ..., then done.json: the artefact is done

Folders are named by twelve digits of a key; the whole key stands in the files and is compared. Several
evaluations of one fit share its folder and its claim. A spoilt file counts as absent, is named once in a
warning (logger ``suite``), and is replaced by the next run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from suite import claims, files, seals
from suite.claims import Claim
from suite.outcome import Outcome, OutcomeFault
from suite.settings import KEY_LENGTH

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from suite.plan import Run
    from suite.registry import Need

logger = logging.getLogger("suite")

Stage = Literal["fit", "score"]
StateName = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True)
class State:
    """What the disk says about a run; ``name`` is None when it says nothing."""

    name: StateName | None
    reason: str = ""


class Store:
    """The run tree under ``root``. Nothing is written (not even ``root``) until a run begins."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._warned: set[str] = set()

    # Places

    def run_folder(self, train_key: str) -> Path:
        """The folder of a fit."""
        return self.root / f"runs/{train_key[:KEY_LENGTH]}"

    def eval_folder(self, train_key: str, eval_key: str) -> Path:
        """The folder of one evaluation of a fit."""
        return self.root / f"runs/{train_key[:KEY_LENGTH]}/eval/{eval_key[:KEY_LENGTH]}"

    def artefact_folder(self, kind: str, key: str) -> Path:
        """The folder of an artefact."""
        return self.root / "artefacts" / kind / key[:KEY_LENGTH]

    # Claims and states

    def claim(self, folder: Path, **facts: Any) -> Claim | None:
        """Claim a run's or an artefact's folder; None when a living owner has it."""
        return claims.claim(folder, **facts)

    def state(self, run: Run) -> State:
        """What the disk says about a run. A claim whose owner is dead makes it interrupted."""
        folder = self.run_folder(run.train_key)
        if not os.path.isdir(folder):  # most runs of a large plan: one look is enough
            return State(None)
        if self.outcome(run.train_key, run.eval_key) is not None:
            return State("done")
        if (owner := claims.owner(folder)) is not None:
            if owner.alive:
                return State("running", f"on {owner}")
            return State("interrupted", f"its worker ({owner}) died")
        for place in (self.eval_folder(run.train_key, run.eval_key), folder):
            noted = files.peek_json(place / "state.json")
            if (name := noted.get("state")) in ("failed", "interrupted"):
                return State(name, str(noted.get("reason", "")))
        return State(None)

    def fail(self, run: Run, reason: str, *, stage: Stage, state: StateName = "failed") -> None:
        """Note that a run failed or was interrupted. What befalls a fit befalls all its evaluations.

        ``interrupted`` is also for what lies in the surroundings (a full disk): the next command tries again.
        """
        place = self.run_folder(run.train_key)
        if stage == "score":
            place = self.eval_folder(run.train_key, run.eval_key)
        files.write_json(
            place / "state.json", {"state": state, "reason": reason, "stage": stage, "time": now()}
        )

    def clear(self, run: Run) -> None:
        """Forget a failure or an interruption, so that the run is tried afresh (checkpoints stay)."""
        for place in (self.eval_folder(run.train_key, run.eval_key), self.run_folder(run.train_key)):
            (place / "state.json").unlink(missing_ok=True)

    # Outcomes

    def outcome(self, train_key: str, eval_key: str) -> Outcome | None:
        """The outcome of a run, if it is done."""
        found = self._read(self.eval_folder(train_key, eval_key))
        if found is None:
            return None
        if (found.train_key, found.eval_key) != (train_key, eval_key):
            folder = self.eval_folder(train_key, eval_key)
            self._warn(
                folder / "outcome.json", f"belongs to another run (key {found.eval_key[:KEY_LENGTH]}...)"
            )
            return None
        return found

    def outcomes(self) -> Iterator[Outcome]:
        """Every outcome in the store, by folder name; spoilt files are warned of and passed over."""
        for run in _folders(os.path.join(self.root, "runs")):
            for evaluation in _folders(os.path.join(run, "eval")):
                found = self._read(evaluation)
                if found is not None:
                    yield found

    def scores(self, train_key: str, eval_key: str, *names: str) -> dict[str, NDArray[Any]]:
        """What ``scores.npz`` of a done run holds: ids, labels, score and its parts, or only those named.
        FileNotFoundError when the file is absent, FileFault when it is damaged, KeyError when an array is absent.
        """
        import zipfile
        import zlib

        from suite import arrays

        path = os.path.join(self.eval_folder(train_key, eval_key), "scores.npz")
        try:
            return arrays.load(path, names)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise files.FileFault(
                f"{path}: is damaged ({error}); delete it, and the next run scores again"
            ) from error

    def write_outcome(
        self,
        outcome: Outcome,
        ids: NDArray[np.str_],
        labels: NDArray[np.uint8],
        score: NDArray[np.float64],
        parts: Mapping[str, NDArray[np.float64]],
    ) -> None:
        """Write the scores, then the outcome. An outcome that was there before moves into ``previous/`` at
        that moment.
        """
        import numpy as np

        folder = self.eval_folder(outcome.train_key, outcome.eval_key)
        arrays: dict[str, NDArray[Any]] = {
            "ids": np.asarray(ids, dtype=np.str_),
            "labels": np.asarray(labels, dtype=np.uint8),
            "score": np.asarray(score, dtype=np.float64),
        }
        arrays.update({f"part_{name}": np.asarray(part, dtype=np.float64) for name, part in parts.items()})
        self._keep_previous(folder)
        with files.replacing(folder / "scores.npz") as part:
            with part.open("wb") as stream:
                np.savez_compressed(stream, allow_pickle=False, **arrays)
            # From here on the old outcome would stand beside scores that are not its own.
            (folder / "outcome.json").unlink(missing_ok=True)
        files.write_json(folder / "outcome.json", outcome.to_json())
        for place in (folder, folder.parent.parent):
            (place / "state.json").unlink(missing_ok=True)

    def _keep_previous(self, folder: Path) -> None:
        old = self._read(folder)
        if old is None:
            return
        stamp = old.finished.replace(":", "").replace("-", "")
        for name in ("scores.npz", "outcome.json"):
            target = folder / "previous" / f"{stamp}-{name}"
            files.write(target, lambda stream, name=name: stream.write((folder / name).read_bytes()))  # type: ignore[misc]

    def _read(self, folder: Path | str) -> Outcome | None:
        # Texts, not paths: a large store has this asked ten thousand times.
        path = os.path.join(folder, "outcome.json")
        try:
            plain = files.read_json(path)
            if plain is None:
                return None
            found = Outcome.from_json(plain)
        except files.FileFault as fault:
            self._warn(path, str(fault).removeprefix(f"{path}: "))
            return None
        except OutcomeFault as fault:
            self._warn(path, f"is no outcome: {fault}")
            return None
        if wrong := seals.archive_fault(os.path.join(folder, "scores.npz")):
            self._warn(path, f"{wrong} scores.npz beside it")
            return None
        return found

    def _warn(self, path: Path | str, message: str) -> None:
        if str(path) not in self._warned:
            self._warned.add(str(path))
            logger.warning("%s: %s; it counts as absent and the next run replaces it", path, message)

    # Artefacts

    def artefact(self, need: Need, *, thorough: bool = False) -> dict[str, Any] | None:
        """The facts (``done.json``) of a finished artefact, None when it is not finished or its files are not what
        they were: by their size, or ``thorough`` by their content.
        """
        path = self.artefact_folder(*need.place) / "done.json"
        try:
            facts = files.read_json(path)
        except files.FileFault as fault:
            self._warn(path, str(fault).removeprefix(f"{path}: "))
            return None
        if facts is not None and facts.get("key") != need.key:
            self._warn(path, f"belongs to another artefact (key {str(facts.get('key'))[:KEY_LENGTH]}...)")
            return None
        if facts and (damaged := seals.broken(path.parent, facts.get("files", {}), thorough=thorough)):
            self._warn(path.parent / damaged[0], "is damaged")
            return None
        return facts

    def artefact_state(self, need: Need) -> State:
        """What the disk says about an artefact; a dead maker's goes on where it stopped."""
        if self.artefact(need) is not None:
            return State("done")
        folder = self.artefact_folder(*need.place)
        if (owner := claims.owner(folder)) is not None:
            return State("running", f"on {owner}") if owner.alive else State("interrupted", "its worker died")
        noted = files.peek_json(folder / "state.json")
        return (
            State("failed", str(noted.get("reason", ""))) if noted.get("state") == "failed" else State(None)
        )

    def fail_artefact(self, need: Need, reason: str) -> None:
        """Note that an artefact could not be made."""
        path = self.artefact_folder(*need.place) / "state.json"
        files.write_json(path, {"state": "failed", "reason": reason, "time": now()})


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _folders(parent: Path | str) -> list[str]:
    """Paths of what lies in a folder, sorted; none when it is absent. Where a file lies too, nothing is found in it."""
    try:
        names = sorted(name for name in os.listdir(parent) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(parent, name) for name in names]


__all__ = ["Claim", "Outcome", "OutcomeFault", "State", "Store", "now"]
