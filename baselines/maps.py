"""Anomaly maps: brought to the image's size, smoothed, and read off as one score an image."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import gaussian_blur

SIGMA = 4.0
"""Of the Gaussian that the methods smooth their maps of 256 px with; it scales with the image."""
_USUAL = 256


def upsampled(maps: Iterable[Tensor], size: tuple[int, int], corners: bool = False) -> Tensor:
    """Maps B x h x w of any sizes, bilinearly at ``size``: (number of maps) x B x H x W. ``corners``: the corner
    pixels of both lie upon each other.
    """
    return torch.stack(
        [F.interpolate(one[:, None], size, mode="bilinear", align_corners=corners)[:, 0] for one in maps]
    )


def smoothed(maps: Tensor, sigma: float = SIGMA) -> Tensor:
    """B x H x W under a Gaussian of ``sigma`` x (side / 256) pixels, cut off at four of them."""
    sigma *= min(maps.shape[-2:]) / _USUAL
    reach = min(int(4 * sigma + 0.5), min(maps.shape[-2:]) - 1)
    if reach < 1:
        return maps
    blurred: Tensor = gaussian_blur(maps[:, None], [2 * reach + 1] * 2, [sigma] * 2)
    return blurred[:, 0]


def peak(maps: Tensor) -> Tensor:
    """The largest value of each map, (B,)."""
    return maps.flatten(1).amax(1)
