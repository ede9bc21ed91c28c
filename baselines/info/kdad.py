"""Facts of KDAD (multiresolution knowledge distillation)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes
from baselines.info.rd4ad import RESNETS
from suite.registry import MethodInfo
from suite.settings import Settings, setting


class Train(Epochs):
    """The official schedule for CIFAR-10 (51 epochs on MNIST, 601 on MVTec)."""

    epochs: Positive = setting(201)
    batch: Positive = setting(64)


class Training(Pretrained):
    """The source network and the cloner's training.

    ``value``: the weight of the maps' squared difference against that of their directions (the official code takes
    0.5 on MVTec). ``normalise``: images as the source network was trained to see them; the official code does so
    on CIFAR-10 alone, else it leaves them between 0 and 1.
    """

    backbone: str = setting("vgg16.tv_in1k")
    value: Annotated[float, Field(ge=0)] = setting(0.01)
    normalise: bool = setting(False)
    train: Train = setting(Train())


def rectified(backbone: str) -> bool:
    """Whether the source's maps end in a ReLU, as the cloner's do then."""
    name = backbone.partition(".")[0]
    return name.startswith("vgg") or name in RESNETS


def _cloner(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    name = training.backbone if isinstance(training, Pretrained) else ""
    return () if rectified(name) else ("the cloner's maps are of both signs, as the source network's",)


SIZES = Sizes(multiple=32)
KDAD = MethodInfo(
    name="kdad",
    version=1,
    title="KDAD",
    implementation="baselines.kdad:Kdad",
    training=lambda nested: Training,
    models=(Training,),
    sizes=str(SIZES),
    notes=notes(SIZES, _cloner),
    absent=absent,
    citation="Salehi et al., CVPR 2021",
)
