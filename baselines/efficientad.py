"""EfficientAD: Batzner et al., Accurate Visual Anomaly Detection at Millisecond-Level Latencies, WACV 2024.

A teacher, a patch description network T of four convolutions (:mod:`baselines.pdn`), is imitated on normal images by
a student S of the same form, whose outputs are twice as many, and by an autoencoder A that sees the image as a whole.
The first half of S follows T, the second half A: where T and S differ an image is unusual in detail, where A and S do
in its whole.

Losses, with T standardised by channel over the training images: the hard-feature loss, the mean of the largest 0.1 %
of (T - S1)^2 of an image; |A - T|^2 and |A - S2|^2 on images whose brightness, contrast or saturation is jittered;
and the mean of S1^2 on images that are none of the training's (the penalty). Maps: the means over channels of
(T - S1)^2 and of (A - S2)^2, each taken to 0.1 (m - q_a) / (q_b - q_a), q_a and q_b its 0.9 and 0.995 quantiles over
a tenth of the training images that were held out; their mean; an image scores its peak.

There is no official code; the settings of nelson1425/EfficientAD, which follows the paper, are the defaults: PDN-S,
384 channels, Adam 1e-4 with weight decay 1e-5, 70,000 steps of one image, a tenth of the rate after 95 % of them,
images at 256 px, a teacher distilled from WideResNet101-2 in 60,000 steps of 16 images. Dropout of 0.2 in the decoder
is the paper's.

Departures: without a teacher's file it is distilled here, on the training images (the target is PatchCore's
description of the image at twice its size, standardised; no random grayscale); the penalty acts where its images are
given; at other sizes the autoencoder halves less often; the loss of a batch is the mean of its images'; the map is
not framed with zeros before its peak is taken (which would level all images below q_a).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from baselines.info.efficientad import Distilled, Given
from baselines.inputs import batched, each
from baselines.maps import peak
from baselines.pdn import CHANNELS, Autoencoder, drawn, jittered, pdn
from baselines.penalty import Penalty
from baselines.teaching import Lessons, inputs, moments, teacher
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

HARD = 0.999
LEVELS = (0.9, 0.995)
"""Quantiles of the maps of held-out images that are taken to 0 and 0.1."""


def hardest(squared: Tensor) -> Tensor:
    """The mean of what is not below the quantile ``HARD`` of each image, (B,)."""
    values = squared.flatten(1)
    count = values.shape[1]
    return values.topk(count - math.ceil(HARD * (count - 1)), sorted=False).values.mean(1)


class EfficientAd:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(Distilled | Given, training)
        self.inputs = inputs(self.settings)
        self.channels = round(CHANNELS * self.settings.pdn.width)
        self.teacher: nn.Module | None = None
        self.networks = nn.ModuleDict()
        self.mean = self.std = torch.zeros(0)
        self.bounds = torch.zeros(0)
        """Quantiles by map (T and S, A and S) and level."""

    def fit(self, images: Images, context: Context) -> None:
        if len(images) < 2:
            raise ValueError("EfficientAD needs two training images at least: it holds a tenth of them out")
        order = torch.randperm(len(images), generator=context.generator("held out"))
        kept = order[: int(0.9 * len(images))].sort().values
        held = order[len(kept) :].sort().values
        guide = self.teacher = teacher(self.settings, self.channels, images, context)
        at_once = self.inputs.at_once(images)
        self.mean, self.std = moments(images, context, lambda some: guide(self.inputs(some)), at_once, kept)
        height, width = self.inputs.sides(*images.shape[2:])
        self.networks = self._drawn((height, width), derive_seed(context.seed, "student"))
        self.networks.to(context.device)
        penalty = Penalty(self.settings, self.inputs, (height, width)) if self.settings.penalty else None
        source, chosen = loop.batches(images, context.device), kept.to(context.device)

        def loss(numbers: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            unit = self.inputs.unit(source(chosen[numbers]).to(context.device))
            others = penalty(len(unit), generator) if penalty else None
            return self.losses(unit, others, generator)

        train = self.settings.train
        fit = Lessons(
            self.networks,
            loss,
            len(kept),
            train,
            context,
            schedule=lambda part: 1.0 if part < train.drop else 0.1,
            taught=self.teacher,
        )

        def measured(step: int, total: int) -> None:
            self._measure(images, held, context)
            context.snapshot(step, total, self)

        rows: Any = np.arange(len(kept))
        loop.run(fit, rows, context, measured)
        self._measure(images, held, context)

    def losses(self, unit: Tensor, penalty: Tensor | None, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms for images in [0, 1], B x 1 or 3 x H x W, and for those (as a network takes them) on which
        nothing is to be said.
        """
        student, autoencoder = self.networks["student"], self.networks["autoencoder"]
        x = self.inputs.normalised(unit)
        terms = {"hard": hardest((self._taught(x) - student(x)[:, : self.channels]).square()).mean()}
        if penalty is not None:
            terms["penalty"] = student(penalty)[:, : self.channels].square().mean()
        x = self.inputs.normalised(jittered(unit, generator))
        whole = autoencoder(x, generator)
        terms["autoencoder"] = (self._taught(x) - whole).square().mean()
        terms["student"] = (whole - student(x)[:, self.channels :]).square().mean()
        return terms

    def score(self, images: Images, context: Context) -> Scores:
        self.networks.eval()
        return batched(images, context, self._peak, self.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.teacher is not None, "nothing to save before fit"
        state = {
            "teacher": self.teacher.state_dict(),
            "networks": self.networks.state_dict(),
            "sides": list(self.sides),
            "mean": self.mean,
            "std": self.std,
            "bounds": self.bounds,
        }
        write_torch(path, state)

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        guide = self.teacher = drawn(0, lambda: pdn(self.settings.pdn, self.channels)).to(device)
        guide.load_state_dict(saved["teacher"])
        guide.eval().requires_grad_(False)
        height, width = saved["sides"]
        self.networks = self._drawn((height, width), 0).to(device)
        self.networks.load_state_dict(saved["networks"])
        self.mean, self.std, self.bounds = (saved[name] for name in ("mean", "std", "bounds"))

    def _drawn(self, sides: tuple[int, int], seed: int) -> nn.ModuleDict:
        self.sides = sides
        return drawn(
            seed,
            lambda: nn.ModuleDict(
                {
                    "student": pdn(self.settings.pdn, 2 * self.channels),
                    "autoencoder": Autoencoder(sides, self.channels, self.settings.dropout),
                }
            ),
        )

    def _taught(self, x: Tensor) -> Tensor:
        """The teacher's map, standardised."""
        assert self.teacher is not None, "fit or load first"
        with torch.no_grad():
            made: Tensor = (self.teacher(x) - self.mean) / self.std
        return made

    def _maps(self, batch: Tensor) -> Tensor:
        """B x 2 x h x w: how T and S, and how A and S, differ."""
        x = self.inputs(batch)
        detail, whole = self.networks["student"](x).split(self.channels, 1)
        return torch.stack(
            [
                (self._taught(x) - detail).square().mean(1),
                (self.networks["autoencoder"](x) - whole).square().mean(1),
            ],
            1,
        )

    def _measure(self, images: Images, held: Tensor, context: Context) -> None:
        self.networks.eval()
        maps = each(images, context, lambda some: self._maps(some).cpu(), self.inputs.at_once(images), held)
        values = (
            torch.cat(maps).transpose(0, 1).flatten(1).numpy()
        )  # torch's quantile takes 2^24 values at most
        self.bounds = torch.from_numpy(np.quantile(values, LEVELS, axis=1).T.astype(np.float32))
        self.bounds = self.bounds.to(context.device)

    def _peak(self, batch: Tensor) -> Tensor:
        low, high = self.bounds.view(1, 2, 2, 1, 1).unbind(2)
        return peak((0.1 * (self._maps(batch) - low) / (high - low).clamp(min=1e-12)).mean(1))
