"""Feature maps of a frozen network while something behind it is trained: computed once where they fit into memory.

For methods that put no random augmentation before the network; what is learnt is the same either way.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from baselines.inputs import Inputs, each
from suite.detector import Context, Images

MEMORY_LIMIT = 2**30
"""Maps of all training images up to this many bytes are kept."""


class Network(Protocol):
    """What is frozen: maps B x C x h x w of what its ``inputs`` make of images."""

    inputs: Inputs

    def __call__(self, x: Tensor) -> Any: ...


class Frozen:
    """The maps of a batch, whether it holds images or what :meth:`kept` made of them.

    ``shapes``: channels, height and width of each map of an image like ``images``.
    """

    def __init__(self, features: Network, images: Images, context: Context) -> None:
        self.features = features
        (maps,) = each(images[:1], context, lambda batch: features(features.inputs(batch)))
        self.shapes = [tuple(one.shape[1:]) for one in maps]
        self._lengths = [math.prod(shape) for shape in self.shapes]

    def kept(self, images: Images, context: Context, limit: int = MEMORY_LIMIT) -> NDArray[Any]:
        """float32 N x D, all maps of an image side by side; the images themselves where that is more than ``limit``
        bytes. To be given to :func:`suite.training.loop.run` in place of the images.
        """
        if 4 * len(images) * sum(self._lengths) > limit:
            return images
        rows = each(
            images,
            context,
            lambda batch: torch.cat([one.flatten(1) for one in self(batch)], 1).cpu(),
            self.features.inputs.at_once(images),
        )
        return torch.cat(rows).numpy()

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """The maps, B x ``shapes[i]`` each, without gradients."""
        if batch.dtype == torch.uint8:
            with torch.no_grad():
                return list(self.features(self.features.inputs(batch)))
        parts = batch.split(self._lengths, 1)
        return [part.unflatten(1, shape) for part, shape in zip(parts, self.shapes, strict=True)]
