"""ResNet18 with a projection head c and a shift classifier f (Section 3.2), on torchvision's basic blocks.

The input is N x C x H x W in [0, 1], scaled to [-1, 1] inside. A gray image is meant as three equal channels;
its first convolution uses the kernels summed over the input channels, which is the same function at a third
of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint
from torchvision.models.resnet import BasicBlock

from suite.dia.info import Shortcut

PROJECTION = 128
WINDOWS = 2**22
"""Numbers that the windows of a block of images may hold."""
LARGE = 2**22
"""Pixels of a batch from which on, on a CPU, the largest maps are computed a second time for the gradient instead of
being kept: 384 views of 224 px would hold 9 GB of them.
"""


class SmallMapConv(nn.Conv2d):
    """A convolution that does not multiply the padding where it gives a map of one position, or on a CPU of 2x2.

    There many taps of the kernel meet nothing but padding. Each position is a matrix product with the others: the
    same function, exactly. A strided 1x1 kernel first leaves out what it does not see: with few channels torch 2.14
    ends the process in the backward pass of the strided one on a CPU.

    With ``plain`` the padding is multiplied after all.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, plain: bool = False) -> None:
        super().__init__(before, after, kernel, stride, kernel // 2, bias=False)
        self.plain = plain

    def forward(self, x: Tensor) -> Tensor:
        side = _side(x, self.stride[0])
        small = side <= (2 if x.device.type == "cpu" else 1) and not self.plain
        if small and x.shape[-2] == x.shape[-1]:
            return _by_position(x, self.weight, self.bias, self.stride[0], side)
        if self.kernel_size == (1, 1) and self.stride != (1, 1) and x.device.type == "cpu":
            seen = x[..., :: self.stride[0], :: self.stride[1]].contiguous(memory_format=torch.channels_last)
            return F.conv2d(seen, self.weight, self.bias)
        return super().forward(x)


def _side(x: Tensor, stride: int) -> int:
    """Positions along a side of what a convolution makes of square maps, padded by half of its kernel."""
    return int((x.shape[-1] - 1) // stride + 1)


def _by_position(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, side: int) -> Tensor:
    kernel = weight.shape[-1]
    rows, taps = x.permute(0, 2, 3, 1), weight.permute(0, 2, 3, 1)
    # For each row or column of the answer, what it sees of the map and with which taps.
    seen, used = [], []
    for place in range(side):
        first = place * stride - kernel // 2
        last = min(first + kernel, x.shape[-1])
        seen.append(slice(max(first, 0), last))
        used.append(slice(max(-first, 0), last - first))
    windows = [
        (rows[:, seen[i], seen[j]], taps[:, used[i], used[j]]) for i in range(side) for j in range(side)
    ]
    positions = [F.linear(part.flatten(1), kept.flatten(1), bias) for part, kept in windows]
    return torch.stack(positions, dim=1).reshape(len(x), side, side, -1).permute(0, 3, 1, 2)


class _Windows(torch.autograd.Function):
    """A convolution of images that need no gradient themselves, as products with their windows, a block of images
    at a time. With one or three channels it costs a CPU a fraction of the usual one, most of all for the gradient,
    and what follows finds its channels last.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        flat = weight.reshape(len(weight), -1).t()
        side = _side(x, stride)
        y = x.new_empty(len(x), side, side, len(weight))
        for block, windows in _windows(x, weight.shape[-1], stride):
            torch.mm(windows, flat, out=y[block].view(-1, len(weight)))
        return y.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        x, weight = ctx.saved_tensors
        rows = gradients[0].permute(0, 2, 3, 1)
        found = weight.new_zeros(len(weight), weight[0].numel())
        for block, windows in _windows(x, weight.shape[-1], ctx.stride):
            found.addmm_(rows[block].reshape(-1, len(weight)).t(), windows)
        return None, found.reshape(weight.shape), None


def _windows(x: Tensor, kernel: int, stride: int) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of images and what the kernel sees at each position: positions x (channels x kernel x kernel)."""
    size = x.shape[1] * kernel**2
    block = max(1, WINDOWS // (size * _side(x, stride) ** 2))
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        padded = F.pad(x[part], (kernel // 2,) * 4).permute(0, 2, 3, 1)
        yield part, padded.unfold(1, kernel, stride).unfold(2, kernel, stride).reshape(-1, size)


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
        if "folded_norms" in self.plain:
            return copy
        copy.conv1, copy.bn1 = _fold(copy.conv1, copy.bn1), nn.Identity()
        for block in copy.modules():
            if isinstance(block, BasicBlock):
                block.conv1, block.bn1 = _fold(block.conv1, block.bn1), nn.Identity()
                block.conv2, block.bn2 = _fold(block.conv2, block.bn2), nn.Identity()
                if block.downsample is not None:
                    block.downsample = _fold(*block.downsample)
        return copy

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
        stride = self.conv1.stride[0]
        cpu = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        if cpu and not x.requires_grad and x.shape[-2] == x.shape[-1] and "windows" not in self.plain:
            y: Tensor = _Windows.apply(x, weight, stride)
        else:
            y = F.conv2d(x, weight, stride=stride, padding=self.conv1.padding)
            y = y.contiguous(memory_format=torch.channels_last)
        return y if self.conv1.bias is None else y.add_(self.conv1.bias[:, None, None])


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
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(SmallMapConv(before, after, 1, stride, plain), nn.BatchNorm2d(after))
    blocks = nn.Sequential(BasicBlock(before, after, stride, shortcut), BasicBlock(after, after))
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
