"""CFLOW-AD (Gudovskiy et al., WACV 2022, arXiv 2107.12571): a conditional normalizing flow of feature vectors for each
scale of a frozen network, told where in the image a vector stands.

At strides 8, 16 and 32 a vector x of C features goes through couplings of fully connected layers, which also see a
code of sines and cosines of its position, to z with log p(x) = -|z|^2 / 2 + J - C log(2 pi) / 2. The loss is the mean
of -log sigmoid(log p / C). The vectors of a batch of images are shuffled and taken 256 at a time, a step of the
optimiser each; a rest that fills none is left out. Adam 2e-4, 200 epochs of batches of 32, 256 px; the rate follows a
cosine to a thousandth in 25 parts and rises from a tenth over the first two.

A place's normality is the sum over scales of exp(log p / C - m), upsampled; an image is its least normal place. The
official code takes for m the largest log p / C of the scale over the whole test set, so that a score hangs on what else
is tested; here it is the largest over the training images. Two more departures: a batch of fewer than 256 vectors is
taken as one (the official code stops), and a step moves the flows of its own vectors only (in the PyTorch of that time
Adam's momentum also moved the others).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.backbones import Features, restored
from baselines.fit import Fit, cosine
from baselines.flows import drawn, sequence, surprise
from baselines.frozen import Frozen
from baselines.info.cflow import SIZES, STRIDES, CflowTraining, ConditionalFlow
from baselines.inputs import batched, each
from suite.detector import Context, Images, Scores, derive_seed
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

_WARM = 2
"""Parts of the training over which the rate rises."""


def position_code(length: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """(height x width) x ``length``: sines and cosines of the column in the first half, of the row in the second."""
    half = length // 2
    rates = torch.exp(torch.arange(0, half, 2, device=device) * (-math.log(1e4) / half))

    def waves(count: int) -> Tensor:
        angles = torch.arange(count, device=device)[:, None] * rates
        return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)

    across = waves(width).expand(height, -1, -1)
    down = waves(height)[:, None].expand(-1, width, -1)
    return torch.cat([across, down], 2).flatten(0, 1)


def fully_connected(incoming: int, outgoing: int) -> nn.Module:
    """Two layers with twice the incoming width between them."""
    return nn.Sequential(nn.Linear(incoming, 2 * incoming), nn.ReLU(), nn.Linear(2 * incoming, outgoing))


class Flows(nn.Module):
    """A conditional flow of vectors for each of ``channels``. ``rotated``: channels are mixed by random rotations (slow
    to draw; what will be overwritten needs none).
    """

    def __init__(self, channels: Sequence[int], settings: ConditionalFlow, rotated: bool = True) -> None:
        super().__init__()
        self.length = settings.condition
        self.flows = nn.ModuleList(
            sequence(
                (count,),
                [fully_connected] * settings.steps,
                cond=0,
                cond_shape=(self.length,),
                affine_clamping=settings.clamp,
                permute_soft=rotated,
            )
            for count in channels
        )

    def log_likelihood(self, scale: int, x: Tensor, code: Tensor) -> Tensor:
        """log p(x) / C of vectors N x C at positions with codes N x P, (N,)."""
        z, logdet = self.flows[scale](x, [code])
        count = x.shape[1]
        return cast(Tensor, (logdet - 0.5 * z.square().sum(1)) / count - 0.5 * math.log(2 * math.pi))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """log p / C at each place of maps B x C x h x w, B x h x w."""
        found = []
        for scale, one in enumerate(maps):
            images, _, height, width = one.shape
            code = position_code(self.length, height, width, one.device).repeat(images, 1)
            found.append(self.log_likelihood(scale, vectors(one), code).view(images, height, width))
        return found


def vectors(maps: Tensor) -> Tensor:
    """B x C x h x w to (B x h x w) x C."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def schedule(parts: int, part: float) -> float:
    """The factor of the learning rate after ``part`` (0 to 1) of a training in so many parts."""

    def annealed(done: int) -> float:
        return 1e-3 + (1 - 1e-3) * cosine(done / parts)

    at = part * parts
    if at < _WARM:
        return 0.1 + (annealed(_WARM) - 0.1) * at / _WARM
    return annealed(int(at + 1e-6))


