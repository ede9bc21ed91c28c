"""Merging the finished runs of another store into this one: a GPU machine's into a laptop's.

Every run is checked before it is taken (:mod:`suite.carry`). What is here stays: an equal outcome is passed over,
a different one under the same key is told and left alone. A fit's folder is claimed while files arrive in it; each
arrives whole, ``outcome.json`` last, so that a merge that was killed goes on when it is repeated.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from suite import carry, files
from suite.carry import Unfit
from suite.data import archive
from suite.data.errors import DataFault
from suite.outcome import Outcome
from suite.plan import Run
from suite.settings import key_of
from suite.store import Store

_HEX = "[0-9a-f]{12}"
MEMBER = re.compile(rf"(?:^|/)((?:runs/{_HEX}|artefacts/\w+/{_HEX}|specs/[^/]+)/.+)$")
"""What is read of an archive, wherever in it the store lies."""


@dataclass
class Merged:
    """What came of it. ``left``: a line for each run or artefact that was not taken; ``conflicts``: for each that
    is here with another result.
    """

    outcomes: int = 0
    fits: set[str] = field(default_factory=set)
    artefacts: int = 0
    here: int = 0
    left: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The folder of a store: ``path`` itself, or what an archive holds of one, for the time being. DataMissing and
    DataFault say in one line why there is none.
    """
    if path.is_dir():
        if not any((path / name).is_dir() for name in ("runs", "artefacts")):
            raise DataFault(f"{path} is no store: it has no folder runs (give the folder that --store names)")
        yield path
        return
    with TemporaryDirectory(prefix="suite-import-") as name, archive.opened(path) as source:
        members = {entry: match[1] for entry in source.entries if (match := MEMBER.search(entry))}
        if not members:
            raise DataFault(f"{path} holds no runs of a store (runs/KEY/settings.json ...)")
        for entry, read in source.read(members):
            if source.entries[entry].size > archive.MEMBER_LIMIT:
                raise DataFault(
                    f"{path}: {entry} is too large to be read in place: unpack it and give the folder"
                )
            target = Path(name, members[entry])
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.write_bytes(read())
            except Exception as error:  # each format has its own way to be damaged
                raise DataFault(f"{path}: {entry} cannot be read ({error})") from error
        yield Path(name)


