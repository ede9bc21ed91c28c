"""Facts and settings of the baselines, without torch.

The two controls say how much of a result is due to learning: nearest neighbours among the raw pixels, and
among the features of a network that was never trained.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from suite.registry import MethodInfo
from suite.settings import Int, Settings, setting


class NeighbourScoring(Settings):
    """``score.k``: the score is the mean distance to the ``k`` nearest training images."""

    k: Annotated[Int, Field(ge=1)] = setting(1)


PIXEL_KNN = MethodInfo(
    name="pixel_knn",
    version=1,
    title="Pixel kNN",
    implementation="baselines.pixel_knn:PixelKnn",
    scoring=NeighbourScoring,
)
RANDOM_KNN = MethodInfo(
    name="random_knn",
    version=1,
    title="Random-feature kNN",
    implementation="baselines.random_knn:RandomKnn",
    scoring=NeighbourScoring,
)
