"""The networks of EfficientAD: the patch description network (PDN) and the autoencoder, and the jitter between them.

As published for 256 px, where a PDN gives a map of 56 x 56 with a receptive field of 33 px. The autoencoder halves
its input until 8 to 15 pixels a side are left, takes those into one position, and enlarges that in steps to the
PDN's map: at 256 px five halvings and sides of 3, 8, 15, 32, 63 and 127 before the map's, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.functional import rgb_to_grayscale

from baselines.info.efficientad import Pdn

CHANNELS = 384
"""That a PDN describes a patch with."""
_INNER = 64
_LEAST = 8
M = TypeVar("M", bound=nn.Module)


def drawn(seed: int, make: Callable[[], M]) -> M:
    """What ``make`` builds, its weights drawn by ``seed``; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def pdn(settings: Pdn, outside: int, padded: bool = False) -> nn.Sequential:
    """B x 3 x H x W to B x ``outside`` x h x w; ``padded``: h = H / 4, else the map has the valid places alone.

    Modules are numbered as in the files of weights that go round.
    """
    small = settings.size == "small"
    width = round((128 if small else 256) * settings.width)
    pad = int(padded)
    layers: list[nn.Module] = []
    for inside, made in ((3, width), (width, 2 * width)):
        layers += [nn.Conv2d(inside, made, 4, padding=3 * pad), nn.ReLU(), nn.AvgPool2d(2, 2, padding=pad)]
    if not small:
        layers += [nn.Conv2d(2 * width, 2 * width, 1), nn.ReLU()]
    layers += [nn.Conv2d(2 * width, 2 * width, 3, padding=pad), nn.ReLU(), nn.Conv2d(2 * width, outside, 4)]
    if not small:
        layers += [nn.ReLU(), nn.Conv2d(outside, outside, 1)]
    return nn.Sequential(*layers)


def map_side(side: int) -> int:
    """The side of an unpadded PDN's map of an image of this side."""
    return ((side - 3) // 2 - 3) // 2 - 5


def halvings(side: int) -> int:
    """How often the autoencoder halves an image of this side."""
    return (side // _LEAST).bit_length() - 1


def enlargements(side: int) -> Iterator[int]:
    """The sides that the decoder enlarges to, one after the other, before that of the PDN's map."""
    for power in range(halvings(side) + 1, 0, -1):
        yield (side >> power) - (power == 1 or power % 2 == 0)


class Autoencoder(nn.Module):
    """B x 3 x height x width to B x ``outside`` x h x w, the shape of a PDN's map, through one position."""

    def __init__(self, sides: tuple[int, int], outside: int, dropout: float) -> None:
        super().__init__()
        count = halvings(min(sides))
        layers: list[nn.Module] = []
        inside = 3
        for number in range(count):
            made = 32 if number < 2 else _INNER
            layers += [nn.Conv2d(inside, made, 4, 2, 1), nn.ReLU()]
            inside = made
        rest = (sides[0] >> count, sides[1] >> count)
        self.encoder = nn.Sequential(*layers, nn.Conv2d(inside, _INNER, rest))
        shorter = list(enlargements(min(sides)))
        self.sizes = [tuple(round(one * side / min(sides)) for side in sides) for one in shorter]
        self.decoder = nn.ModuleList(nn.Conv2d(_INNER, _INNER, 4, padding=2) for _ in self.sizes)
        self.size = tuple(map(map_side, sides))
        self.last = nn.Sequential(
            nn.Conv2d(_INNER, _INNER, 3, padding=1), nn.ReLU(), nn.Conv2d(_INNER, outside, 3, padding=1)
        )
        self.dropout = dropout

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """``generator`` draws the dropout; without it there is none."""
        x = self.encoder(x)
        for size, layer in zip(self.sizes, self.decoder, strict=True):
            x = F.relu(layer(F.interpolate(x, size, mode="bilinear")))
            if generator is not None and self.dropout:
                kept = torch.rand(x.shape, generator=generator, device=x.device) >= self.dropout
                x = x * kept / (1 - self.dropout)
        made: Tensor = self.last(F.interpolate(x, self.size, mode="bilinear"))
        return made


def jittered(x: Tensor, generator: torch.Generator, reach: float = 0.2) -> Tensor:
    """Images in [0, 1] with another brightness, contrast or saturation: one of the three for each, its factor
    uniform within 1 +- ``reach``.
    """
    count, device = len(x), x.device
    which = torch.randint(3, (count, 1, 1, 1), generator=generator, device=device)
    factor = 1 + reach * (2 * torch.rand(count, 1, 1, 1, generator=generator, device=device) - 1)
    gray = rgb_to_grayscale(x) if x.shape[1] == 3 else x
    towards = torch.where(which == 0, 0.0, torch.where(which == 1, gray.mean((1, 2, 3), keepdim=True), gray))
    return (factor * x + (1 - factor) * towards).clamp(0, 1)
