"""The one interface that every method implements, and the context that a run hands to it.

Images are ``uint8`` arrays N x C x H x W (C is 1 or 3), usually memory-mapped; a method scales them itself. A
method knows nothing of specs, stores, MLflow or tables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from suite.settings import Settings

Images = NDArray[np.uint8]
Scores = NDArray[np.float64]


class Interrupted(Exception):  # noqa: N818 - not an error: the run goes on from its checkpoint
    """Raised by :meth:`Context.pulse` when the run was asked to stop."""


def derive_seed(seed: int, *names: object) -> int:
    """A 63-bit seed that depends on the run's seed and on what it is for (never on the order of asking)."""
    text = ":".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def _ignore(*arguments: Any, **named: Any) -> None:
    return None


@dataclass
class Context:
    """What a method may use while it fits or scores.

    ``artefacts`` maps an artefact's name (its kind, as a rule) to its folder. ``train`` holds the training
    images when scoring. ``folder`` is where checkpoints may be written (None: nowhere). ``progress(done,
    total, metrics)`` is cheap and may be called every step. ``snapshot(step, total, detector)`` keeps a
    candidate for ``best_val`` and ``best_test``; the method calls it at the end of each of ``snapshots``
    equal parts of training, and nothing it does reaches the method. To ``notes`` a fit adds where it
    departed from the method as published, a line each, if that hangs on the data (what hangs on settings
    alone is said by MethodInfo.notes); they stand in the outcome and under the table.
    """

    device: torch.device
    seed: int
    artefacts: Mapping[str, Path] = field(default_factory=dict)
    train: Images | None = None
    folder: Path | None = None
    checkpoint_every: float = 60.0
    snapshots: int = 0
    progress: Callable[[int, int, Mapping[str, float]], None] = _ignore
    snapshot: Callable[[int, int, Detector], None] = _ignore
    stop: Callable[[], bool] = lambda: False
    parts: dict[str, Scores] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def generator(self, *names: object, device: str | torch.device = "cpu") -> torch.Generator:
        """A generator of its own for each purpose, from the run's seed."""
        import torch

        return torch.Generator(device=device).manual_seed(derive_seed(self.seed, *names))

    def pulse(self) -> None:
        """To be called often in long work, at a point where a checkpoint has been or need not be written."""
        if self.stop():
            raise Interrupted


class Detector(Protocol):
    """An anomaly detector. Constructed as ``Method(training_settings, scoring_settings)``.

    ``fit`` sees normal images only (and the contamination a spec asks for), never a label or a test image.
    ``score`` returns one float per image, higher = more anomalous; it may store named parts in
    ``context.parts``. A score never depends on the other images of the batch. ``save`` and ``load`` use files
    without pickle.
    """

    def __init__(self, training: Settings, scoring: Settings) -> None: ...

    def fit(self, images: Images, context: Context) -> None: ...

    def score(self, images: Images, context: Context) -> Scores: ...

    def save(self, path: Path) -> None: ...

    def load(self, path: Path, device: torch.device) -> None: ...
