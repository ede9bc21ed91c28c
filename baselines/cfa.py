"""CFA (Lee et al., IEEE Access 2022, arXiv 2206.04325): patch features adapted so that they gather about centroids.

Frozen maps at strides 4, 8 and 16, averaged over 3 x 3 and joined on the finest grid, go through one 1 x 1
convolution that also sees where it is (CoordConv): the descriptor phi. The memory bank holds one centroid for each
place, the mean over the training images of what the descriptor gives before it is trained. With d_1 <= d_2 <= ...
the squared distances of a patch to its nearest centroids, trained on

    (1 / nu) mean max(0, d_k - r^2), k <= K   +   (1 / nu) mean max(0, r^2 - d_j - alpha), K < j <= K + J

with a radius r that is learnt along. A patch scores its distance to the nearest centroid times the softmin of the
distances to K of them; the map is enlarged and blurred, an image scores its largest value.

Official settings, the defaults: WideResNet50-2, K = J = 3, r = 1e-5 at the start, nu = 1e-3, alpha = 0.1, AdamW 1e-3
with amsgrad and weight decay 5e-4, 30 epochs of batches of 4 without the rest; for EfficientNets maps are divided by
their channels and the descriptor is twice as wide. So r^2 exceeds alpha, and anything is repelled, only after some
hundred steps. Departures: the last epoch counts (official: the best on the test set); the mean of the centroids goes
over all training images; the blur keeps its part of the image; scores are not scaled by those of the test set; images
are not cropped.
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
from baselines.info.cfa import SIDE, SIZES, CfaTraining, Spheres
from baselines.inputs import batched, stream
from baselines.maps import SIGMA, peak, smoothed, upsampled
from baselines.neighbours import double, nearest
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

STRIDES = (4, 8, 16)
_PLACES = 8 * 56 * 56
"""Patches a batch when scoring: eight images of 224 px."""


class Descriptor(nn.Module):
    """The descriptor, its centroids (places x width) and the radius; ``shapes`` are those of the maps of an image."""

    centroids: Tensor

    def __init__(self, shapes: Sequence[tuple[int, ...]], spheres: Spheres, efficient: bool) -> None:
        super().__init__()
        self.spheres, self.efficient = spheres, efficient
        channels, (height, width) = sum(shape[0] for shape in shapes), shapes[0][1:]
        dimension = 2 * channels if efficient else channels
        self.layer = nn.Conv2d(channels + 2, dimension, 1)
        self.radius = nn.Parameter(torch.tensor([spheres.radius]))
        self.register_buffer("centroids", torch.zeros(height * width, dimension))
        if (asked := spheres.attracted + spheres.repelled) > height * width:
            raise ValueError(
                f"spheres.attracted + spheres.repelled = {asked}, and such images have {height * width} places"
            )

    def joined(self, maps: Sequence[Tensor]) -> Tensor:
        """The maps averaged over 3 x 3, on the grid of the first, side by side: B x channels x h x w."""
        parts = [F.avg_pool2d(one, 3, 1, 1) / (one.shape[1] if self.efficient else 1) for one in maps]
        grid = parts[0].shape[-2:]
        return torch.cat(
            [
                parts[0],
                *(F.interpolate(one, grid, mode="bilinear", align_corners=False) for one in parts[1:]),
            ],
            1,
        )

    def forward(self, joined: Tensor) -> Tensor:
        """phi: B x places x width."""
        count, _, height, width = joined.shape
        down = torch.linspace(-1, 1, height, device=joined.device).view(1, 1, -1, 1)
        along = torch.linspace(-1, 1, width, device=joined.device).view(1, 1, 1, -1)
        where = [one.expand(count, 1, height, width) for one in (down, along)]
        made: Tensor = self.layer(torch.cat([joined, *where], 1))
        return made.flatten(2).transpose(1, 2)

    def terms(self, phi: Tensor) -> dict[str, Tensor]:
        """The two terms of the loss."""
        spheres, rows = self.spheres, phi.flatten(0, 1)
        lengths = rows.square().sum(1, keepdim=True) + self.centroids.square().sum(1)
        squared = torch.addmm(lengths, rows, self.centroids.T, alpha=-2)
        near = squared.topk(spheres.attracted + spheres.repelled, largest=False).values
        inside, outside = near.tensor_split([spheres.attracted], dim=1)
        reach = self.radius.square()
        return {
            "attraction": F.relu(inside - reach).mean() / spheres.nu,
            "repulsion": F.relu(reach - outside - spheres.alpha).mean() / spheres.nu,
        }


class Cfa:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(CfaTraining, training)
        self.network: Features | None = None
        self.descriptor: Descriptor | None = None
        self.shapes: list[list[int]] = []

    def fit(self, images: Images, context: Context) -> None:
        self.network = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        frozen = Frozen(self.network, images, context)
        descriptor = self.descriptor = self._made(frozen.shapes, context.seed).to(context.device)
        self._remember(descriptor, frozen, images, context)

        def terms(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            return descriptor.terms(descriptor(descriptor.joined(frozen(batch))))

        train = self.settings.train
        optimiser = torch.optim.AdamW(
            descriptor.parameters(), lr=train.lr, weight_decay=train.weight_decay, amsgrad=True, fused=True
        )
        fit = Fit(descriptor, terms, len(images), train, context, optimiser=optimiser, last="drop")
        kept = frozen.kept(images, context)
        loop.run(fit, kept, context, lambda step, total: context.snapshot(step, total, self))

    def score(self, images: Images, context: Context) -> Scores:
        assert self.descriptor is not None, "fit or load first"
        batch = max(1, _PLACES // len(self.descriptor.centroids))
        return batched(images, context, lambda some: self._scores(some, context), batch)

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        assert self.descriptor is not None
        state = {name: value.cpu() for name, value in self.descriptor.state_dict().items()}
        write_torch(path, {"origin": self.network.origin(), "shapes": self.shapes, "descriptor": state})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.network = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        self.descriptor = self._made(saved["shapes"], 0).to(device)
        self.descriptor.load_state_dict(saved["descriptor"])

    def _made(self, shapes: Sequence[tuple[int, ...]], seed: int) -> Descriptor:
        self.shapes = [list(shape) for shape in shapes]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "descriptor"))
            return Descriptor(shapes, self.settings.spheres, "efficientnet" in self.settings.backbone)

    def _remember(self, descriptor: Descriptor, frozen: Frozen, images: Images, context: Context) -> None:
        """Set the centroids. The descriptor is linear: it gives the mean of what it would give for each image."""

        def summed(batch: Tensor) -> Tensor:
            return double(descriptor.joined(frozen(batch)), batch.device).sum(0)

        batch = frozen.features.inputs.at_once(images)
        total = sum(stream(images, context, summed, batch), torch.zeros((), device=context.device))
        with torch.no_grad():
            descriptor.centroids.copy_(descriptor((total / len(images)).float()[None])[0])

    def _scores(self, batch: Tensor, context: Context) -> Tensor:
        assert self.network is not None, "fit or load first"
        assert self.descriptor is not None
        x = self.network.inputs(batch)
        maps = self.network(x)
        phi = self.descriptor(self.descriptor.joined(maps))
        squared, _ = nearest(
            phi.flatten(0, 1), self.descriptor.centroids, self.settings.spheres.attracted, context.pulse
        )
        apart = squared.sqrt()
        scored = F.softmin(apart, 1)[:, 0] * apart[:, 0]
        grid = scored.view(len(x), *maps[0].shape[-2:])
        (large,) = upsampled([grid], (x.shape[-2], x.shape[-1]))
        return peak(smoothed(large, SIGMA * 256 / SIDE))
