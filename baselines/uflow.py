"""U-Flow (Tailanian et al., JMIV 2024, arXiv 2211.12353): one normalizing flow over the maps of all scales of a frozen
network, in the shape of the rising half of a U.

The coarsest map goes through couplings with convolutions; of what comes out about half the channels are its z, the
others are spread over twice the height and width (four channels to one), put beside the next finer map, and go on with
it. Maps of a convolutional network first go through a LayerNorm of their whole shape, which is trained along; those of
the transformers through their own last norm. Trained on the mean over the batch of sum_s |z_s|^2 / 2 - J, J the
log-determinant of the whole flow: neither is summed over the batch. A place is as normal as the mean over scales of
exp(-mean_c z^2 / 2), and an image as its least normal place (the published map is one minus that; see
:mod:`baselines.flows` for why its logarithm is given). The published threshold by number of false alarms decides
between normal and not; an AUROC needs none, so it is not here.

Official settings: MS-CaiT at 448 px or a ResNet at strides 4, 8 and 16 at 256 px; Adam 1e-4 falling on a line to 0.4
times that, weight decay 1e-5, 200 epochs of batches of 8. The official code stops early by the pixels of test images
and has rates and batches of their own for each category of its data; here the defaults, and the last epoch, are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.backbones import Features
from baselines.fit import Fit
from baselines.flows import couplings, drawn, log_normality, sequence, surprise
from baselines.frozen import Frozen
from baselines.info.fastflow import Flow
from baselines.info.uflow import MS_CAIT, SIZES, UflowTraining
from baselines.inputs import batched
from baselines.ms_cait import MsCait
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

STRIDES = (4, 8, 16)


class UShaped(nn.Module):
    """The flow over maps of ``shapes``, (channels, height, width), from the finest, each twice as fine as the next.
    ``normed``: with a LayerNorm of each map, which is no part of the flow.
    """

    def __init__(self, shapes: Sequence[Sequence[int]], settings: Flow, normed: bool) -> None:
        super().__init__()
        self.shapes = [list(shape) for shape in shapes]
        self.norms = nn.ModuleList(nn.LayerNorm(shape) if normed else nn.Identity() for shape in self.shapes)
        stages = []
        risen = 0
        for channels, height, width in reversed(self.shapes):
            whole = channels + risen
            stages.append(
                sequence((whole, height, width), couplings(settings), affine_clamping=settings.clamp)
            )
            risen = rising(whole) // 4
        self.stages = nn.ModuleList(reversed(stages))

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """z of each scale, from the finest, and the log-determinant, (B,)."""
        latents: list[Tensor] = []
        logdet = torch.zeros(len(maps[0]), device=maps[0].device, dtype=maps[0].dtype)
        risen: list[Tensor] = []
        for scale in reversed(range(len(maps))):
            x, more = self.stages[scale](torch.cat([self.norms[scale](maps[scale]), *risen], 1))
            logdet = logdet + more
            if scale:
                up = rising(x.shape[1])
                risen, x = [F.pixel_shuffle(x[:, :up], 2)], x[:, up:]
            latents.insert(0, x)
        return latents, logdet


def rising(channels: int) -> int:
    """How many of so many channels go on to the next finer scale: half, in fours."""
    return channels // 8 * 4


def loss(latents: Sequence[Tensor], logdet: Tensor) -> Tensor:
    """The negative log-likelihood of an image without its constant, averaged over the batch."""
    squares = torch.stack([z.square().flatten(1).sum(1) for z in latents])
    return (0.5 * squares.sum(0) - logdet).mean()


class Uflow:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(UflowTraining, training)
        self.network: Features | MsCait | None = None
        self.flow: UShaped | None = None

    def fit(self, images: Images, context: Context) -> None:
        self.network = self._backbone(context.seed, context.device)
        frozen = Frozen(self.network, images, context)
        with drawn(derive_seed(context.seed, "flow")):
            flow = self._flow(frozen.shapes)
        self.flow = flow.to(context.device)

        def likelihood(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            return {"flow": loss(*flow(frozen(batch)))}

        fit = Fit(
            flow,
            likelihood,
            len(images),
            self.settings.train,
            context,
            schedule=lambda part: 1 - 0.6 * part,
        )
        source = frozen.kept(images, context)
        loop.run(fit, source, context, lambda step, total: context.snapshot(step, total, self))

    def score(self, images: Images, context: Context) -> Scores:
        assert self.network is not None, "fit or load first"
        return batched(images, context, self._surprise, self.network.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        assert self.flow is not None
        state = {name: value.cpu() for name, value in self.flow.state_dict().items()}
        write_torch(path, {"origin": self.network.origin(), "shapes": self.flow.shapes, "flow": state})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.network = self._backbone(int(saved["origin"]["seed"]), device)
        self.network.check(saved["origin"], self.settings.backbone)
        with drawn(0):  # all of it is overwritten
            self.flow = self._flow(saved["shapes"]).to(device)
        self.flow.load_state_dict(saved["flow"])

    def _backbone(self, seed: int, device: torch.device) -> Features | MsCait:
        if self.settings.backbone == MS_CAIT:
            return MsCait(self.settings, seed).to(device)
        return Features(self.settings, STRIDES, SIZES, seed).to(device)

    def _flow(self, shapes: Sequence[Sequence[int]]) -> UShaped:
        return UShaped(shapes, self.settings.flow, normed=self.settings.backbone != MS_CAIT)

    def _surprise(self, batch: Tensor) -> Tensor:
        assert self.network is not None, "fit or load first"
        assert self.flow is not None
        x = self.network.inputs(batch)
        latents, _ = self.flow(self.network(x))
        return surprise([log_normality(z) for z in latents], (x.shape[-2], x.shape[-1]))
