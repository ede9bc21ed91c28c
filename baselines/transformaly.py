"""Transformaly (Cohen and Avidan, CVPRW 2022): an image is anomalous when it is unlikely in either of two spaces, a
teacher's features and the errors of students that imitate the teacher's blocks on normal images.

A student for each block b of a frozen teacher is given what the teacher's block is given, h_{b-1}, and minimises the
mean of (student_b(h_{b-1}) - h_b)^2 over tokens and channels. With e the vector of these errors from block 3 on, and
p the teacher's features under PCA, whitened, as many directions as explain at most 90 % of the variance,

    score = - log N(p; m_p, S_p) - log N(e; m_e, S_e)

with means and covariances of the training images (1e-6 added to each variance).

Official settings, all defaults here: ViT-B/16 from ImageNet-21k tuned on ImageNet at 384 px, images in [-1, 1],
students drawn by Xavier's rule, Adam 1e-4, 30 epochs of batches of 32. Departures: the last epoch counts, where the
official code keeps the one with the lowest loss on the normal *test* images; the official training has dropout in
teacher and students, this has none. A teacher that is no transformer (an EfficientNet, a ResNet) is imitated stage by
stage, its students' norms under batch statistics; that is a variant of ours for machines without a ViT's weights.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from baselines.backbones import WeightsError, Whole
from baselines.fit import Fit
from baselines.frozen import Frozen
from baselines.info.transformaly import SIZES
from baselines.info.transformaly import Transformaly as TransformalySettings
from baselines.inputs import batched, each
from baselines.neighbours import double
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

_RIDGE = 1e-6
"""Added to each variance, so that a covariance of few images can be inverted."""
_NORMS = (nn.LayerNorm, nn.BatchNorm2d)


class Teacher(Whole):
    """The frozen network with what stands between its blocks."""

    def __init__(self, settings: TransformalySettings, seed: int) -> None:
        super().__init__(settings, SIZES, seed)
        self.stages = _stages(self.body, settings.backbone)
        self.states: list[Tensor] = []
        self.stages[0].register_forward_pre_hook(lambda module, given: self.states.append(given[0]))
        for stage in self.stages:
            stage.register_forward_hook(lambda module, given, made: self.states.append(made))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Of what ``inputs`` makes of images: the input of the first block, the output of each, and last the features,
        B x D.
        """
        self.states = []
        x = x.contiguous(memory_format=torch.channels_last)
        features = self.body.forward_head(self.body.forward_features(x), pre_logits=True)
        states, self.states = self.states, []
        return [*states, features]


def _stages(body: nn.Module, name: str) -> list[nn.Module]:
    """Blocks of a vision transformer, stages of a convolutional network; each takes what the last one makes."""
    blocks = getattr(body, "blocks", None) or getattr(body, "stages", None)
    if isinstance(blocks, nn.Sequential):
        return list(blocks)
    layers = [getattr(body, f"layer{number}", None) for number in range(1, 5)]
    if not all(isinstance(layer, nn.Module) for layer in layers):
        raise WeightsError(f"Transformaly finds no blocks in {name}: take a ViT, an EfficientNet or a ResNet")
    return cast(list[nn.Module], layers)


class Students(nn.Module):
    """One for each stage of the teacher, of its architecture and with weights of its own."""

    def __init__(self, teacher: Teacher, generator: torch.Generator) -> None:
        super().__init__()
        self.imitate = nn.ModuleList(_undone(stage) for stage in teacher.stages)
        for module in self.imitate.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, generator=generator)
                if module.bias is not None:
                    nn.init.normal_(module.bias, std=1e-6, generator=generator)
            elif isinstance(module, _NORMS):
                module.reset_parameters()
        self.requires_grad_()

    def forward(self, states: list[Tensor]) -> Tensor:
        """The errors of all blocks, B x blocks, for the inputs and outputs of the teacher's."""
        pairs = zip(self.imitate, states, states[1:], strict=False)
        return torch.stack([(s(given) - made).square().flatten(1).mean(1) for s, given, made in pairs], 1)


def _undone(stage: nn.Module) -> nn.Module:
    """A copy without the hooks of the teacher."""
    copied = copy.deepcopy(stage)
    copied._forward_hooks.clear()
    copied._forward_pre_hooks.clear()
    return copied


