"""Random-feature kNN: nearest neighbours among the features of a ResNet18 that was never trained.

A control that has a network's architecture and none of its learning. Features are the means over the maps of
the first three stages, centred and scaled stage by stage by the training images; the weights are drawn by the
run's seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from baselines.info import NeighbourScoring
from baselines.neighbours import double, nearest
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings

CHANNELS = (64, 128, 256)
"""Of the three stages."""
_VALUES = 32 * 3 * 224 * 224
"""Input values a batch: 32 images at 224 px, more of smaller ones."""


class RandomFeatures(nn.Module):
    """N x C x H x W in [-1, 1] to N x 448: channel means of a ResNet18's stages of 64, 128 and 256
    channels.
    """

    def __init__(self) -> None:
        super().__init__()
        net = torchvision.models.resnet18(weights=None)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3])
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x.expand(-1, 3, -1, -1))
        means = []
        for stage in self.stages:
            x = stage(x)
            means.append(x.mean(dim=(-2, -1)))
        return torch.cat(means, 1)


class RandomKnn:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.k = cast(NeighbourScoring, scoring).k
        self.network: RandomFeatures | None = None
        self.bank = self.mean = self.spread = torch.zeros(0)

    def fit(self, images: Images, context: Context) -> None:
        self.network = _network(derive_seed(context.seed, "random_knn")).to(context.device)
        features = self._features(images, context)
        self.mean = features.mean(0)
        # One scale a stage: a channel that is dead in training must not be divided by nearly nothing.
        variance = features.var(0, correction=0).split(list(CHANNELS))
        self.spread = torch.cat([stage.mean().sqrt().clamp(min=1e-6).expand_as(stage) for stage in variance])
        self.bank = (features - self.mean) / self.spread

    def score(self, images: Images, context: Context) -> Scores:
        if not len(images):
            return np.zeros(0)
        queries = (self._features(images, context) - self.mean) / self.spread
        squared, _ = nearest(queries, self.bank, self.k, context.pulse)
        return (squared / queries.shape[1]).sqrt().mean(1).double().cpu().numpy()

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        weights = {name: value.half() for name, value in self.network.state_dict().items()}
        tensors = {"bank": self.bank, "mean": self.mean, "spread": self.spread}
        torch.save({"network": weights, **{name: value.cpu() for name, value in tensors.items()}}, path)

    def load(self, path: Path, device: torch.device) -> None:
        saved = torch.load(path, map_location=device, weights_only=True)
        self.network = _network(0).to(device)
        self.network.load_state_dict(saved["network"])
        self.bank, self.mean, self.spread = (saved[name] for name in ("bank", "mean", "spread"))

    @torch.inference_mode()
    def _features(self, images: Images, context: Context) -> Tensor:
        assert self.network is not None, "fit or load first"
        step = max(1, _VALUES // int(3 * np.prod(images.shape[2:])))
        found = []
        for start in range(0, len(images), step):
            context.pulse()
            batch = torch.from_numpy(np.array(images[start : start + step])).to(context.device)
            found.append(double(self.network(batch.float() / 127.5 - 1), context.device))
            context.progress(min(start + step, len(images)), len(images), {})
        return torch.cat(found)


def _network(seed: int) -> RandomFeatures:
    """Drawn by a seed without touching the global generator; the weights are rounded to half precision, in
    which they are kept, so that a loaded network is the same one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = RandomFeatures()
    for value in network.state_dict().values():
        value.copy_(value.half())
    return network
