"""GANomaly (Akcay et al., ACCV 2018): an image is anomalous when its code is not found again after reconstruction.

A generator encodes, decodes and encodes again, x -> z -> x' -> z'; a discriminator with features f tells x from
x'. The generator minimises

    w_adv |f(x) - f(x')|^2 + w_con |x - x'|_1 + w_enc |z - z'|^2        (means over all values)

and the discriminator the mean of the cross entropies of "real" for x and "fake" for x'. The score is the mean of
(z - z')^2; the paper writes |z - z'|_1, which ``score.distance = "absolute"`` gives.

Official settings, all defaults here: DCGAN networks of 4x4 convolutions without bias down to a map of 4 x 4,
weights from N(0, 0.02), 64 channels, 100 codes, w = 1, 50, 1, Adam (2e-4; 0.5, 0.999) for both, 15 epochs of
batches of 64, the generator's step first, a discriminator whose loss falls below 1e-5 drawn anew, images in
[-1, 1]. Departures: the official code never leaves training mode, so that its scores depend on the test batch,
scales them by the extremes of the test set, and keeps the epoch that is best on it; here batch statistics are
those of training and the last epoch counts. A gray image keeps one channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.fit import Fit
from baselines.info.ganomaly import SIZES, GanomalyNetwork, GanomalyScoring
from baselines.info.ganomaly import Ganomaly as GanomalySettings
from baselines.inputs import Inputs, batched
from suite.detector import Context, Images, Scores
from suite.settings import Settings
from suite.tensors import read_torch, write_torch
from suite.training import loop

BETAS = (0.5, 0.999)
COLLAPSED = 1e-5
"""A discriminator with a smaller loss has won and teaches nothing more."""
_BASE = 4
"""Side of the map between convolutions and code."""


def encoder(side: int, channels: int, width: int, codes: int) -> nn.Sequential:
    """B x ``channels`` x ``side`` x ``side`` to B x ``codes`` x 1 x 1; the last layer makes the code."""
    layers: list[nn.Module] = [_halving(channels, width), nn.LeakyReLU(0.2, inplace=True)]
    for _ in range(_doublings(side)):
        layers += [_halving(width, 2 * width), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2, inplace=True)]
        width *= 2
    return nn.Sequential(*layers, nn.Conv2d(width, codes, _BASE, bias=False))


def decoder(side: int, channels: int, width: int, codes: int) -> nn.Sequential:
    """The mirror image of :func:`encoder`, B x ``codes`` x 1 x 1 to images in [-1, 1]."""
    width <<= _doublings(side)
    layers: list[nn.Module] = [nn.ConvTranspose2d(codes, width, _BASE, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
    for _ in range(_doublings(side)):
        layers += [_doubling(width, width // 2), nn.BatchNorm2d(width // 2), nn.ReLU(inplace=True)]
        width //= 2
    return nn.Sequential(*layers, _doubling(width, channels), nn.Tanh())


def _doublings(side: int) -> int:
    """Layers between the first, which halves the image, and the map of 4 x 4."""
    return (side // (2 * _BASE)).bit_length() - 1


def _halving(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False)


def _doubling(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)


class Generator(nn.Module):
    """x to (x', z, z'): B x C x side x side, and the codes, B x ``latent``."""

    def __init__(self, side: int, channels: int, settings: GanomalyNetwork) -> None:
        super().__init__()
        self.side, self.channels = side, channels
        shape = (side, channels, settings.width, settings.latent)
        self.encode, self.decode, self.again = encoder(*shape), decoder(*shape), encoder(*shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code = self.encode(x)
        remade = self.decode(code)
        return remade, code.flatten(1), self.again(remade).flatten(1)


class Discriminator(nn.Module):
    """Features B x (width x side / 8) x 4 x 4 and the logits of being real, (B,)."""

    def __init__(self, side: int, channels: int, width: int) -> None:
        super().__init__()
        *features, head = encoder(side, channels, width, 1)
        self.features, self.head = nn.Sequential(*features), head

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.features(x))).flatten()


def drawn(network: nn.Module, generator: torch.Generator) -> None:
    """DCGAN's initial weights: kernels from N(0, 0.02), norms' factors from N(1, 0.02), their offsets zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
            nn.init.zeros_(module.bias)