class Fibres(Fit):
    """A training step takes the vectors of one batch of images through as many steps of the optimiser as they fill."""

    def __init__(
        self, flows: Flows, frozen: Frozen, count: int, settings: CflowTraining, context: Context
    ) -> None:
        self.flows, self.frozen, self.size = flows, frozen, settings.flow.fibres
        train = settings.train
        super().__init__(
            flows,
            self.descents,
            count,
            train,
            context,
            schedule=lambda part: schedule(train.rates, part),
            last="drop",
        )

    def advance(self, images: Tensor) -> None:
        self.adjust()
        self.count(self.descents(images.to(self.context.device, non_blocking=True), self.generator))

    def descents(self, images: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Every step that the batch is for, and the mean losses. The flows share no weights, so the scales step
        together as long as each has vectors left.
        """
        maps = self.frozen(images)
        losses: list[list[Tensor]] = [[] for _ in maps]
        batches = [self.shuffled(one, generator) for one in maps]
        for turn in range(max(map(len, batches))):
            terms = {}
            for scale, parts in enumerate(batches):
                if turn < len(parts):
                    likelihood = self.flows.log_likelihood(scale, *parts[turn])
                    terms[f"stride{STRIDES[scale]}"] = -F.logsigmoid(likelihood).mean()
                    losses[scale].append(terms[f"stride{STRIDES[scale]}"].detach())
            self.descend(terms)
        return {
            f"stride{stride}": torch.stack(one).mean() for stride, one in zip(STRIDES, losses, strict=True)
        }

    def shuffled(self, maps: Tensor, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        """Full batches of vectors and their positions' codes in a random order; all in one if they fill none."""
        x = vectors(maps)
        code = position_code(self.flows.length, maps.shape[2], maps.shape[3], maps.device)
        order = torch.randperm(len(x), generator=generator, device=maps.device)
        size = min(self.size, len(x))
        chosen = order[: len(x) // size * size].split(size)
        return [(x[one], code[one % len(code)]) for one in chosen]


class Cflow:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(CflowTraining, training)
        self.network: Features | None = None
        self.flows: Flows | None = None
        self.highest = torch.zeros(0)

    def fit(self, images: Images, context: Context) -> None:
        self.network = Features(self.settings, STRIDES, SIZES, context.seed).to(context.device)
        frozen = Frozen(self.network, images, context)
        with drawn(derive_seed(context.seed, "flows")):
            flows = Flows(self.network.channels, self.settings.flow)
        self.flows = flows.to(context.device)
        source = frozen.kept(images, context)

        def scaled() -> None:
            """Note the largest log p / C of each scale over the training images."""
            found = each(
                source,
                context,
                lambda batch: torch.stack([one.amax() for one in flows(frozen(batch))]),
                self.settings.train.batch,
            )
            self.highest = torch.stack(found).amax(0)

        def snapshot(step: int, total: int) -> None:
            scaled()
            context.snapshot(step, total, self)

        loop.run(Fibres(flows, frozen, len(images), self.settings, context), source, context, snapshot)
        scaled()

    def score(self, images: Images, context: Context) -> Scores:
        assert self.network is not None, "fit or load first"
        return batched(images, context, self._surprise, self.network.inputs.at_once(images))

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        assert self.flows is not None
        state = {name: value.cpu() for name, value in self.flows.state_dict().items()}
        content = {"origin": self.network.origin(), "flows": state, "highest": self.highest.cpu()}
        write_torch(path, content)

    def load(self, path: Path, device: torch.device) -> None:
        saved: dict[str, Any] = read_torch(path, device)
        self.network = restored(self.settings, STRIDES, SIZES, saved["origin"], device)
        with drawn(0):
            self.flows = Flows(self.network.channels, self.settings.flow, rotated=False).to(device)
        self.flows.load_state_dict(saved["flows"])
        self.highest = saved["highest"]

    def _surprise(self, batch: Tensor) -> Tensor:
        assert self.network is not None, "fit or load first"
        assert self.flows is not None
        x = self.network.inputs(batch)
        found = self.flows(self.network(x))
        logs = [one - highest for one, highest in zip(found, self.highest, strict=True)]
        return surprise(logs, (x.shape[-2], x.shape[-1]), align_corners=True)
