"""PatchCore (Roth et al., CVPR 2022, arXiv 2106.08265): the distance of the most unusual patch to a memory bank.

Patch features are the 3 x 3 neighbourhoods (Eq. 1 and 2) in the maps at strides 8 and 16 of a frozen network,
averaged to ``dimension`` values, brought to the finer grid and averaged over the two (Eq. 3). The bank is a greedy
coreset of them (Eq. 5, :mod:`baselines.coreset`). A patch scores its distance to the bank, an image the largest
of its patches (Eq. 6); ``score.reweight`` multiplies it with the weight of Eq. 7.

Official settings, the defaults: WideResNet50-2, 1,024 values, a tenth kept, projected to 128 dimensions, ten
starting points, one neighbour, plain maximum. Departures: images are not cropped (official: resized to 256 and
cut to 224 px); distances are not squared (the official code's are, which ranks alike); neighbours are exact; the
bank is capped, and sets beyond a chunk are thinned out chunk by chunk, which the outcome says when it acts.
The blur of the official maps serves their display and not the image score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.backbones import Features, restored
from baselines.coreset import MemoryBank
from baselines.info.patchcore import SIZES, PatchCoreTraining, PatchScoring
from baselines.inputs import batched, stream
from baselines.neighbours import nearest
from suite.detector import Context, Images, Scores
from suite.settings import Settings
from suite.tensors import read_torch, write_torch

STRIDES = (8, 16)
_PATCHES = 8 * 28 * 28
"""Patches a batch (eight images of 224 px): a neighbourhood has thousands of values before it is averaged."""


def described(maps: Sequence[Tensor], between: int, dimension: int) -> Tensor:
    """B x patches x ``dimension``: the neighbourhoods in each map averaged to ``between`` values, brought to the
    first map's grid, and averaged over the maps.
    """
    grid = maps[0].shape[-2:]
    stages = [F.interpolate(averaged(one, between), grid, mode="bilinear") for one in maps]
    joined = torch.cat(stages, 1).flatten(2).transpose(1, 2)
    made: Tensor = F.adaptive_avg_pool1d(joined, dimension)
    return made


def averaged(maps: Tensor, values: int) -> Tensor:
    """The neighbourhoods of B x C x H x W, channels outermost, averaged to B x ``values`` x H x W. (The official
    code brings them to the finer grid first; one works along channels, the other across the map.)
    """
    around = F.unfold(maps, 3, padding=1).transpose(1, 2)
    made = F.adaptive_avg_pool1d(around, values)
    grid: Tensor = made.transpose(1, 2).unflatten(2, maps.shape[-2:])
    return grid


class PatchCore:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings, self.scoring = cast(PatchCoreTraining, training), cast(PatchScoring, scoring)
        self.network: Features | None = None
        self.bank = torch.zeros(0, self.settings.dimension)

    def fit(self, images: Images, context: Context) -> None:
        self.network = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)

        rows = self._rows(images)

        def patches(order: Tensor, reading: Context) -> Iterator[Tensor]:
            for made in stream(images, reading, self._patches, max(1, _PATCHES // rows), order):
                yield made.flatten(0, 1)

        bank = MemoryBank(len(images), rows, self.settings.dimension, self.settings.coreset, context, patches)
        bank.fill()
        self.bank = bank.features

    def score(self, images: Images, context: Context) -> Scores:
        batch = max(1, _PATCHES // self._rows(images))
        return batched(images, context, lambda some: self._scores(some, context), batch)

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        write_torch(path, {"origin": self.network.origin(), "bank": self.bank.cpu()})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.network = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        self.bank = saved["bank"]

    def _rows(self, images: Images) -> int:
        """Patches an image."""
        assert self.network is not None, "fit or load first"
        height, width = self.network.inputs.sides(*images.shape[-2:])
        return -(-height // STRIDES[0]) * -(-width // STRIDES[0])

    def _patches(self, batch: Tensor) -> Tensor:
        """B x patches x ``dimension`` of uint8 images."""
        assert self.network is not None, "fit or load first"
        maps = self.network(self.network.inputs(batch))
        return described(maps, self.settings.dimension, self.settings.dimension)

    def _scores(self, batch: Tensor, context: Context) -> Tensor:
        patches = self._patches(batch)
        squared, at = nearest(patches.flatten(0, 1), self.bank, self.scoring.k, context.pulse)
        worst, where = squared.sqrt().mean(1).view(patches.shape[:2]).max(1)
        if not self.scoring.reweight:
            return worst
        each = torch.arange(len(patches), device=worst.device)
        nearest_to_it = at[:, 0].view(patches.shape[:2])[each, where]
        return worst * self._weight(patches[each, where], nearest_to_it, context)

    def _weight(self, patches: Tensor, at: Tensor, context: Context) -> Tensor:
        """Eq. 7 for one patch an image (B x D) whose nearest in the bank is at ``at`` (B,)."""
        if len(self.bank) < self.scoring.reweight:
            raise ValueError(f"{len(self.bank)} patches in the bank: lower score.reweight")
        _, around = nearest(self.bank[at], self.bank, self.scoring.reweight, context.pulse)
        kind = torch.float32 if patches.device.type == "mps" else torch.float64
        apart = torch.linalg.vector_norm(patches[:, None].to(kind) - self.bank[around].to(kind), dim=2)
        closest = torch.linalg.vector_norm(patches.to(kind) - self.bank[at].to(kind), dim=1)
        return 1 - torch.exp(closest - apart.logsumexp(1))
