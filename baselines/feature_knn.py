"""Feature kNN: the distance to the nearest training image among the features of a frozen network.

With a network that was never trained, a control that has an architecture and none of its learning; with one
that was trained on ImageNet, what those images alone are worth. Features are the means over the maps at strides
4, 8 and 16, centred and scaled stage by stage by the training images.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from baselines.backbones import Features, restored
from baselines.info.common import Backbone
from baselines.info.controls import SIZES, NeighbourScoring
from baselines.inputs import batched, each
from baselines.neighbours import double, nearest
from suite.detector import Context, Images, Scores
from suite.settings import Settings
from suite.tensors import read_torch, write_torch

STRIDES = (4, 8, 16)


class FeatureKnn:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings, self.k = cast(Backbone, training), cast(NeighbourScoring, scoring).k
        self.network: Features | None = None
        self.bank = self.mean = self.spread = torch.zeros(0)

    def fit(self, images: Images, context: Context) -> None:
        self.network = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        features = torch.cat(each(images, context, self._features))
        self.mean = features.mean(0)
        # One scale a stage: a channel that is dead in training must not be divided by nearly nothing.
        variance = features.var(0, correction=0).split(list(self.network.channels))
        self.spread = torch.cat([stage.mean().sqrt().clamp(min=1e-6).expand_as(stage) for stage in variance])
        self.bank = (features - self.mean) / self.spread

    def score(self, images: Images, context: Context) -> Scores:
        return batched(images, context, lambda batch: self._distance(batch, context))

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        tensors = {"bank": self.bank, "mean": self.mean, "spread": self.spread}
        write_torch(
            path, {"origin": self.network.origin(), **{n: value.cpu() for n, value in tensors.items()}}
        )

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.network = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        self.bank, self.mean, self.spread = (saved[name] for name in ("bank", "mean", "spread"))

    def _features(self, batch: Tensor) -> Tensor:
        assert self.network is not None, "fit or load first"
        maps = self.network(self.network.inputs(batch))
        return double(torch.cat([one.mean(dim=(-2, -1)) for one in maps], 1), batch.device)

    def _distance(self, batch: Tensor, context: Context) -> Tensor:
        queries = (self._features(batch) - self.mean) / self.spread
        squared, _ = nearest(queries, self.bank, self.k, context.pulse)
        return (squared / queries.shape[1]).sqrt().mean(1)
