"""Views of an image: flip, shift S_k and the random non-shifting transformations T (Eq. 5; SimCLR's set,
batch-wise).

Everything is drawn as tensors of one value per view and applied to the whole batch at once. Gray images keep
one channel: hue, saturation and the gray-scale view cannot change them and are skipped. Quarter turns and mirroring
move whole pixels, so the crop that follows them takes them along in its one resampling, and the colours before it are
those of the image as it lies: what all views of an image share is computed once (:class:`Originals`).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.dia.info import Shortcut
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


def shifted(x: Tensor, kind: Literal["rotate", "perm"], blocks: int = 1) -> Tensor:
    """All K shifts, shift-major: row k B + b is S_k(x_b). With ``blocks`` = K, x has a block of B for each shift."""
    parts = x.chunk(blocks) if blocks > 1 else [x] * SHIFTS
    return torch.cat([shift(part, kind, k) for k, part in enumerate(parts)])


def at_once(kind: str, plain: Collection[Shortcut]) -> bool:
    """Whether the shift is left to the resampling of the crop (:class:`Pose`)."""
    return kind == "rotate" and "one_resampling" not in plain


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

    def rows(self, which: slice) -> Draw:
        """Some of the draws."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen: dict[str, Any] = {name: v[which] for name, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **chosen)


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


class Originals:
    """N x C x H x W images in [0, 1] before their views, with what these share: the mean of each channel and, in
    colour, hue, saturation and value.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x

    @cached_property
    def mean(self) -> Tensor:
        """N x C x 1 x 1."""
        return self.x.mean(dim=(-2, -1), keepdim=True)

    @cached_property
    def hsv(self) -> Tensor:
        """N x 3 x H x W: hue in [0, 2 pi], saturation and value in [0, 1]."""
        return _hsv(self.x)


@dataclass(frozen=True)
class Pose:
    """How an image lies when it is cropped: mirrored where ``mirrored``, then ``turns`` quarter turns. (R,) each, or
    (1,) for all.
    """

    turns: Tensor
    mirrored: Tensor


def apply(x: Tensor | Originals, drawn: Draw, pose: Pose | None = None) -> Tensor:
    """T(x): colour jitter, gray scale, then the crop resized to the image's own size. ``x``: N x C x H x W in
    [0, 1].

    Row r of R draws is a view of image r mod N, R a multiple of N; a single draw is shared by all images. With a
    ``pose``, T of the image mirrored and turned like that (H = W).
    """
    originals = x if isinstance(x, Originals) else Originals(x)
    coloured = _gray(_jitter(originals, drawn), drawn)
    return crop(coloured.flatten(0, 1), drawn.box, pose)


def crop(x: Tensor, box: Tensor, pose: Pose | None = None) -> Tensor:
    """Cut ``box`` (N x 4 or 1 x 4, see :class:`Draw`) out of each image and resize it bilinearly to the
    image's size.
    """
    height, width, y, x_centre = onto(box, x.device).unbind(1)
    zero = torch.zeros_like(height)
    rows = [[width, zero, x_centre], [zero, height, y]]
    if pose is not None:
        rows = _posed(rows, onto(pose.turns, x.device), onto(pose.mirrored, x.device))
    theta = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1).expand(len(x), 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _posed(rows: list[list[Tensor]], turns: Tensor, mirrored: Tensor) -> list[list[Tensor]]:
    """Where the image as it lies has what the posed one has at (across, down): a quarter turn looks at (-down,
    across).
    """
    cosine = (1 - turns).where(turns % 2 == 0, 0).to(rows[0][0].dtype)
    sine = (2 - turns).where(turns % 2 == 1, 0).to(rows[0][0].dtype)
    sign = 1 - 2 * mirrored.to(cosine.dtype)
    pairs = list(zip(*rows, strict=True))
    across = [sign * (cosine * one - sine * other) for one, other in pairs]
    down = [sine * one + cosine * other for one, other in pairs]
    return [across, down]


def _column(values: Tensor, x: Tensor) -> Tensor:
    """(R,) as R/N x N x 1 x 1 x 1 (or 1 x 1 x ...), beside ... x N x C x H x W."""
    return onto(values, x.device).reshape(-1, min(len(values), x.shape[-4]), 1, 1, 1)


def _jitter(originals: Originals, drawn: Draw) -> Tensor:
    x = originals.x
    if drawn.contrast_first:
        changed = _contrast(x, originals.mean, drawn)
        changed = _colour(changed, None if x.shape[1] == 1 else _hsv(changed), drawn)
    else:
        changed = _colour(x, None if x.shape[1] == 1 else originals.hsv, drawn)
        changed = _contrast(changed, changed.mean(dim=(-2, -1), keepdim=True), drawn)
    return torch.where(_column(drawn.jittered, x), changed, x)


def _contrast(x: Tensor, mean: Tensor, drawn: Draw) -> Tensor:
    return torch.lerp(mean, x, _column(drawn.contrast, x)).clamp(0, 1)


def _colour(x: Tensor, hsv: Tensor | None, drawn: Draw) -> Tensor:
    """Hue, saturation and value; for gray images the value alone."""
    if hsv is None:
        return (x * _column(drawn.brightness, x)).clamp(0, 1)
    from kornia.color import hsv_to_rgb

    hue, saturation, value = hsv.split(1, dim=-3)
    hue = torch.remainder(hue + 2 * math.pi * _column(drawn.hue, x), 2 * math.pi)
    saturation = (saturation * _column(drawn.saturation, x)).clamp(0, 1)
    value = (value * _column(drawn.brightness, x)).clamp(0, 1)
    return hsv_to_rgb(torch.cat([hue, saturation, value], dim=-3))


def _hsv(x: Tensor) -> Tensor:
    from kornia.color import rgb_to_hsv

    result: Tensor = rgb_to_hsv(x)
    return result


def _gray(x: Tensor, drawn: Draw) -> Tensor:
    if x.shape[-3] == 1:
        return x
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).reshape(3, 1, 1)
    return torch.where(_column(drawn.grayed, x), (x * weights).sum(dim=-3, keepdim=True).expand_as(x), x)
