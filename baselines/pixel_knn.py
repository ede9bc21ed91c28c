"""Pixel kNN: the distance to the nearest training image in raw pixels. A control that learns nothing.

Images larger than 32 px are averaged down to 32 px. The distance is the root mean square over pixels and
channels, in grey values from 0 to 255.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.info.controls import NeighbourScoring
from baselines.neighbours import nearest
from suite.detector import Context, Images, Scores
from suite.settings import Settings

SIDE = 32
_BATCH = 1024


class PixelKnn:
    """See :class:`suite.detector.Detector`. The bank is uint8, N x (C * height * width)."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.k = cast(NeighbourScoring, scoring).k
        self.bank = torch.zeros(0, 0, dtype=torch.uint8)

    def fit(self, images: Images, context: Context) -> None:
        self.bank = torch.cat(
            [_pixels(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        ).to(context.device)
        context.progress(1, 1, {})

    def score(self, images: Images, context: Context) -> Scores:
        scores = []
        for start in range(0, len(images), _BATCH):
            queries = _pixels(images[start : start + _BATCH])
            squared, _ = nearest(queries, self.bank, self.k, context.pulse)
            scores.append((squared / queries.shape[1]).sqrt().mean(1).cpu())
            context.progress(min(start + _BATCH, len(images)), len(images), {})
        return torch.cat(scores).double().numpy() if scores else np.zeros(0)

    def save(self, path: Path) -> None:
        torch.save({"bank": self.bank.cpu()}, path)

    def load(self, path: Path, device: torch.device) -> None:
        self.bank = torch.load(path, map_location=device, weights_only=True)["bank"]


def _pixels(images: Images) -> Tensor:
    """N x C x H x W as N x D, uint8, at most 32 px a side; rounding keeps the bank small and the distances
    exact.
    """
    pixels = torch.from_numpy(np.array(images))
    if max(pixels.shape[-2:]) > SIDE:
        size = [min(SIDE, side) for side in pixels.shape[-2:]]
        pixels = F.interpolate(pixels.float(), size, mode="area").round().to(torch.uint8)
    return pixels.flatten(1)
