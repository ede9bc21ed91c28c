"""The two stages of a run on real tensors: fitting a detector and scoring the test set with the weights it
saved.

Scoring always starts from the saved file, in a fresh detector under fresh seeds, so that asking for another
evaluation years later gives what it would have given at once.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suite import files
from suite.data.mapped import HELD, Reader, let_go
from suite.detector import Context, Detector, Images, Scores, derive_seed
from suite.job import SNAPSHOTS, Conditions

if TYPE_CHECKING:
    from suite.data.pack import Pack
    from suite.plan import Run
    from suite.recorder import Recorder
    from suite.registry import Need

IN_MEMORY = 2**27
"""Bytes of selected images up to which they are copied into memory; more are mapped from a file."""


class Artefacts(Mapping[str, Path]):
    """Names of artefacts to folders; an artefact that is not there is made when it is asked for (a scoring may do
    without).
    """

    def __init__(self, needs: Iterable[Need], make: Callable[[Need], tuple[Path, dict[str, Any]]]) -> None:
        self._needs, self._make = {need.name: need for need in needs}, make

    def facts(self, name: str) -> dict[str, Any]:
        """What ``done.json`` of the artefact says."""
        return self._make(self._needs[name])[1]

    def __getitem__(self, name: str) -> Path:
        return self._make(self._needs[name])[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._needs)

    def __len__(self) -> int:
        return len(self._needs)


@dataclass
class Bench:
    """What both stages of one run work with. ``folder`` is the fit's folder."""

    run: Run
    folder: Path
    build: Callable[[], Detector]
    artefacts: Artefacts
    train: Images
    conditions: Conditions
    recorder: Recorder
    stop: Callable[[], bool]
    parts: dict[str, Scores] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def weights(self) -> Path:
        """The final weights."""
        return self.folder / "weights.pt"

    @property
    def checkpoints(self) -> Path:
        """Where snapshots and the method's own checkpoint lie."""
        return self.folder / "checkpoints"

    def snapshot(self, number: int) -> Path:
        """The file of the snapshot after ``number`` of SNAPSHOTS equal parts of the training."""
        return self.checkpoints / f"snapshot-{number}.pt"

    def snapshots(self) -> list[int]:
        """The numbers of the snapshots that are there; the last part's is ``weights`` itself."""
        return [number for number in range(1, SNAPSHOTS) if self.snapshot(number).exists()]


def seed_everything(seed: int, device: str, threads: int) -> None:
    """Seed the global generators, and ask for exact repeatability, before a detector is built.

    Methods draw from generators of their own; this is for what libraries draw behind their backs.
    """
    import torch

    torch.set_num_threads(threads)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(device == "cpu", warn_only=True)


