"""What the three normalizing flows share (on FrEIA): how one is drawn, its loss, and how an image is scored.

A flow maps features x to z with the log-determinant J of its Jacobian; under a standard normal z the negative
log-likelihood of x is |z|^2 / 2 - J and a constant. All three methods make a map exp(l) of each scale from some
log-likelihood l of its positions, bring the maps to the image's size, add them, and take the place where the sum
is lowest. For features far from the training images exp(l) is zero to the last digit, in all images alike. The
score here is minus the logarithm of that lowest sum, which orders images as the sum itself does and underflows nowhere.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn

from baselines.info.fastflow import Flow

Subnet = Callable[[int, int], nn.Module]
"""Makes the network of a coupling that maps so many channels to so many."""


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """FrEIA draws weights from torch's global generator and permutations from numpy's: both are seeded inside, and
    outside as they were.
    """
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(state)


def convolutions(kernel: int, ratio: float = 1.0) -> Subnet:
    """Two convolutions with ``ratio`` times the incoming channels between them."""

    def made(incoming: int, outgoing: int) -> nn.Module:
        hidden = max(1, int(incoming * ratio))
        return nn.Sequential(
            nn.Conv2d(incoming, hidden, kernel, padding="same"),
            nn.ReLU(),
            nn.Conv2d(hidden, outgoing, kernel, padding="same"),
        )

    return made


def couplings(settings: Flow) -> list[Subnet]:
    """The networks of all couplings of one scale."""
    kernels = cycle(map(int, settings.kernels.split("-")))
    return [convolutions(kernel, settings.ratio) for kernel in islice(kernels, settings.steps)]


def sequence(shape: Sequence[int], subnets: Iterable[Subnet], **options: Any) -> SequenceINN:
    """A flow on ``shape`` (without the batch), an affine coupling for each of ``subnets``, each with a global affine
    map and a fixed mixing of the channels. ``options`` go to FrEIA's ``AllInOneBlock``. Runs forward only.
    """
    flow = SequenceINN(*shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Soft permutation")  # of many channels: slow to draw, as published
        for subnet in subnets:
            flow.append(AllInOneBlock, subnet_constructor=subnet, **options)
    for block in flow:
        block.w_perm_inv = None  # as large as the mixing itself, and used backwards only
    return flow


def log_normality(z: Tensor) -> Tensor:
    """-mean_c z^2 / 2 at each place of latents B x C x h x w, B x h x w."""
    return -0.5 * z.square().mean(1)


def surprise(logs: Sequence[Tensor], size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Minus the logarithm of the lowest mean over scales of exp(l), (B,), for maps of log-likelihoods l, B x h x w
    each, that are brought to ``size`` as exp(l), bilinearly.
    """
    fine = torch.stack(
        [_enlarged(_enlarged(one, size[0], 1, align_corners), size[1], 2, align_corners) for one in logs]
    )
    return math.log(len(logs)) - fine.logsumexp(0).flatten(1).amin(1)


def _enlarged(logs: Tensor, size: int, axis: int, align_corners: bool) -> Tensor:
    """log of the linear interpolation of exp(logs) along an axis."""
    length = logs.shape[axis]
    at = torch.arange(size, device=logs.device, dtype=logs.dtype)
    at = (
        at * (length - 1) / max(size - 1, 1)
        if align_corners
        else ((at + 0.5) * length / size - 0.5).clamp(min=0)
    )
    low = at.long().clamp(max=length - 1)
    part = (at - low).clamp(0, 1).view(-1, *[1] * (2 - axis))
    below, above = logs.index_select(axis, low), logs.index_select(axis, (low + 1).clamp(max=length - 1))
    return torch.logaddexp(below + torch.log1p(-part), above + part.log())
