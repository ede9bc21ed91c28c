"""Facts of the controls: what they reach is not due to learning from the training images.

Nearest neighbours among the raw pixels, among the features of a network that was never trained, and among those
of one that was trained on other images.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from baselines.info.common import Backbone, Pretrained, Sizes, absent, notes
from suite.registry import MethodInfo
from suite.settings import Int, Settings, setting


class NeighbourScoring(Settings):
    """``score.k``: the score is the mean distance to the ``k`` nearest training images."""

    k: Annotated[Int, Field(ge=1)] = setting(1)


class RandomFeatures(Backbone):
    """A network as it is before any training."""

    backbone: str = setting("resnet18.tv_in1k")


class PretrainedFeatures(Pretrained):
    """A network that was trained on ImageNet."""

    backbone: str = setting("resnet18.tv_in1k")


SIZES = Sizes(least=16)
PIXEL_KNN = MethodInfo(
    name="pixel_knn",
    version=1,
    title="Pixel kNN",
    implementation="baselines.pixel_knn:PixelKnn",
    scoring=NeighbourScoring,
)
RANDOM_KNN = MethodInfo(
    name="random_knn",
    version=2,
    title="Random-feature kNN",
    implementation="baselines.feature_knn:FeatureKnn",
    training=lambda nested: RandomFeatures,
    models=(RandomFeatures,),
    scoring=NeighbourScoring,
    sizes=str(SIZES),
    notes=notes(SIZES),
    absent=absent,
)
PRETRAINED_KNN = MethodInfo(
    name="pretrained_knn",
    version=1,
    title="Pretrained-feature kNN",
    implementation="baselines.feature_knn:FeatureKnn",
    training=lambda nested: PretrainedFeatures,
    models=(PretrainedFeatures,),
    scoring=NeighbourScoring,
    sizes=str(SIZES),
    notes=notes(SIZES),
    absent=absent,
)
