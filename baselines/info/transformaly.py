"""Facts of Transformaly; the defaults are those of the official code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from baselines.info.common import Backbone, Epochs, Positive, Pretrained, Sizes, absent, notes, smaller
from suite.registry import MethodInfo
from suite.settings import Int, Settings, setting

SIDE = 384
"""The side in pixels of the official backbone's images."""


class TransformalyTrain(Epochs):
    """Training of the students."""

    epochs: Positive = setting(30)
    batch: Positive = setting(32)
    lr: float = setting(1e-4, gt=0)


class Transformaly(Pretrained):
    """Everything that the fit depends on. ``skip``: the first blocks whose errors do not count. ``variance``: the
    whitened directions explain at most this share of the variance of the teacher's features.
    """

    backbone: str = setting("vit_base_patch16_384.orig_in21k_ft_in1k")
    input_size: Positive | None = setting(SIDE)
    skip: Annotated[Int, Field(ge=0)] = setting(2)
    variance: Annotated[float, Field(gt=0, lt=1)] = setting(0.9)
    train: TransformalyTrain = setting(TransformalyTrain())


def _stagewise(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(training, Backbone) and not training.backbone.startswith(("vit_", "deit")):
        return ("students of convolutional stages in place of transformer blocks",)
    return ()


SIZES = Sizes(multiple=16, least=32)
TRANSFORMALY = MethodInfo(
    name="transformaly",
    version=1,
    title="Transformaly",
    implementation="baselines.transformaly:Transformaly",
    training=lambda nested: Transformaly,
    models=(Transformaly,),
    sizes=str(SIZES),
    notes=notes(SIZES, smaller(SIZES, SIDE), _stagewise),
    absent=absent,
    citation="Cohen and Avidan, CVPRW 2022",
)
