"""Facts of RD4AD (reverse distillation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes, smaller
from suite.registry import MethodInfo
from suite.settings import Int, Settings, setting


class Train(Epochs):
    """The official schedule. A batch of one has no variance to normalise by."""

    epochs: Positive = setting(200)
    batch: Annotated[Int, Field(ge=2)] = setting(16)
    lr: float = setting(5e-3, gt=0)


class Training(Pretrained):
    """The teacher and the student's training."""

    train: Train = setting(Train())


@dataclass(frozen=True)
class Blocks:
    """The residual blocks that the student is built of: how many a stage, from its deepest stage on; the inner
    width of a bottleneck as part of its outer one (0: plain blocks); whether maps end in a ReLU.
    """

    counts: tuple[int, int, int] = (2, 2, 2)
    width: float = 0
    rectified: bool = True


RESNETS = {
    "resnet18": Blocks(),
    "resnet34": Blocks((3, 4, 6)),
    "resnet50": Blocks((3, 4, 6), 1 / 4),
    "resnet101": Blocks((3, 4, 23), 1 / 4),
    "resnet152": Blocks((3, 8, 36), 1 / 4),
    "wide_resnet50_2": Blocks((3, 4, 6), 1 / 2),
    "wide_resnet101_2": Blocks((3, 4, 23), 1 / 2),
}
"""Teachers that the official code has a student for."""


def blocks(backbone: str) -> Blocks:
    """The student of a teacher: its mirror image for a ResNet; else ResNet18's blocks, with maps of both signs."""
    return RESNETS.get(backbone.partition(".")[0], Blocks(rectified=False))


def _student(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    name = training.backbone if isinstance(training, Pretrained) else ""
    return () if name.partition(".")[0] in RESNETS else ("the student is made of ResNet18's blocks",)


SIZES = Sizes(multiple=32)
RD4AD = MethodInfo(
    name="rd4ad",
    version=1,
    title="RD4AD",
    implementation="baselines.rd4ad:Rd4ad",
    training=lambda nested: Training,
    models=(Training,),
    sizes=str(SIZES),
    notes=notes(SIZES, smaller(SIZES, 256), _student),
    absent=absent,
    citation="Deng and Li, CVPR 2022",
)
