"""RD4AD: Deng and Li, Anomaly Detection via Reverse Distillation from One-Class Embedding, CVPR 2022.

A frozen teacher gives maps at strides 4, 8 and 16. A trained bottleneck fuses them (MFF: strided convolutions to
the smallest map) and compresses them (OCBE: residual blocks with a stride of 2); the student, a mirrored ResNet,
restores the teacher's maps from that, the deepest first. What the bottleneck has not learnt to let through is
missing in the student's maps.

Eq. 1: M_l(h, w) = 1 - cos of the channel vectors of teacher and student at one position. The loss is the sum over
the three scales of 1 - cos of the *whole flattened maps*, as the official code has it (the paper's Eq. 2 averages
M_l over positions, which trains worse: issue 22 of hq-deng/RD4AD). Map: the sum of the M_l, upsampled with the
corners aligned, under a Gaussian of sigma 4 at 256 px. Score: its largest value.

Official settings, the defaults here: WideResNet50-2 with ImageNet weights, Adam 5e-3 with betas (0.5, 0.999),
200 epochs of batches of 16, images at 256 px. Convolutions start from He's normal (fan out), transposed ones as
torch draws them.

Departures: the image's own size, and a Gaussian that scales with it; an epoch whose last batch would hold one
image leaves it out (at 32 px the bottleneck is one pixel wide, and one value has no variance); a teacher that is
no ResNet gets a student of ResNet18's blocks, whose maps may be negative where the teacher's are; the last epoch
is scored.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.backbones import Features, restored
from baselines.fit import Fit
from baselines.frozen import Frozen
from baselines.info.rd4ad import SIZES, Blocks, Training, blocks
from baselines.inputs import batched
from baselines.maps import peak, smoothed, upsampled
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

STRIDES = (4, 8, 16)


def conv(inside: int, outside: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """A convolution and its normalisation."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside)
    )


def deconv(inside: int, outside: int) -> nn.Sequential:
    """A transposed convolution to twice the size, and its normalisation."""
    return nn.Sequential(nn.ConvTranspose2d(inside, outside, 2, 2, bias=False), nn.BatchNorm2d(outside))


class Block(nn.Module):
    """A residual block of ResNet, plain or (``width`` > 0) a bottleneck; ``step`` -1 halves the size, 1 doubles
    it, 0 leaves it. ``rectified``: with a ReLU at the end.
    """

    def __init__(
        self, inside: int, outside: int, width: float, step: int = 0, rectified: bool = True
    ) -> None:
        super().__init__()
        inner = round(outside * width)
        resize = 2 if step < 0 else 1
        source, target = (inner, inner) if inner else (inside, outside)
        spatial = deconv(source, target) if step > 0 else conv(source, target, 3, resize)
        if inner:
            parts = [conv(inside, inner), nn.ReLU(), spatial, nn.ReLU(), conv(inner, outside)]
        else:
            parts = [spatial, nn.ReLU(), conv(outside, outside, 3)]
        self.branch = nn.Sequential(*parts)
        self.shortcut: nn.Module = nn.Identity()
        if step or inside != outside:
            self.shortcut = deconv(inside, outside) if step > 0 else conv(inside, outside, 1, resize)
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        x = self.branch(x) + self.shortcut(x)
        return F.relu(x) if self.rectified else x


def stage(inside: int, outside: int, count: int, step: int, like: Blocks, rectified: bool) -> nn.Sequential:
    """``count`` blocks, the first of which changes size and width; only the last may end without a ReLU."""
    ends = [True] * (count - 1) + [rectified]
    return nn.Sequential(
        Block(inside, outside, like.width, step, ends[0]),
        *[Block(outside, outside, like.width, 0, end) for end in ends[1:]],
    )


class Student(nn.Module):
    """Bottleneck (MFF and OCBE) and decoder: the teacher's maps to maps of the same shapes."""

    def __init__(self, channels: tuple[int, ...], like: Blocks) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.fuse = nn.ModuleList(
            [
                nn.Sequential(conv(fine, middle, 3, 2), nn.ReLU(), conv(middle, coarse, 3, 2), nn.ReLU()),
                nn.Sequential(conv(middle, coarse, 3, 2), nn.ReLU()),
                nn.Identity(),
            ]
        )
        self.compress = stage(3 * coarse, 2 * coarse, like.counts[0], -1, like, True)
        widths = (2 * coarse, coarse, middle, fine)
        self.restore = nn.ModuleList(
            [
                stage(*pair, count, 1, like, like.rectified)
                for pair, count in zip(pairwise(widths), like.counts, strict=True)
            ]
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        x = self.compress(torch.cat([fuse(one) for fuse, one in zip(self.fuse, maps, strict=True)], 1))
        made = []
        for part in self.restore:
            x = part(x)
            made.append(x)
        return made[::-1]


def distance(teacher: list[Tensor], student: list[Tensor]) -> list[Tensor]:
    """1 - cos between whole flattened maps, (B,) a scale: the loss before its mean over the batch."""
    return [
        1 - F.cosine_similarity(a.flatten(1), b.flatten(1)) for a, b in zip(teacher, student, strict=True)
    ]


def anomaly_map(teacher: list[Tensor], student: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Eq. 1, summed over the scales and smoothed: B x H x W, from 0 to 6."""
    parts = [1 - F.cosine_similarity(a, b) for a, b in zip(teacher, student, strict=True)]
    return smoothed(upsampled(parts, size, corners=True).sum(0))


class Rd4ad:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(Training, training)
        self.teacher: Features | None = None
        self.student: Student | None = None

    def fit(self, images: Images, context: Context) -> None:
        if len(images) < 2:
            raise ValueError("RD4AD needs two training images at least: its bottleneck normalises over them")
        teacher = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        student = self._drawn(teacher, derive_seed(context.seed, "student")).to(context.device)
        self.teacher, self.student = teacher, student
        frozen = Frozen(teacher, images, context)

        def loss(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            maps = frozen(batch)
            far = distance(maps, student(maps))
            return {f"stride_{stride}": one.mean() for stride, one in zip(STRIDES, far, strict=True)}

        train = self.settings.train
        adam = torch.optim.Adam(
            student.parameters(), train.lr, (0.5, 0.999), weight_decay=train.weight_decay, fused=True
        )
        last = "drop" if len(images) % train.batch == 1 else "partial"
        state = Fit(student, loss, len(images), train, context, optimiser=adam, last=last)
        loop.run(
            state,
            frozen.kept(images, context),
            context,
            lambda step, total: context.snapshot(step, total, self),
        )

    def score(self, images: Images, context: Context) -> Scores:
        assert self.teacher is not None, "fit or load first"
        assert self.student is not None
        self.student.eval()
        return batched(images, context, self._peak, self.teacher.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.teacher is not None, "nothing to save before fit"
        assert self.student is not None
        write_torch(path, {"student": self.student.state_dict(), "origin": self.teacher.origin()})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.teacher = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        self.student = self._drawn(self.teacher, 0).to(device)
        self.student.load_state_dict(saved["student"])

    def _drawn(self, teacher: Features, seed: int) -> Student:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Student(teacher.channels, blocks(self.settings.backbone))

    def _peak(self, batch: Tensor) -> Tensor:
        assert self.teacher is not None
        assert self.student is not None
        x = self.teacher.inputs(batch)
        maps = self.teacher(x)
        return peak(anomaly_map(maps, self.student(maps), (x.shape[-2], x.shape[-1])))
