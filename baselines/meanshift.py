"""Mean-Shifted Contrastive Loss (Reiss and Hoshen, AAAI 2023): features of a network that was trained on other
images are tuned by contrast around their mean, and an image is as anomalous as its nearest neighbours are far.

With f(x) the L2-normalised feature and c the mean of f over the training images before training, a view x' of an
image is described by its direction seen from c, g(x') = (f(x') - c) / |f(x') - c|. Two views of each image of a
batch are attracted and all others of the batch repelled,

    L = mean_i -log( exp(g_i g_i' / tau) / sum_{j != i} exp(g_i g_j / tau) )

over all 2B views; with ``contrast.angular`` c is normalised too and the mean of |f - c|^2 of either view is added.
The score is the sum of the squared distances |f - f_m|^2 to the two nearest training images.

Official settings, all defaults here: ResNet-152 with ImageNet weights, its layers up to stride 8 frozen, norms under
the statistics that they came with, tau = 0.25, no angular term, SGD without momentum (1e-5, weight decay 5e-5), 20
epochs of batches of 64, the last one partial, images of 224 px. Views are MoCo-v2's (crop of at least a fifth,
jitter, gray scale, blur, flip). Departures: images are resized to 224 px instead of to 256 and cropped; the width of
the blur scales with ``input_size``; the crop comes after the colours; the last epoch counts. With weights drawn at
random the learning rate moves next to nothing, and what is measured is the nearest neighbour among random features.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F

from baselines.backbones import Whole
from baselines.fit import Fit
from baselines.info.meanshift import SIZES, VIEW, MeanshiftContrast, MeanshiftScoring
from baselines.info.meanshift import Meanshift as MeanshiftSettings
from baselines.inputs import batched, each
from baselines.neighbours import nearest
from suite.detector import Context, Images, Scores
from suite.dia import views
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

AREA = (0.2, 1.0)
"""Of the image that a view shows."""
SIGMA = (0.1, 2.0)
"""Of the blur, in pixels of a view of 224."""
BLUR_CHANCE = 0.5


class Embedding(Whole):
    """L2-normalised features, B x D, of what ``inputs`` makes of images. ``tuned`` are the weights that learn."""

    def __init__(self, settings: MeanshiftSettings, seed: int) -> None:
        super().__init__(settings, SIZES, seed)
        self.body.reset_classifier(0)
        frozen = _below(self.body, settings.train.freeze)
        self.tuned = {
            name: weight.requires_grad_()
            for number, (name, weight) in enumerate(self.body.named_parameters())
            if number >= frozen
        }

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.body(x.contiguous(memory_format=torch.channels_last)), dim=1)

    def of(self, images: Tensor) -> Tensor:
        """Of uint8 images."""
        return cast(Tensor, self(self.inputs(images)))


def _below(body: torch.nn.Module, stride: int) -> int:
    """How many of the network's weights lie before the end of its maps of this stride, in the order of its layers."""
    stages = [
        str(one["module"])
        for one in cast(list[dict[str, object]], body.feature_info)
        if cast(int, one["reduction"]) <= stride
    ]
    names = [name for name, _ in body.named_parameters()]
    inside = [number for number, name in enumerate(names) if stages and name.startswith(f"{stages[-1]}.")]
    return inside[-1] + 1 if inside else 0


def view(x: Tensor, generator: torch.Generator) -> Tensor:
    """A random view of each image, N x C x H x W in [0, 1]."""
    drawn = views.draw(len(x), AREA, generator)
    return views.flip(blurred(views.apply(x, drawn), generator), generator)


def blurred(x: Tensor, generator: torch.Generator) -> Tensor:
    """Every other image, at random, under a Gaussian of its own width."""
    device = generator.device
    low, high = (side * min(x.shape[-2:]) / VIEW for side in SIGMA)
    sigma = torch.rand(len(x), 1, generator=generator, device=device) * (high - low) + low
    chosen = torch.rand(len(x), generator=generator, device=device) < BLUR_CHANCE
    reach = max(1, min(int(4 * high + 0.5), min(x.shape[-2:]) - 1))
    soft = gaussian_blur2d(x, 2 * reach + 1, sigma.to(x.device).expand(-1, 2))
    return torch.where(chosen.to(x.device)[:, None, None, None], soft, x)


def contrast(first: Tensor, second: Tensor, settings: MeanshiftContrast) -> dict[str, Tensor]:
    """The terms of the loss, for features of two views seen from the centre, f - c, B x D each."""
    rows = F.normalize(torch.cat([first, second]), dim=1)
    alike = (rows @ rows.T / settings.tau).fill_diagonal_(-torch.inf)
    partners = torch.arange(len(rows), device=rows.device).roll(len(first))
    terms = {"contrast": F.cross_entropy(alike, partners)}
    if settings.angular:
        terms["angular"] = first.square().sum(1).mean() + second.square().sum(1).mean()
    return terms


class Meanshift:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(MeanshiftSettings, training)
        self.k = cast(MeanshiftScoring, scoring).k
        self.network: Embedding | None = None
        self.bank = torch.zeros(0)

    def fit(self, images: Images, context: Context) -> None:
        """Tune the network on uint8 N x C x H x W images; goes on from a checkpoint in the context's folder."""
        network = self.network = Embedding(self.settings, context.seed).to(context.device)
        centre = torch.cat(each(images, context, network.of)).mean(0)
        if self.settings.contrast.angular:
            centre = F.normalize(centre, dim=0)

        def loss(batch: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
            x = network.inputs.unit(batch)
            both = [network(network.inputs.normalised(view(x, generator))) - centre for _ in range(2)]
            return contrast(both[0], both[1], self.settings.contrast)

        def snapshot(step: int, total: int) -> None:
            self._remember(images, context)
            context.snapshot(step, total, self)

        train = self.settings.train
        optimiser = torch.optim.SGD(network.tuned.values(), lr=train.lr, weight_decay=train.weight_decay)
        fit = Fit(network, loss, len(images), train, context, optimiser=optimiser)
        loop.run(fit, images, context, snapshot)
        self._remember(images, context)

    def score(self, images: Images, context: Context) -> Scores:
        def distance(batch: Tensor) -> Tensor:
            squared, _ = nearest(self._network().of(batch), self.bank, self.k, context.pulse)
            return squared.sum(1)

        return batched(images, context, distance)

    def save(self, path: Path) -> None:
        network = self._network()
        tuned = {name: weight.detach().cpu() for name, weight in network.tuned.items()}
        write_torch(path, {"origin": network.origin(), "tuned": tuned, "bank": self.bank.cpu()})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        network = Embedding(self.settings, int(saved["origin"]["seed"])).to(device)
        network.check(saved["origin"], self.settings.backbone)
        network.body.load_state_dict(saved["tuned"], strict=False)
        self.network, self.bank = network, saved["bank"]

    def _remember(self, images: Images, context: Context) -> None:
        self.bank = torch.cat(each(images, context, self._network().of))

    def _network(self) -> Embedding:
        assert self.network is not None, "fit or load first"
        return self.network
