"""FastFlow (Yu et al. 2021, arXiv 2111.07677): two-dimensional normalizing flows on the feature maps of a frozen
network.

At strides 4, 8 and 16 a map x goes through a LayerNorm of its whole shape, which is trained along, and through
couplings with convolutions, which keep its size, to z. Trained on the sum over scales of the mean over the batch of
|z|^2 / 2 - J, J the log-determinant; a place is as normal as exp(-mean_c z^2 / 2), and an image as its least normal
place in the mean over scales (see :mod:`baselines.flows` for why its logarithm is given). There is no code by the
authors; settings, the LayerNorm and the mean over channels are those of the implementation that is commonly run:
Adam 1e-3, weight decay 1e-5, 500 epochs of batches of 32, 256 px. The last epoch counts; there the best was told too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from baselines.backbones import Features, restored
from baselines.fit import Fit
from baselines.flows import couplings, drawn, log_normality, sequence, surprise
from baselines.frozen import Frozen
from baselines.info.fastflow import SIZES, FastFlowTraining, Flow
from baselines.inputs import batched
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

STRIDES = (4, 8, 16)


class Flows(nn.Module):
    """A LayerNorm and a flow for each of ``shapes``, (channels, height, width)."""

    def __init__(self, shapes: Sequence[Sequence[int]], settings: Flow) -> None:
        super().__init__()
        subnets = couplings(settings)
        self.shapes = [list(shape) for shape in shapes]
        self.norms = nn.ModuleList(nn.LayerNorm(shape) for shape in self.shapes)
        self.flows = nn.ModuleList(
            sequence(shape, subnets, affine_clamping=settings.clamp) for shape in self.shapes
        )

    def forward(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """z like each map, and its log-determinant (B,)."""
        return [flow(norm(one)) for one, norm, flow in zip(maps, self.norms, self.flows, strict=True)]


def loss(found: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """The negative log-likelihood of each scale, without its constant: summed over a map, averaged over images."""
    return [(0.5 * z.square().flatten(1).sum(1) - logdet).mean() for z, logdet in found]


class FastFlow:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(FastFlowTraining, training)
        self.network: Features | None = None
        self.flows: Flows | None = None

    def fit(self, images: Images, context: Context) -> None:
        self.network = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        frozen = Frozen(self.network, images, context)
        with drawn(derive_seed(context.seed, "flows")):
            flows = Flows(frozen.shapes, self.settings.flow)
        self.flows = flows.to(context.device)

        def terms(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
            found = loss(flows(frozen(batch)))
            return {f"stride{stride}": one for stride, one in zip(STRIDES, found, strict=True)}

        fit = Fit(flows, terms, len(images), self.settings.train, context)
        loop.run(
            fit,
            frozen.kept(images, context),
            context,
            lambda step, total: context.snapshot(step, total, self),
        )

    def score(self, images: Images, context: Context) -> Scores:
        assert self.network is not None, "fit or load first"
        return batched(images, context, self._surprise, self.network.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        assert self.flows is not None
        state = {name: value.cpu() for name, value in self.flows.state_dict().items()}
        write_torch(path, {"origin": self.network.origin(), "shapes": self.flows.shapes, "flows": state})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        self.network = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        with drawn(0):  # all of it is overwritten
            self.flows = Flows(saved["shapes"], self.settings.flow).to(device)
        self.flows.load_state_dict(saved["flows"])

    def _surprise(self, batch: Tensor) -> Tensor:
        assert self.network is not None, "fit or load first"
        assert self.flows is not None
        x = self.network.inputs(batch)
        found = self.flows(self.network(x))
        return surprise([log_normality(z) for z, _ in found], (x.shape[-2], x.shape[-1]))