class Adversarial(Fit):
    """Each step one of the generator and one of the discriminator."""

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        inputs: Inputs,
        count: int,
        settings: GanomalySettings,
        context: Context,
    ) -> None:
        self.made, self.judge, self.inputs = generator, discriminator, inputs
        self.weight = settings.loss
        train = settings.train
        optimisers = [
            torch.optim.Adam(one.parameters(), lr=train.lr, betas=BETAS, weight_decay=train.weight_decay)
            for one in (generator, discriminator)
        ]
        both = nn.ModuleDict({"generator": generator, "discriminator": discriminator})
        super().__init__(both, self.losses, count, train, context, optimiser=optimisers[0], last="drop")
        self.judging = optimisers[1]
        self.pair: tuple[Tensor, Tensor] | None = None

    def losses(self, images: Tensor, generator: torch.Generator) -> Mapping[str, Tensor]:
        """The generator's; keeps the images and their reconstructions for the discriminator's step."""
        real = self.inputs(images)
        fake, code, again = self.made(real)
        self.pair = real, fake.detach()
        self.judge.requires_grad_(False)
        with torch.no_grad():
            seen = self.judge.features(real)
        return {
            "adversarial": self.weight.adversarial * F.mse_loss(self.judge.features(fake), seen),
            "image": self.weight.image * F.l1_loss(fake, real),
            "latent": self.weight.latent * F.mse_loss(again, code),
        }

    def advance(self, images: Tensor) -> None:
        super().advance(images)
        assert self.pair is not None, "losses() has kept them"
        self.judge.requires_grad_(True)
        real, fake = (self.judge(one) for one in self.pair)
        loss = 0.5 * (_cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0))
        self.judging.zero_grad(set_to_none=True)
        loss.backward()
        self.judging.step()
        self.sums["discriminator"] = self.sums.get("discriminator", 0) + loss.detach()
        if float(loss.detach()) < COLLAPSED:
            drawn(self.judge, self.generator)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "judging": self.judging.state_dict()}

    def restore(self, state: Any) -> None:
        super().restore(state)
        self.judging.load_state_dict(state["judging"])


def _cross_entropy(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


class Ganomaly:
    """See :class:`suite.detector.Detector`."""

    def __init__(self, training: Settings, scoring: Settings) -> None:
        self.settings = cast(GanomalySettings, training)
        self.distance = cast(GanomalyScoring, scoring).distance
        self.inputs = Inputs(SIZES, self.settings.input_size, channels=0)
        self.network: Generator | None = None

    def fit(self, images: Images, context: Context) -> None:
        """Train on uint8 N x C x H x W images, H = W; goes on from a checkpoint in the context's folder."""
        height, width = self.inputs.sides(*images.shape[-2:])
        if height != width:
            raise ValueError(f"GANomaly takes square images, not {images.shape[-2]} x {images.shape[-1]}")
        channels, shape = images.shape[1], self.settings.network
        with torch.random.fork_rng(devices=[]):
            self.network = Generator(height, channels, shape)
            discriminator = Discriminator(height, channels, shape.width)
        first = context.generator("networks")
        for one in (self.network, discriminator):
            drawn(one, first)
            one.to(context.device)
        trainee = Adversarial(self.network, discriminator, self.inputs, len(images), self.settings, context)
        loop.run(trainee, images, context, lambda step, total: context.snapshot(step, total, self))

    def score(self, images: Images, context: Context) -> Scores:
        assert self.network is not None, "fit or load first"
        network = self.network.eval()

        def distance(batch: Tensor) -> Tensor:
            _, code, again = network(self.inputs(batch))
            apart = code - again
            apart = apart.square() if self.distance == "squared" else apart.abs()
            return cast(Tensor, apart.mean(1))

        return batched(images, context, distance)

    def save(self, path: Path) -> None:
        assert self.network is not None, "nothing to save before fit"
        state = {name: value.cpu() for name, value in self.network.state_dict().items()}
        write_torch(path, {"side": self.network.side, "channels": self.network.channels, "state": state})

    def load(self, path: Path, device: torch.device) -> None:
        saved = read_torch(path, device)
        with torch.random.fork_rng(devices=[]):
            self.network = Generator(saved["side"], saved["channels"], self.settings.network)
        self.network.load_state_dict(saved["state"])
        self.network.to(device)