class Merge:
    """One merge into a store. ``weights``, ``artefacts``: whether those come along; with ``dry`` nothing is
    written. ``digest``: the digest of a run's data as they are at hand here, empty where they are not.
    """

    def __init__(
        self,
        store: Store,
        digest: Callable[[Run], str],
        *,
        weights: bool = True,
        artefacts: bool = True,
        dry: bool = False,
    ) -> None:
        self.store, self._digest = store, digest
        self.weights, self.artefacts, self.dry = weights, artefacts, dry
        self.merged = Merged()
        self._digests = {_data_of(one): str(one.data.get("digest", "")) for one in store.outcomes()}

    def take(self, root: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Merged:
        """Take what the store in ``root`` has finished; may be called for several."""
        runs: list[Run] = []
        places = carry.folders(root / "runs")
        for number, folder in enumerate(places):
            progress(number, len(places))
            try:
                runs.append(run := carry.fit_in(folder))
                self._take_fit(run, folder)
            except Unfit as error:
                self.merged.left.append(str(error))
        progress(len(places), len(places))
        kinds = carry.folders(root / "artefacts") if self.artefacts else []
        used = carry.used_by(runs)
        for kind in (one for one in kinds if one.name != carry.PACKS):
            for folder in carry.folders(kind):
                try:
                    self._take_artefact(folder, used)
                except Unfit as error:
                    self.merged.left.append(str(error))
        if not self.dry:
            for folder in carry.folders(root / "specs"):
                self._take_spec(folder)
        return self.merged

    def _take_fit(self, run: Run, folder: Path) -> None:
        due = [(place, one) for place, one in self._finished(run, folder) if self._wanted(run, one)]
        weights = [path for path in self._weights(folder) if not self._here(folder, path).exists()]
        if not due and not weights:
            return
        self.merged.outcomes += len(due)
        self.merged.fits |= {run.train_key} if due else set()
        if self.dry:
            return
        target = self.store.run_folder(run.train_key)
        known = files.peek_json(target / "settings.json").get("train_key", run.train_key)
        if known != run.train_key:
            raise Unfit(
                f"{folder.name}: the folder of that name here belongs to another key ({known[:16]}...)"
            )
        held = self.store.claim(target)
        if held is None:
            self.merged.outcomes -= len(due)
            raise Unfit(f"{folder.name}: is being worked on here; import again when it is done")
        with held:
            if not (target / "fit.json").exists():
                _copy(folder, [folder / name for name in carry.FIT], target)
            _copy(folder, weights, target)
            for place, _ in due:
                _copy(folder, [place / name for name in carry.EVALUATION], target)
                (target / "eval" / place.name / "state.json").unlink(missing_ok=True)
            (target / "state.json").unlink(missing_ok=True)

    def _finished(self, run: Run, folder: Path) -> Iterator[tuple[Path, Outcome]]:
        found = False
        for place in carry.folders(folder / "eval"):
            try:
                outcome = carry.outcome_in(place, run.train_key)
            except Unfit as error:
                found = True
                self.merged.left.append(str(error))
                continue
            if outcome is not None:
                found = True
                yield place, outcome
        if not found:
            raise Unfit(f"{folder.name}: {run.method} on {run.dataset}, seed {run.seed}, is not finished")

    def _wanted(self, run: Run, theirs: Outcome) -> bool:
        """Whether an outcome is new here and on the data that are known here; a line when it is in conflict."""
        what = f"{theirs.eval_key[:12]}: {theirs.method} on {theirs.dataset}, seed {theirs.seed}"
        ours = self.store.outcome(theirs.train_key, theirs.eval_key)
        digest = str(theirs.data.get("digest", ""))
        if ours is not None:
            if (dict(ours.metrics), ours.data.get("digest")) == (dict(theirs.metrics), digest):
                self.merged.here += 1
            else:
                pair = f"AUROC {ours.metrics['auroc']:.4f} here, {theirs.metrics['auroc']:.4f} there"
                where = f"{ours.environment.get('device')} and {theirs.environment.get('device')}"
                self.merged.conflicts.append(f"{what}: {pair} ({where}); the one here stays")
            return False
        known = self._digest(replace(run, settings=theirs.settings)) or self._digests.get(_data_of(theirs))
        if known and digest and known != digest:
            self.merged.left.append(f"{what}: on other data (digest {digest[:12]}, here {known[:12]})")
            return False
        return True

    def _weights(self, folder: Path) -> list[Path]:
        """The weights that would not be mixed with those of another fit under the same key."""
        here, there = (self._here(folder, folder / "fit.json"), folder / "fit.json")
        if not self.weights or (here.exists() and files.peek_json(here) != files.peek_json(there)):
            return []
        return carry.weights_of(folder) if there.exists() else []

    def _here(self, folder: Path, path: Path) -> Path:
        return self.store.root / "runs" / folder.name / path.relative_to(folder)

    def _take_artefact(self, folder: Path, wanted: dict[tuple[str, str], Any]) -> None:
        if carry.artefact_in(folder, wanted) is None:
            return
        target = self.store.root / "artefacts" / folder.parent.name / folder.name
        if (target / "done.json").exists():
            return
        self.merged.artefacts += 1
        if self.dry:
            return
        held = self.store.claim(target)
        if held is None:
            self.merged.artefacts -= 1
            raise Unfit(
                f"{folder.parent.name}/{folder.name}: is being made here; import again when it is done"
            )
        with held:
            _copy(folder, carry.files_of(folder), target)
            (target / "state.json").unlink(missing_ok=True)

    def _take_spec(self, folder: Path) -> None:
        """What a spec was, so that its report is made here too."""
        target = self.store.root / "specs" / folder.name
        if (folder / "options.json").is_file() and not (target / "options.json").exists():
            specs = [*sorted(folder.glob("*.toml")), *sorted(folder.glob("profiles/*.toml"))]
            _copy(folder, [*specs, folder / "options.json"], target)


def _data_of(outcome: Outcome) -> str:
    """What names the images that an outcome was scored on."""
    return key_of({"data": outcome.train.get("data"), "lesions": outcome.evaluation.get("lesions")})


def _copy(root: Path, paths: Iterable[Path], target: Path) -> None:
    """Copy files, those that are there, each whole or not at all, in this order."""
    for path in paths:
        if path.is_file():
            with files.replacing(target / os.path.relpath(path, root)) as part:
                shutil.copyfile(path, part)
