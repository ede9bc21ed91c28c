"""Views of an image: flip, shift S_k and the random non-shifting transformations T (Eq. 5; SimCLR's set,
batch-wise).

Everything is drawn as tensors of one value per image and applied to the whole batch at once. Gray images keep
one channel: hue, saturation and the gray-scale view cannot change them and are skipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.tensors import onto

SHIFTS = 4
"""K: four quarter turns, or four exchanges of halves."""

TRAIN_AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
JITTER_CHANCE, GRAY_CHANCE = 0.8, 0.2
BRIGHTNESS = CONTRAST = SATURATION = 0.4
HUE = 0.1


def shift(x: Tensor, kind: Literal["rotate", "perm"], k: int) -> Tensor:
    """S_k of N x C x H x H images; S_0 is the identity.

    ``rotate``: k quarter turns. ``perm``: the upper and lower halves exchanged if k's first bit is set, the
    left and right halves if its second is.
    """
    if kind == "rotate":
        return torch.rot90(x, k, dims=(-2, -1))
    if k & 1:
        x = x.roll(x.shape[-2] // 2, dims=-2)
    if k & 2:
        x = x.roll(x.shape[-1] // 2, dims=-1)
    return x


def shifted(x: Tensor, kind: Literal["rotate", "perm"]) -> Tensor:
    """All K shifts, shift-major: row k B + b is S_k(x_b)."""
    return torch.cat([shift(x, kind, k) for k in range(SHIFTS)])


def flips(count: int, generator: torch.Generator) -> Tensor:
    """Which of ``count`` images are mirrored, (count,): each with probability one half."""
    return torch.rand(count, generator=generator, device=generator.device) < 0.5


def mirrored(x: Tensor, chosen: Tensor) -> Tensor:
    """N x C x H x W images, the ``chosen`` (N,) of them mirrored left to right."""
    return torch.where(onto(chosen, x.device)[:, None, None, None], x.flip(-1), x)


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    return mirrored(x, flips(len(x), generator))


@dataclass(frozen=True)
class Draw:
    """One draw of T for each of N images (or for one, to be shared by all): (N,) tensors.

    ``box`` is N x 4: half height, half width and centre of the crop in the image's own coordinates, [-1, 1].
    ``jittered`` and ``grayed`` say whether these apply; the contrast comes before the colours if
    ``contrast_first``.
    """

    jittered: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grayed: Tensor
    box: Tensor
    contrast_first: bool


def draw(count: int, area: tuple[float, float], generator: torch.Generator) -> Draw:
    """Draw T for ``count`` images; ``area``: the range of the crop's share of the image."""

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low

    share = uniform(*area)
    aspect = torch.exp(uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
    width = (share * aspect).sqrt().clamp(max=1.0)
    height = (share / aspect).sqrt().clamp(max=1.0)
    box = torch.stack([height, width, uniform(-1, 1) * (1 - height), uniform(-1, 1) * (1 - width)], dim=1)
    return Draw(
        jittered=uniform(0, 1) < JITTER_CHANCE,
        brightness=uniform(1 - BRIGHTNESS, 1 + BRIGHTNESS),
        contrast=uniform(1 - CONTRAST, 1 + CONTRAST),
        saturation=uniform(1 - SATURATION, 1 + SATURATION),
        hue=uniform(-HUE, HUE),
        grayed=uniform(0, 1) < GRAY_CHANCE,
        box=box,
        contrast_first=bool(torch.rand((), generator=generator, device=generator.device) < 0.5),
    )


def apply(x: Tensor, drawn: Draw) -> Tensor:
    """T(x): colour jitter, gray scale, then the crop resized to the image's own size. ``x``: N x C x H x W in
    [0, 1].
    """
    return crop(_gray(_jitter(x, drawn), drawn), drawn.box)


def crop(x: Tensor, box: Tensor) -> Tensor:
    """Cut ``box`` (N x 4 or 1 x 4, see :class:`Draw`) out of each image and resize it bilinearly to the
    image's size.
    """
    box = onto(box, x.device).expand(len(x), 4)
    zero = torch.zeros_like(box[:, 0])
    height, width, y, x_centre = box.unbind(1)
    theta = torch.stack([width, zero, x_centre, zero, height, y], dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _column(values: Tensor, x: Tensor) -> Tensor:
    return onto(values, x.device).reshape(-1, 1, 1, 1)


def _jitter(x: Tensor, drawn: Draw) -> Tensor:
    first, second = (_contrast, _colour) if drawn.contrast_first else (_colour, _contrast)
    return torch.where(_column(drawn.jittered, x), second(first(x, drawn), drawn), x)


def _contrast(x: Tensor, drawn: Draw) -> Tensor:
    mean = x.mean(dim=(-2, -1), keepdim=True)
    return torch.lerp(mean, x, _column(drawn.contrast, x)).clamp(0, 1)


def _colour(x: Tensor, drawn: Draw) -> Tensor:
    """Hue, saturation and value; for gray images the value alone."""
    if x.shape[1] == 1:
        return (x * _column(drawn.brightness, x)).clamp(0, 1)
    from kornia.color import hsv_to_rgb, rgb_to_hsv

    hue, saturation, value = rgb_to_hsv(x).split(1, dim=1)
    hue = torch.remainder(hue + 2 * math.pi * _column(drawn.hue, x), 2 * math.pi)
    saturation = (saturation * _column(drawn.saturation, x)).clamp(0, 1)
    value = (value * _column(drawn.brightness, x)).clamp(0, 1)
    return hsv_to_rgb(torch.cat([hue, saturation, value], dim=1))


def _gray(x: Tensor, drawn: Draw) -> Tensor:
    if x.shape[1] == 1:
        return x
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).reshape(1, 3, 1, 1)
    return torch.where(_column(drawn.grayed, x), (x * weights).sum(dim=1, keepdim=True).expand_as(x), x)