def fit(bench: Bench) -> int:
    """Train, leaving ``weights.pt`` and the snapshots; returns the number of parameters."""
    import torch

    from suite.cost import count_parameters

    run, conditions = bench.run, bench.conditions
    bench.checkpoints.mkdir(parents=True, exist_ok=True)
    seed_everything(derive_seed(run.seed, "global"), conditions.device, conditions.threads)
    detector = bench.build()

    def snapshot(step: int, total: int, candidate: Detector) -> None:
        # Rounded up: the last part, whose snapshot would equal the final weights, needs none.
        number = -(-step * SNAPSHOTS // total)
        if 0 < number < SNAPSHOTS:
            with files.replacing(bench.snapshot(number)) as part:
                candidate.save(part)

    context = Context(
        device=torch.device(conditions.device),
        seed=run.seed,
        artefacts=bench.artefacts,
        folder=bench.checkpoints,
        checkpoint_every=conditions.checkpoint_every,
        snapshots=SNAPSHOTS,
        progress=bench.recorder.stage("fit"),
        snapshot=snapshot,
        stop=bench.stop,
        notes=bench.notes,
    )
    with files.blaming_the_disk(bench.checkpoints):
        detector.fit(bench.train, context)
    with files.replacing(bench.weights) as part:
        detector.save(part)
    return count_parameters(detector)


@dataclass(frozen=True)
class Scored:
    """The scores of one checkpoint. ``epoch``: how far training was, 0 to 1. ``candidates``: who else was
    tried.
    """

    score: Scores
    parts: Mapping[str, Scores]
    epoch: float
    candidates: tuple[dict[str, float], ...] = ()


def score(bench: Bench, images: Images, weights: Path) -> tuple[Scores, dict[str, Scores]]:
    """One score an image, with its parts, by the given weights. ValueError when the method returns anything
    else.
    """
    import torch

    run, conditions = bench.run, bench.conditions
    seed_everything(derive_seed(run.seed, "global", "score"), conditions.device, conditions.threads)
    device = torch.device(conditions.device)
    detector = bench.build()
    detector.load(weights, device)
    context = Context(
        device=device,
        seed=run.seed,
        artefacts=bench.artefacts,
        train=bench.train,
        progress=bench.recorder.stage("score"),
        stop=bench.stop,
    )
    scores = _checked(detector.score(images, context), len(images), "score")
    return scores, {name: _checked(part, len(images), f"part {name}") for name, part in context.parts.items()}


def select(
    bench: Bench, test: Images, labels: NDArray[np.uint8], val: tuple[Images, NDArray[np.uint8]] | None
) -> Scored:
    """Score the test set at the checkpoint that the run's selection names.

    ``best_val`` chooses by AUROC on ``val``, ``best_test`` (an oracle) on the test set itself; of equals the
    latest.
    """
    from suite.metrics import auroc

    how = bench.run.evaluation["selection"]
    if how == "last":
        return Scored(*score(bench, test, bench.weights), epoch=1.0)
    on, truth = (test, labels) if val is None else val
    tried: list[dict[str, float]] = []
    best: tuple[float, Path, tuple[Scores, dict[str, Scores]]] | None = None
    for epoch, weights in _candidates(bench):
        result = score(bench, on, weights)
        tried.append({"epoch": epoch, "auroc": auroc(truth, result[0])})
        if best is None or tried[-1]["auroc"] >= max(one["auroc"] for one in tried[:-1]):
            best = epoch, weights, result
    assert best is not None
    epoch, weights, result = best
    if val is not None:
        result = score(bench, test, weights)
    return Scored(*result, epoch=epoch, candidates=tuple(tried))


def _candidates(bench: Bench) -> Iterator[tuple[float, Path]]:
    for number in bench.snapshots():
        yield number / SNAPSHOTS, bench.snapshot(number)
    yield 1.0, bench.weights


def _checked(values: Any, count: int, what: str) -> Scores:
    scores = np.asarray(values, dtype=np.float64)
    if scores.shape != (count,):
        raise ValueError(f"the method's {what} has shape {scores.shape}, not ({count},)")
    if wrong := int((~np.isfinite(scores)).sum()):
        raise FloatingPointError(f"{wrong} of {count} values of the method's {what} are not finite")
    return scores


def images_of(pack: Pack, indices: NDArray[np.int64], scratch: Path) -> Images:
    """The images of a selection, N x C x H x W: a slice of the pack, a copy, or (large) a mapped file without
    a name.
    """
    if not len(indices):
        return pack.images[:0]
    if int(indices[-1] - indices[0]) == len(indices) - 1 and (np.diff(indices) == 1).all():
        return pack.images[indices[0] : indices[-1] + 1]
    reader = Reader(pack.images)
    bytes_each = int(np.prod(pack.images.shape[1:]))
    if bytes_each * len(indices) <= IN_MEMORY:
        return reader[indices]
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch) as stream:
        if hasattr(os, "posix_fallocate"):
            # A full disk is an error here; under a mapping it would kill the process.
            os.posix_fallocate(stream.fileno(), 0, bytes_each * len(indices))
        mapped: Images = np.memmap(stream, np.uint8, "w+", shape=(len(indices), *pack.images.shape[1:]))
    step = max(1, HELD // bytes_each)
    for start in range(0, len(indices), step):
        mapped[start : start + step] = reader[indices[start : start + step]]
        let_go(mapped)
    return mapped