class Gaussian:
    """The normal distribution with mean and covariance of the rows that it is fitted to, N x D, double precision."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.mean, self.covariance = mean, covariance
        self.normal = MultivariateNormal(mean, covariance)

    @classmethod
    def of(cls, rows: Tensor) -> Gaussian:
        """Maximum likelihood, with 1e-6 added to each variance."""
        ridge = _RIDGE * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
        return cls(rows.mean(0), torch.cov(rows.T, correction=0).reshape(ridge.shape) + ridge)

    def __call__(self, rows: Tensor) -> Tensor:
        """Log densities, (N,)."""
        return cast(Tensor, self.normal.log_prob(rows))


def whitening(rows: Tensor, share: float) -> Tensor:
    """Directions, D x d, along which the centred rows have variance 1: the largest that explain together at most
    this share of the variance, one at least.
    """
    # Of the rows, not of their covariance, whose many zero eigenvalues may keep eigh from converging.
    _, singular, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    variances = singular.square() / (len(rows) - 1)
    explained = variances.cumsum(0) / variances.sum().clamp(min=torch.finfo(rows.dtype).tiny)
    count = max(1, int((explained <= share).sum()))
    scaled: Tensor = directions[:count].T / variances[:count].clamp(min=1e-12).sqrt()
    return scaled


class Transformaly:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(TransformalySettings, training)
        self.teacher: Teacher | None = None
        self.students: Students | None = None
        self.white = torch.zeros(0)
        self.densities: list[Gaussian] = []

    def fit(self, images: Images, context: Context) -> None:
        """Train the students on uint8 N x C x H x W images; goes on from a checkpoint in the context's folder."""
        if len(images) < 2:
            raise ValueError(
                "Transformaly takes the variance of the training images: there must be two at least"
            )
        teacher, students = self._made(context.seed, context.device)
        frozen = Frozen(teacher, images, context)

        def loss(drawn: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
            return {"blocks": students(frozen(drawn)).mean()}

        def snapshot(step: int, total: int) -> None:
            self._estimate(images, context)
            context.snapshot(step, total, self)

        # A batch of one image has no statistics for the norms of maps of one pixel.
        batchwise = any(isinstance(module, nn.BatchNorm2d) for module in students.modules())
        last = "drop" if batchwise else "partial"
        fit = Fit(students, loss, len(images), self.settings.train, context, last=last)
        loop.run(fit, frozen.kept(images, context), context, snapshot)
        self._estimate(images, context)

    def score(self, images: Images, context: Context) -> Scores:
        """Parts: ``pretrained`` and ``finetuned``, the two negative log densities."""

        def unlikely(batch: Tensor) -> Tensor:
            pretrained, finetuned = self.densities
            features, errors = self._spaces(batch)
            return -torch.stack([pretrained(features @ self.white), finetuned(errors)], 1)

        both = batched(images, context, unlikely).reshape(-1, 2)
        context.parts["pretrained"], context.parts["finetuned"] = both.T
        return cast(Scores, both.sum(1))

    def save(self, path: Path) -> None:
        assert self.teacher is not None and self.students is not None, "nothing to save before fit"  # noqa: PT018
        densities = [[one.mean.cpu(), one.covariance.cpu()] for one in self.densities]
        students = {name: value.cpu() for name, value in self.students.state_dict().items()}
        saved = {"origin": self.teacher.origin(), "students": students, "white": self.white.cpu()}
        write_torch(path, {**saved, "densities": densities})

    def load(self, path: Path, device: torch.device) -> None:
        saved: Mapping[str, Any] = read_torch(path, device)
        teacher, students = self._made(int(saved["origin"]["seed"]), device)
        teacher.check(saved["origin"], self.settings.backbone)
        students.load_state_dict(saved["students"])
        self.white, self.densities = saved["white"], [Gaussian(*one) for one in saved["densities"]]

    def _made(self, seed: int, device: torch.device) -> tuple[Teacher, Students]:
        self.teacher = Teacher(self.settings, seed)
        blocks = len(self.teacher.stages)
        if self.settings.skip >= blocks:
            raise ValueError(
                f"skip = {self.settings.skip} leaves none of the {blocks} blocks of {self.settings.backbone}: lower it"
            )
        drawing = torch.Generator().manual_seed(derive_seed(seed, "students"))
        self.students = Students(self.teacher, drawing).to(device)
        return self.teacher.to(device), self.students

    def _spaces(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's features, B x D, and the errors that count, B x blocks, of uint8 images."""
        assert self.teacher is not None and self.students is not None, "fit or load first"  # noqa: PT018
        *states, features = self.teacher(self.teacher.inputs(batch))
        errors = self.students.eval()(states)[:, self.settings.skip :]
        return double(features, batch.device), double(errors, batch.device)

    def _estimate(self, images: Images, context: Context) -> None:
        parts = each(images, context, lambda batch: torch.cat(self._spaces(batch), 1))
        rows = torch.cat(parts)
        assert self.teacher is not None, "made in fit"
        blocks = len(self.teacher.stages) - self.settings.skip
        features, errors = rows[:, :-blocks], rows[:, -blocks:]
        self.white = whitening(features, self.settings.variance)
        self.densities = [Gaussian.of(features @ self.white), Gaussian.of(errors)]
