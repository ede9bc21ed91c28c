"""Facts of Mean-Shifted Contrastive Loss; the defaults are those of the official code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes, smaller
from baselines.info.controls import NeighbourScoring
from suite.registry import MethodInfo
from suite.settings import Settings, setting

VIEW = 224
"""The side in pixels of the official views; blur widths are told at it."""


class MeanshiftTrain(Epochs):
    """Training of the backbone. ``freeze``: the layers up to the maps of this stride keep their weights (0: all
    learn). The official code has 8 for a ResNet-152 and 0 for a ResNet-18; vision transformers, which have no map
    finer than their patches, learn as a whole.
    """

    epochs: Positive = setting(20)
    batch: Positive = setting(64)
    lr: float = setting(1e-5, gt=0)
    weight_decay: Annotated[float, Field(ge=0)] = setting(5e-5)
    freeze: Literal[0, 4, 8, 16] = setting(8)


class MeanshiftContrast(Settings):
    """``tau``: the temperature. ``angular``: also pull the features to their first mean direction."""

    tau: float = setting(0.25, gt=0)
    angular: bool = setting(False)


class Meanshift(Pretrained):
    """Everything that the fit depends on."""

    backbone: str = setting("resnet152.tv_in1k")
    input_size: Positive | None = setting(VIEW)
    train: MeanshiftTrain = setting(MeanshiftTrain())
    contrast: MeanshiftContrast = setting(MeanshiftContrast())


class MeanshiftScoring(NeighbourScoring):
    """``score.k``: the score is the sum of the squared distances to the ``k`` nearest training features."""

    k: Positive = setting(2)


SIZES = Sizes(least=16)
MEANSHIFT = MethodInfo(
    name="meanshift",
    version=1,
    title="Meanshift",
    implementation="baselines.meanshift:Meanshift",
    training=lambda nested: Meanshift,
    models=(Meanshift,),
    scoring=MeanshiftScoring,
    sizes=str(SIZES),
    notes=notes(SIZES, smaller(SIZES, VIEW)),
    absent=absent,
    citation="Reiss and Hoshen, AAAI 2023",
)
