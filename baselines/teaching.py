"""The teacher of EfficientAD: from a file, or a PDN that is distilled from a backbone on the training images.

What it is to say of a patch is PatchCore's description of it (3 x 3 neighbourhoods in the backbone's maps at strides
8 and 16 of the image at twice its size, averaged to 1,024 values each, then over the two to the PDN's channels),
standardised by channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from baselines.backbones import Features, fill
from baselines.fit import Fit, Loss
from baselines.frozen import Frozen
from baselines.info.common import Epochs
from baselines.info.efficientad import SIZES, Distil, Distilled, Given, Steps, file_of
from baselines.inputs import Inputs, stream
from baselines.patchcore import STRIDES, described
from baselines.pdn import drawn, pdn
from suite.detector import Context, Images, derive_seed
from suite.training import loop

BETWEEN = 1024
COUNTED = 10_000
"""Images, at most, that the standardisation of the descriptions is taken from."""


def inputs(settings: Distilled | Given) -> Inputs:
    """What a PDN takes of images."""
    return Inputs(SIZES, settings.input_size, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)


class Lessons(Fit):
    """A training by steps. In the checkpoint of the student's training lies the teacher that was ``taught``, so
    that one which goes on there need not teach it again.
    """

    def __init__(
        self,
        modules: nn.Module,
        loss: Loss,
        count: int,
        train: Steps | Distil,
        context: Context,
        schedule: Callable[[float], float] = lambda part: 1.0,
        taught: nn.Module | None = None,
    ) -> None:
        batch = min(train.batch, count)
        epochs = Epochs(
            epochs=-(-train.steps * batch // count),
            batch=batch,
            lr=train.lr,
            weight_decay=train.weight_decay,
        )
        super().__init__(modules, loss, count, epochs, context, schedule=schedule, last="carry")
        self.total = train.steps
        self.taught = taught

    def state(self) -> dict[str, Any]:
        taught = {} if self.taught is None else {"taught": self.taught.state_dict()}
        return super().state() | taught

    def restore(self, state: Mapping[str, Any]) -> None:
        if ("taught" in state) == (self.taught is not None):
            super().restore(state)
        elif self.taught is None:
            self.modules.load_state_dict(state["taught"])
            self.step = self.total


class Doubled(Inputs):
    """Images as they are, for a network that makes two sizes of them itself; it is the larger that takes memory."""

    def sides(self, height: int, width: int) -> tuple[int, int]:
        height, width = super().sides(height, width)
        return 2 * height, 2 * width

    def __call__(self, images: Tensor) -> Tensor:
        return images


class Lesson(nn.Module):
    """uint8 images to what a padded PDN takes and what it is to give: B x 3 x H x W, B x C x H / 4 x W / 4."""

    def __init__(self, features: Features, small: Inputs, channels: int) -> None:
        super().__init__()
        self.features, self.small, self.channels = features, small, channels
        mean, std = (tuple(one.flatten().tolist()) for one in (features.inputs.mean, features.inputs.std))
        self.inputs: Inputs = Doubled(SIZES, small.size, mean, std)
        self.mean, self.std = torch.zeros(1), torch.ones(1)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.small(images), (self.description(images) - self.mean) / self.std]

    def description(self, images: Tensor) -> Tensor:
        """B x C x H / 4 x W / 4, not standardised."""
        maps = self.features(self.inputs.normalised(self.inputs.unit(images)))
        made = described(maps, BETWEEN, self.channels)
        grid: Tensor = made.transpose(1, 2).unflatten(2, maps[0].shape[-2:])
        return grid


def moments(
    images: Images,
    context: Context,
    make: Callable[[Tensor], Tensor],
    batch: int,
    order: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by channel, 1 x C x 1 x 1 each, of the maps B x C x h x w that ``make`` gives."""

    def sums(some: Tensor) -> Tensor:
        maps = make(some).flatten(2).double()
        return torch.stack([maps.mean(2).sum(0), maps.square().mean(2).sum(0)]).cpu()

    count = len(images) if order is None else len(order)
    total = sum(stream(images, context, sums, batch, order), torch.zeros(())) / count
    std = (total[1] - total[0].square()).clamp(min=1e-12).sqrt()
    mean, spread = (one.float().view(1, -1, 1, 1).to(context.device) for one in (total[0], std))
    return mean, spread


def teacher(settings: Distilled | Given, channels: int, images: Images, context: Context) -> nn.Sequential:
    """The frozen PDN that is to be imitated."""
    made = drawn(0, lambda: pdn(settings.pdn, channels))
    if isinstance(settings, Distilled):
        made.load_state_dict(_distilled(settings, channels, images, context).state_dict())
    else:
        path = file_of(settings.teacher)
        assert path is not None
        fill(made, path, settings.teacher_sha256, f"a PDN ({settings.pdn.size})")
    return made.eval().requires_grad_(False).to(context.device)


def _distilled(settings: Distilled, channels: int, images: Images, context: Context) -> nn.Sequential:
    features = Features(settings, STRIDES, SIZES, context.seed).to(context.device)
    lesson = Lesson(features, inputs(settings), channels)
    some = torch.randperm(len(images), generator=context.generator("counted"))[:COUNTED].sort().values
    at_once = lesson.inputs.at_once(images)
    lesson.mean, lesson.std = moments(images, context, lesson.description, at_once, some)
    pupil = drawn(derive_seed(context.seed, "teacher"), lambda: pdn(settings.pdn, channels, padded=True))
    pupil.to(context.device)
    frozen = Frozen(lesson, images, context)

    def loss(batch: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        x, target = frozen(batch)
        return {"teacher": (pupil(x) - target).square().mean()}

    fit = Lessons(pupil, loss, len(images), settings.distil, context)
    loop.run(fit, frozen.kept(images, context), context, lambda step, total: None)
    return pupil
