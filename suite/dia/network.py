"""ResNet18 with a projection head c and a shift classifier f (Section 3.2), on torchvision's basic blocks.

The input is N x C x H x W in [0, 1], scaled to [-1, 1] inside. A gray image is meant as three equal channels;
its first convolution uses the kernels summed over the input channels, which is the same function at a third
of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import BasicBlock

from suite.dia.info import Shortcut
from suite.tensors import channels_last, linear

PROJECTION = 128
LARGE = 2**22
"""Pixels of a batch from which on, on a CPU, the largest maps are computed a second time for the gradient instead of
being kept: 384 views of 224 px would hold 9 GB of them.
"""


class SmallMapConv(nn.Conv2d):
    """A convolution that does not multiply the padding where it gives a map of one position, or on a CPU of 2x2.

    There many taps of the kernel meet nothing but padding. What is left are matrix products, one for each position, or
    one in all where each position sees the whole map: the same function, exactly. A strided 1x1 kernel first leaves out
    what it does not see: with few channels torch 2.14 ends the process in the backward pass of the strided one on a
    CPU.

    With ``plain`` the padding is multiplied after all.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, plain: bool = False) -> None:
        super().__init__(before, after, kernel, stride, kernel // 2, bias=False)
        self.plain = plain
        self.kept: dict[int, list[Window]] | None = None
        """The windows for each size of map, in a copy for evaluation, whose kernel stays as it is."""

    def forward(self, x: Tensor) -> Tensor:
        side = _side(x, self.stride[0])
        small = side <= (2 if x.device.type == "cpu" else 1) and not self.plain
        if small and x.shape[-2] == x.shape[-1]:
            return _by_position(x, self._windows(x.shape[-1], side), self.bias, side)
        if self.kernel_size == (1, 1) and self.stride != (1, 1) and x.device.type == "cpu":
            seen = x[..., :: self.stride[0], :: self.stride[1]].contiguous(memory_format=torch.channels_last)
            return F.conv2d(seen, self.weight, self.bias)
        return super().forward(x)

    def _windows(self, size: int, side: int) -> list[Window]:
        kept = {} if self.kept is None else self.kept
        if size not in kept:
            kept[size] = _windows(self.weight, self.stride[0], size, side)
        return kept[size]


@dataclass(frozen=True)
class Window:
    """The ``rows`` and ``columns`` of a map that one or more positions of a convolution's answer see, and the
    ``matrix`` that they are multiplied with: (positions x channels after) x (rows x columns x channels before).
    """

    rows: slice
    columns: slice
    matrix: Tensor


def _side(x: Tensor, stride: int) -> int:
    """Positions along a side of what a convolution makes of square maps, padded by half of its kernel."""
    return int((x.shape[-1] - 1) // stride + 1)


def _windows(weight: Tensor, stride: int, size: int, side: int) -> list[Window]:
    """A convolution of maps of ``size`` x ``size`` that gives ``side`` x ``side`` positions, row by row."""
    kernel = weight.shape[-1]
    # For each row or column of the answer, what it sees of the map and with which taps.
    seen, used = [], []
    for place in range(side):
        first = place * stride - kernel // 2
        last = min(first + kernel, size)
        seen.append(slice(max(first, 0), last))
        used.append(slice(max(-first, 0), last - first))
    places = [(i, j) for i in range(side) for j in range(side)]
    if side > 1 and all(one == slice(0, size) for one in seen):
        taps = weight.permute(2, 3, 0, 1).flatten(0, 1)
        number = torch.arange(kernel**2, device=weight.device).reshape(kernel, kernel)
        which = torch.cat([number[used[i], used[j]].flatten() for i, j in places])
        matrix = taps.index_select(0, which).unflatten(0, (len(places), -1)).transpose(1, 2)
        return [Window(seen[0], seen[0], matrix.reshape(len(places) * len(weight), -1))]
    taps = weight.permute(0, 2, 3, 1)
    return [Window(seen[i], seen[j], taps[:, used[i], used[j]].flatten(1)) for i, j in places]


def _by_position(x: Tensor, windows: list[Window], bias: Tensor | None, side: int) -> Tensor:
    rows = x.permute(0, 2, 3, 1)
    if bias is not None:
        bias = bias.repeat(side**2 // len(windows))
    parts = [linear(rows[:, one.rows, one.columns].flatten(1), one.matrix, bias) for one in windows]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return whole.reshape(len(x), side, side, -1).permute(0, 3, 1, 2)


class MapNorm(nn.BatchNorm2d):
    """A batch norm that, on a CPU, takes maps of one position for the rows of one map: torch then goes through the
    memory in its order, which makes the gradient up to twenty times as fast.
    """

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W to the same."""
        if x.device.type != "cpu" or x.shape[-2:] != (1, 1):
            return super().forward(x)
        n, channels = x.shape[:2]
        rows = super().forward(x.reshape(1, n, 1, channels).permute(0, 3, 1, 2))
        return rows.permute(0, 2, 3, 1).reshape(n, channels, 1, 1)


class ResNet18(nn.Module):
    """Features, projections and shift logits of a batch.

    ``stem``: ``imagenet`` (7x7 stride 2, then pooling) or ``cifar`` (3x3). ``width``: channels of the first
    of four stages; the features have 8 x width values (512 as published). ``plain``: shortcuts to do without.
    """

    def __init__(
        self,
        stem: Literal["imagenet", "cifar"] = "imagenet",
        width: int = 64,
        shifts: int = 4,
        plain: Collection[Shortcut] = (),
    ) -> None:
        super().__init__()
        self.plain = frozenset(plain)
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
            self.pool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
            self.pool = nn.Identity()
        self.bn1: nn.Module = nn.BatchNorm2d(width)
        stages = [width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.Sequential(
            *[
                _stage(before, after, stride, "small_maps" in self.plain)
                for before, after, stride in zip([width, *stages[:-1]], stages, [1, 2, 2, 2], strict=True)
            ]
        )
        self.features = stages[-1]
        self.projection = nn.Sequential(
            nn.Linear(self.features, self.features),
            nn.ReLU(inplace=True),
            nn.Linear(self.features, PROJECTION),
        )
        self.shift = nn.Linear(self.features, shifts)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def folded(self) -> ResNet18:
        """A copy for evaluation with its batch norms folded into the convolutions before them: the same function, to
        rounding.
        """
        copy = deepcopy(self).eval()
        if "folded_norms" not in self.plain:
            copy._fold_norms()
        for module in copy.modules():
            if isinstance(module, SmallMapConv):
                module.kept = {}
        return copy

    def _fold_norms(self) -> None:
        self.conv1, self.bn1 = _fold(self.conv1, self.bn1), nn.Identity()
        for block in self.modules():
            if isinstance(block, BasicBlock):
                block.conv1, block.bn1 = _fold(block.conv1, block.bn1), nn.Identity()
                block.conv2, block.bn2 = _fold(block.conv2, block.bn2), nn.Identity()
                if block.downsample is not None:
                    block.downsample = _fold(*block.downsample)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Projections N x 128 and shift logits N x K."""
        large = x.device.type == "cpu" and x.numel() // x.shape[1] >= LARGE
        if large and torch.is_grad_enabled() and "computed_twice" not in self.plain:
            x = _computed_twice(self._stem, (self.bn1,), x)
            x = _computed_twice(self.layers[0], self.layers[0].modules(), x)
            x = self.layers[1:](x)
        else:
            x = self.layers(self._stem(x))
        features = x.mean(dim=(-2, -1))
        return self.projection(features), self.shift(features)

    def _stem(self, x: Tensor) -> Tensor:
        x = self._first(x * 2 - 1)
        # The larger value is the larger one after ReLU too, which has less to do after the pooling.
        return F.relu(self.pool(self.bn1(x)), inplace=True)

    def _first(self, x: Tensor) -> Tensor:
        weight = self.conv1.weight
        if x.shape[1] == 1:
            weight = weight.sum(dim=1, keepdim=True)
        x, weight = channels_last(x), channels_last(weight)
        return F.conv2d(x, weight, self.conv1.bias, self.conv1.stride, self.conv1.padding)


def _computed_twice(part: Callable[[Tensor], Tensor], modules: Iterable[nn.Module], x: Tensor) -> Tensor:
    """``part(x)``, of which nothing is kept for the gradient: what that needs is computed again, to the bit, and the
    norms count it once.
    """
    norms = [one for one in modules if isinstance(one, nn.BatchNorm2d)]
    result: Tensor = checkpoint(
        part,
        x,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _not_counting(norms)),
    )
    return result


@contextmanager
def _not_counting(norms: Iterable[nn.BatchNorm2d]) -> Iterator[None]:
    norms = list(norms)
    kept = [dict(norm.named_buffers()) for norm in norms]
    for norm, buffers in zip(norms, kept, strict=True):
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)


def _fold(convolution: nn.Conv2d, norm: nn.Module) -> nn.Conv2d:
    assert isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(convolution, norm)


def _stage(before: int, after: int, stride: int, plain: bool) -> nn.Sequential:
    norm: type[nn.BatchNorm2d] = nn.BatchNorm2d if plain else MapNorm
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(SmallMapConv(before, after, 1, stride, plain), norm(after))
    blocks = nn.Sequential(
        BasicBlock(before, after, stride, shortcut, norm_layer=norm),
        BasicBlock(after, after, norm_layer=norm),
    )
    for block in blocks:
        block.conv1 = SmallMapConv(before if block is blocks[0] else after, after, 3, _stride(block), plain)
        block.conv2 = SmallMapConv(after, after, 3, 1, plain)
    return blocks


def _stride(block: nn.Module) -> int:
    stride = block.stride
    assert isinstance(stride, int)
    return stride


def build(
    stem: Literal["imagenet", "cifar"], width: int, shifts: int, seed: int, plain: Collection[Shortcut] = ()
) -> ResNet18:
    """A network initialised from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet18(stem, width, shifts, plain).to(memory_format=torch.channels_last)
