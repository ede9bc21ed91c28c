"""The dissolving transformation D (Section 3.1, Eq. 4) and its heuristic alternatives (supplement B).

All dissolvers take images in [0, 1] at the data's size, work at the dissolving resolution and give images in
[0, 1] at the data's size back. They need no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.settings import Settings
from suite.tensors import onto, products

Predict = Callable[[Tensor, Tensor], Tensor]
"""eps_theta(x, t): images N x C x S x S and steps (N,) to the predicted noise."""

LUMINANCE = (0.299, 0.587, 0.114)
PAD_LIMIT = 4
"""An image smaller than the dissolving resolution by at most 1/PAD_LIMIT of itself is padded (28 to 32 px),
else resized.
"""


class Dissolver(Protocol):
    """``dissolver(x, generator)``: a randomly drawn dissolving transformation of each image."""

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor: ...


def to_resolution(x: Tensor, size: int) -> Tensor:
    """N x C x H x H to N x C x size x size: zero padding for a slightly larger size, else bilinear without
    antialias.
    """
    side = x.shape[-1]
    if side == size:
        return x
    if 0 < size - side <= side // PAD_LIMIT:
        before = (size - side) // 2
        after = size - side - before
        return F.pad(x, (before, after, before, after))
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def from_resolution(x: Tensor, side: int) -> Tensor:
    """The way back of :func:`to_resolution`: crop what was padded, else bilinear."""
    size = x.shape[-1]
    if side == size:
        return x
    if 0 < size - side <= side // PAD_LIMIT:
        before = (size - side) // 2
        return x[..., before : before + side, before : before + side]
    return F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)


def dissolve(x: Tensor, t: Tensor, predict: Predict, alphas_cumprod: Tensor) -> Tensor:
    """Eq. 4, one reverse step from a clean image taken for x_t, clamped to [-1, 1].

    ``x``: N x C x S x S in the model's own range; ``t``: (N,) integer indices into ``alphas_cumprod`` (as the
    noise schedule of denoising-diffusion-pytorch counts: index t is the product over t + 1 steps).
    """
    alpha_bar = alphas_cumprod.to(torch.float64)[t].reshape(-1, 1, 1, 1)
    scale = (1 / alpha_bar).sqrt().to(x.dtype)
    noise_scale = (1 / alpha_bar - 1).sqrt().to(x.dtype)
    return (scale * x - noise_scale * predict(x, t)).clamp(-1, 1)


def as_channels(x: Tensor, channels: int) -> Tensor:
    """N x C x H x W images with 1 or 3 channels, for a model that was trained with the other number: gray
    repeated, or the luminance (ITU-R 601) of colours.
    """
    if x.shape[1] == channels:
        return x
    if channels == 1:
        return (x * x.new_tensor(LUMINANCE).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return x.expand(-1, channels, -1, -1)


class StepDissolver:
    """A dissolver with a step t ~ U(low, high): one for each image, or for a whole batch. ``at`` dissolves at
    given steps.
    """

    def __init__(self, steps: tuple[int, int]) -> None:
        self.low, self.high = steps

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` steps t, (count,)."""
        return torch.randint(self.low, self.high + 1, (count,), generator=generator, device=generator.device)

    def at(self, x: Tensor, t: Tensor) -> Tensor:
        """Dissolve N x C x H x H images in [0, 1] at the steps ``t`` (N,)."""
        raise NotImplementedError

    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return self.at(x, onto(self.draw(len(x), generator), x.device))

    def for_batch(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """One t for the whole batch, as the released code draws it for each shift."""
        return self.at(x, onto(self.draw(1, generator), x.device).expand(len(x)))


class DiffusionDissolver(StepDissolver):
    """Eq. 4; the image handed over in [-1, 1] (or in [0, 1] as released). ``channels``: the model's, where
    it is another data set's (``dissolve.source``).
    """

    def __init__(
        self,
        predict: Predict,
        alphas_cumprod: Tensor,
        steps: tuple[int, int],
        size: int,
        unit: bool,
        channels: int | None = None,
    ) -> None:
        super().__init__(steps)
        self.predict, self.alphas_cumprod = predict, alphas_cumprod
        self.size, self.unit, self.channels = size, unit, channels

    def at(self, x: Tensor, t: Tensor) -> Tensor:
        """Dissolve N x C x H x H images in [0, 1] at the steps ``t`` (N,)."""
        return from_resolution(self.small(x, t), x.shape[-1])

    @products("full")
    @torch.no_grad()
    def small(self, x: Tensor, t: Tensor) -> Tensor:
        """:meth:`at`, left at the dissolving resolution: N x C x S x S in [0, 1]."""
        small = as_channels(to_resolution(x, self.size), self.channels or x.shape[1])
        if self.unit:
            hat = dissolve(small, t, self.predict, self.alphas_cumprod).clamp(0, 1)
        else:
            hat = (dissolve(small * 2 - 1, t, self.predict, self.alphas_cumprod) + 1) / 2
        return as_channels(hat, x.shape[1])


class FixedDissolver:
    """A filter at the dissolving resolution: Gaussian or median blur, resizing alone, or nothing."""

    def __init__(self, operation: Callable[[Tensor], Tensor], size: int | None) -> None:
        self.operation, self.size = operation, size

    @torch.no_grad()
    def __call__(self, x: Tensor, generator: torch.Generator) -> Tensor:
        if self.size is None:
            return self.operation(x)
        return from_resolution(self.operation(to_resolution(x, self.size)), x.shape[-1])


def gaussian(kernel: int) -> Callable[[Tensor], Tensor]:
    """Gaussian blur with the sigma that a kernel of this size conventionally has: 0.3 ((k - 1) / 2 - 1) +
    0.8.
    """
    from kornia.filters import gaussian_blur2d

    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    return lambda x: gaussian_blur2d(x, (kernel, kernel), (sigma, sigma))


def median(kernel: int) -> Callable[[Tensor], Tensor]:
    """Median blur."""
    from kornia.filters import median_blur

    return lambda x: median_blur(x, (kernel, kernel))


def build(settings: Settings | None, artefacts: Mapping[str, Path], device: torch.device) -> Any:
    """The dissolver that ``dissolve.*`` describes (None: no third branch)."""
    from suite.dia import info

    if settings is None:
        return None
    if isinstance(settings, info.DissolveDiffusion):
        from suite.dia import bank, diffusion

        if settings.bank:
            return bank.Bank({t: artefacts[f"bank {t}"] for t in settings.lattice}, device)
        predict, alphas_cumprod, channels = diffusion.load(artefacts["diffusion"], device, settings.weights)
        unit = settings.range == "unit"
        return DiffusionDissolver(predict, alphas_cumprod, settings.steps, settings.size, unit, channels)
    if isinstance(settings, info.DissolveStable):
        from suite.dia.stable_diffusion import load as load_pipeline

        return load_pipeline(settings.model, settings.steps, settings.size, device)
    if isinstance(settings, info.DissolveBlur):
        blur = gaussian if settings.op == "gaussian" else median
        return FixedDissolver(blur(settings.kernel), settings.size)
    if isinstance(settings, info.DissolveResize):
        return FixedDissolver(lambda x: x, settings.size)
    return FixedDissolver(lambda x: x, None)
