"""Facts of PatchCore, with the settings of its official code as the defaults."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from baselines.info.common import Positive, Pretrained, Sizes, absent, notes
from suite.registry import MethodInfo
from suite.settings import Int, Settings, setting


class Coreset(Settings):
    """How the patches of the training images are thinned out.

    ``share``: the part of them that is kept; ``bank``: never more than so many; ``chunk``: so many are held and
    thinned out at a time (a set with fewer is thinned out as a whole); ``projection``: dimensions in which their
    distances are taken; ``starts``: patches drawn at random to measure from first.
    """

    share: float = setting(0.1, gt=0, le=1)
    bank: Positive = setting(400_000)
    chunk: Positive = setting(400_000)
    projection: Positive = setting(128)
    starts: Positive = setting(10)


class PatchCoreTraining(Pretrained):
    """``dimension``: to how many values a patch is averaged, at each stage and then over the stages."""

    dimension: Positive = setting(1024)
    coreset: Coreset = setting(Coreset())


class PatchScoring(Settings):
    """``score.k``: a patch scores the mean distance to its ``k`` nearest; ``score.reweight``: b of Eq. 7, the
    neighbours that decide how much the worst patch counts (0: plain maximum, as in the official code).
    """

    k: Positive = setting(1)
    reweight: Annotated[Int, Field(ge=0)] = setting(0)

    @model_validator(mode="after")
    def _weights_differ(self) -> Self:
        if self.reweight == 1:
            raise ValueError("reweight = 1 makes every score zero (Eq. 7): 0 for none, else 2 or more")
        return self


SIZES = Sizes(least=16)
PATCHCORE = MethodInfo(
    name="patchcore",
    version=1,
    title="PatchCore",
    implementation="baselines.patchcore:PatchCore",
    training=lambda nested: PatchCoreTraining,
    models=(PatchCoreTraining,),
    scoring=PatchScoring,
    sizes=str(SIZES),
    notes=notes(SIZES),
    absent=absent,
    citation="Roth et al., CVPR 2022",
)
