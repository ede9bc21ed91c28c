"""KDAD: Salehi et al., Multiresolution Knowledge Distillation for Anomaly Detection, CVPR 2021.

A cloner, far smaller than the frozen source network, learns to give the source's maps of normal images at several
depths, in value and in direction; of what it has not seen it gives others.

L_val = sum over depths of the mean squared difference of the maps, L_dir = sum over depths of 1 - cos of the whole
flattened maps, L = L_dir + lambda L_val (Eq. 1 to 3; ``value`` is lambda). Trained over four depths, scored, as in
the official code, by the same sum over the *last three*.

Official settings, the defaults here: VGG16 with ImageNet weights, its pools 2 to 5; cloner of 3x3 convolutions of 16
channels, in stages of 2, 2, 3, 3, 3 that each end in a pool and, from the second on, in the source's width; without
biases, normalised except before a pool, Xavier's uniform; lambda 0.01, Adam 1e-3, 201 epochs of batches of 64, images
between 0 and 1 that are normalised for CIFAR-10 only.

Departures: the source's pools are taken as its maps at strides 2 to 16 under a 2 x 2 maximum, which for VGG16 is the
same thing and gives other networks a meaning; where such maps are of both signs (no ReLU at their end), the cloner's
last convolution of a stage has no ReLU either. A source drawn at random (the official ``pretrain: False``) is drawn
as timm does, by He's normal, not Xavier's uniform. The last epoch is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.backbones import Features, restored
from baselines.fit import Fit
from baselines.frozen import Frozen
from baselines.info.kdad import SIZES, Training, rectified
from baselines.inputs import Inputs, batched
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

STRIDES = (2, 4, 8, 16)
SCORED = 3
WIDTH = 16
DEPTHS = (2, 2, 3, 3, 3)


class Source(nn.Module):
    """The frozen network: what ``inputs`` makes of uint8 images to these inputs and four pooled maps."""

    def __init__(self, features: Features, settings: Training) -> None:
        super().__init__()
        self.features = features
        self.inputs = features.inputs
        if not settings.normalise:
            self.inputs = Inputs(SIZES, settings.input_size, (0.0,), (1.0,))

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, *(F.max_pool2d(one, 2) for one in self.features(x))]


class Cloner(nn.Module):
    """B x 3 x H x W to maps of ``widths`` at strides 4, 8, 16 and 32."""

    def __init__(self, widths: Sequence[int], rectified: bool) -> None:
        super().__init__()
        inside = 3
        stages: list[nn.Module] = []
        for count, last in zip(DEPTHS, (WIDTH, *widths), strict=True):
            layers: list[nn.Module] = []
            for outside in [WIDTH] * (count - 1):
                layers += [_convolution(inside, outside), nn.BatchNorm2d(outside), nn.ReLU()]
                inside = outside
            layers.append(_convolution(inside, last))
            if rectified or not stages:
                layers.append(nn.ReLU())
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
            inside = last
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for part in self.stages:
            x = part(x)
            maps.append(x)
        return maps[1:]


def _convolution(inside: int, outside: int) -> nn.Conv2d:
    made = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
    nn.init.xavier_uniform_(made.weight)
    return made


def direction(source: Tensor, cloner: Tensor) -> Tensor:
    """1 - cos of the whole flattened maps, (B,)."""
    return 1 - F.cosine_similarity(source.flatten(1), cloner.flatten(1))


def value(source: Tensor, cloner: Tensor) -> Tensor:
    """The mean squared difference of the maps, (B,)."""
    return (source - cloner).square().flatten(1).mean(1)


class Kdad:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(Training, training)
        self.source: Source | None = None
        self.cloner: Cloner | None = None

    def fit(self, images: Images, context: Context) -> None:
        features = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        cloner = self._cloner(features, derive_seed(context.seed, "cloner")).to(context.device)
        self.source, self.cloner = Source(features, self.settings), cloner
        frozen = Frozen(self.source, images, context)

        def loss(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            x, *maps = frozen(batch)
            pairs = list(zip(maps, cloner(x), strict=True))
            return {
                "direction": torch.stack([direction(*pair).mean() for pair in pairs]).sum(),
                "value": self.settings.value * torch.stack([value(*pair).mean() for pair in pairs]).sum(),
            }

        state = Fit(cloner, loss, len(images), self.settings.train, context)
        loop.run(
            state,
            frozen.kept(images, context),
            context,
            lambda step, total: context.snapshot(step, total, self),
        )

    def score(self, images: Images, context: Context) -> Scores:
        assert self.source is not None, "fit or load first"
        assert self.cloner is not None
        self.cloner.eval()
        return batched(images, context, self._discrepancy, self.source.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.source is not None, "nothing to save before fit"
        assert self.cloner is not None
        write_torch(path, {"cloner": self.cloner.state_dict(), "origin": self.source.features.origin()})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        features = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        self.source = Source(features, self.settings)
        self.cloner = self._cloner(features, 0).to(device)
        self.cloner.load_state_dict(saved["cloner"])

    def _cloner(self, features: Features, seed: int) -> Cloner:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Cloner(features.channels, rectified(self.settings.backbone))

    def _discrepancy(self, batch: Tensor) -> Tensor:
        assert self.source is not None
        assert self.cloner is not None
        x, *maps = self.source(self.source.inputs(batch))
        pairs = list(zip(maps, self.cloner(x), strict=True))[-SCORED:]
        return torch.stack([direction(*pair) + self.settings.value * value(*pair) for pair in pairs]).sum(0)
