"""ResNet18 with a projection head c and a shift classifier f (Section 3.2), on torchvision's basic blocks.

The input is N x C x H x W in [0, 1], scaled to [-1, 1] inside. A gray image is meant as three equal channels;
its first convolution uses the kernels summed over the input channels, which is the same function at a third
of the cost.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

PROJECTION = 128


class SmallMapConv(nn.Conv2d):
    """A 3x3 convolution (padding 1) that does not multiply the padding of a map of one pixel, or of 2x2 at
    stride 2.

    There only some taps of the kernel ever meet the map, so only these are used: the same function, exactly.
    """

    def forward(self, x: Tensor) -> Tensor:
        side = x.shape[-2:]
        if side == (1, 1):
            return F.conv2d(x, self.weight[:, :, 1:2, 1:2])
        if side == (2, 2) and self.stride == (2, 2):
            return F.conv2d(x, self.weight[:, :, 1:, 1:])
        return super().forward(x)


class ResNet18(nn.Module):
    """Features, projections and shift logits of a batch.

    ``stem``: ``imagenet`` (7x7 stride 2, then pooling) or ``cifar`` (3x3). ``width``: channels of the first
    of four stages; the features have 8 x width values (512 as published).
    """

    def __init__(
        self, stem: Literal["imagenet", "cifar"] = "imagenet", width: int = 64, shifts: int = 4
    ) -> None:
        super().__init__()
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
            self.pool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
            self.pool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(width)
        stages = [width, 2 * width, 4 * width, 8 * width]
        self.layers = nn.Sequential(
            *[
                _stage(before, after, stride)
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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Projections N x 128 and shift logits N x K."""
        x = x * 2 - 1
        weight = self.conv1.weight
        if x.shape[1] == 1:
            weight = weight.sum(dim=1, keepdim=True)
        x = F.conv2d(x, weight, stride=self.conv1.stride, padding=self.conv1.padding)
        x = self.pool(F.relu(self.bn1(x), inplace=True))
        features = self.layers(x).mean(dim=(-2, -1))
        return self.projection(features), self.shift(features)


def _stage(before: int, after: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(
            nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
        )
    blocks = nn.Sequential(BasicBlock(before, after, stride, shortcut), BasicBlock(after, after))
    for block in blocks:
        block.conv1 = SmallMapConv(
            before if block is blocks[0] else after, after, 3, _stride(block), 1, bias=False
        )
        block.conv2 = SmallMapConv(after, after, 3, 1, 1, bias=False)
    return blocks


def _stride(block: nn.Module) -> int:
    stride = block.stride
    assert isinstance(stride, int)
    return stride


def build(stem: Literal["imagenet", "cifar"], width: int, shifts: int, seed: int) -> ResNet18:
    """A network initialised from ``seed``; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet18(stem, width, shifts).to(memory_format=torch.channels_last)
