"""CSI and DIA as a Detector: fit, score, save, load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from suite.detector import Context, Images, Scores
from suite.dia import dissolve, network, scoring, training, views
from suite.dia.contrast import Design
from suite.dia.info import Contrastive, Scoring
from suite.settings import Settings
from suite.tensors import halve, read_torch, write_torch
from suite.training import loop


class Dia:
    """DIA, or CSI where the settings have no third branch. Only normal images are seen (and what a spec
    contaminates with).
    """

    def __init__(self, settings: Settings, score: Settings) -> None:
        if not isinstance(settings, Contrastive) or not isinstance(score, Scoring):
            raise TypeError("DIA takes the settings of suite.dia.info")
        self.settings, self.scoring = settings, score
        self.dissolve: Settings | None = getattr(settings, "dissolve", None)
        contrast: Any = getattr(settings, "contrast", None)
        self.design: Design = contrast.design if self.dissolve is not None else "csi"
        self.network: network.ResNet18 | None = None

    def fit(self, images: Images, context: Context) -> None:
        """Train on uint8 N x C x H x H images; goes on from a checkpoint in the context's folder."""
        if images.shape[-1] != images.shape[-2]:
            raise ValueError(f"DIA takes square images, not {images.shape[-2]} x {images.shape[-1]}")
        dissolver = dissolve.build(self.dissolve, context.artefacts, context.device)
        state = training.Training(len(images), self.settings, self.design, dissolver, context)
        self.network = state.network
        loop.run(state, images, context, lambda step, total: context.snapshot(step, total, self))

    def score(self, images: Images, context: Context) -> Scores:
        """Eq. 10, negated: (N,), higher = more anomalous. Parts: ``con`` and ``cls``."""
        return scoring.score(self._network(), images, self.scoring, self.settings.shift, context)

    def save(self, path: Path) -> None:
        """Weights, matrices in half precision."""
        write_torch(path, halve(self._network().state_dict()))

    def load(self, path: Path, device: torch.device) -> None:
        """Weights as :meth:`save` wrote them."""
        settings, plain = self.settings.network, self.settings.train.plain
        self.network = network.build(settings.stem, settings.width, views.SHIFTS, 0, plain)
        self.network.load_state_dict(read_torch(path, device))
        self.network.to(device)

    def parameters(self) -> int:
        """Trained parameters."""
        return sum(p.numel() for p in self._network().parameters())

    def _network(self) -> network.ResNet18:
        if self.network is None:
            raise RuntimeError("the model is neither fitted nor loaded")
        return self.network
