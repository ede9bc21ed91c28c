"""From uint8 images to what a network takes. This is the one place of the baselines that resizes images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from baselines.info.common import Sizes
from suite.detector import Context, Images, Scores

_VALUES = 32 * 3 * 224 * 224
"""Input values a batch when scoring: 32 images at 224 px, more of smaller ones."""


class Inputs:
    """uint8 B x C x H x W (C is 1 or 3) to float B x ``channels`` x H' x W', (x / 255 - mean) / std.

    ``sizes`` are those that the method takes; ``size`` asks for one side, else each image's sides are raised to
    the nearest that is taken. Bilinear with antialiasing. Gray images are repeated where ``channels`` is 3; with
    ``channels`` 0 an image keeps its own.
    """

    def __init__(
        self,
        sizes: Sizes,
        size: int | None = None,
        mean: tuple[float, ...] = (0.5,),
        std: tuple[float, ...] = (0.5,),
        channels: int = 3,
    ) -> None:
        self.sizes, self.size, self.channels = sizes, size, channels
        self.mean = torch.tensor(mean).view(1, -1, 1, 1)
        self.std = torch.tensor(std).view(1, -1, 1, 1)

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """The sides that images of these sides are resized to."""
        return self.sizes.side(self.size or height), self.sizes.side(self.size or width)

    def at_once(self, images: Images) -> int:
        """How many images to take at once when scoring, by the size that they are resized to."""
        return max(1, _VALUES // (3 * math.prod(self.sides(*images.shape[2:]))))

    def __call__(self, images: Tensor) -> Tensor:
        return self.normalised(self.unit(images))

    def unit(self, images: Tensor) -> Tensor:
        """Of the size that the method takes, in [0, 1], with their own channels: where views are drawn."""
        x = images.float().div_(255)
        sides = self.sides(*images.shape[-2:])
        if sides != tuple(images.shape[-2:]):
            x = F.interpolate(x, sides, mode="bilinear", antialias=True)
        return x

    def normalised(self, x: Tensor) -> Tensor:
        """What the network takes of images in [0, 1]."""
        if self.channels == 3:
            x = x.expand(-1, 3, -1, -1)
        return (x - self.mean.to(x.device)) / self.std.to(x.device)


def batched(images: Images, context: Context, score: Callable[[Tensor], Tensor], batch: int = 0) -> Scores:
    """``score`` of uint8 batches on the device, (B,) each, put together, (N,); without gradients, with progress."""
    found = [one.double().cpu().numpy() for one in each(images, context, score, batch)]
    return np.concatenate(found) if found else np.zeros(0)


def each(
    images: Images,
    context: Context,
    make: Callable[[Tensor], Tensor],
    batch: int = 0,
    order: Tensor | None = None,
) -> list[Tensor]:
    """What ``make`` gives for uint8 batches on the device, a list in order. ``batch`` 0: as many images as are
    32 of 224 px. ``order``: only these indices, (M,).
    """
    return list(stream(images, context, make, batch, order))


def stream(
    images: Images,
    context: Context,
    make: Callable[[Tensor], Tensor],
    batch: int = 0,
    order: Tensor | None = None,
) -> Iterator[Tensor]:
    """:func:`each`, one batch after the other, none kept."""
    count = len(images) if order is None else len(order)
    step = batch or max(1, _VALUES // int(3 * np.prod(images.shape[2:])))
    for start in range(0, count, step):
        context.pulse()
        part = images[start : start + step] if order is None else images[order[start : start + step].numpy()]
        with torch.no_grad():
            made = make(torch.from_numpy(np.array(part)).to(context.device))
        context.progress(min(start + step, count), count, {})
        yield made
