"""Facts of UniAD, with the settings of its official code (MVTec-AD) as the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes
from suite.registry import MethodInfo
from suite.settings import Settings, setting


class Transformer(Settings):
    """``layers`` encoders and as many decoders of this ``width``, with ``hidden`` values between the two layers of
    their perceptrons.
    """

    width: Positive = setting(256)
    heads: Positive = setting(8)
    hidden: Positive = setting(1024)
    layers: Positive = setting(4)
    dropout: float = setting(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % 2 or self.width % self.heads:
            raise ValueError(f"width = {self.width} must be even and a multiple of heads = {self.heads}")
        return self


class UniadEpochs(Epochs):
    """AdamW, a tenth of the rate after four fifths; gradients are clipped to a norm of ``clip``."""

    epochs: Positive = setting(1000)
    batch: Positive = setting(8)
    lr: float = setting(1e-4, gt=0)
    weight_decay: float = setting(1e-4, ge=0)
    clip: float = setting(0.1, gt=0)


class UniadTraining(Pretrained):
    """``stride`` of the tokens in pixels; ``neighbours``: the side of the window about a token that its attention
    does not see; ``jitter``: the size of the noise that is added to tokens in training.
    """

    backbone: str = setting("tf_efficientnet_b4.aa_in1k")
    stride: Literal[4, 8, 16] = setting(16)
    neighbours: Positive = setting(7)
    jitter: Annotated[float, Field(ge=0)] = setting(20.0)
    transformer: Transformer = setting(Transformer())
    train: UniadEpochs = setting(UniadEpochs())

    @model_validator(mode="after")
    def _odd(self) -> Self:
        if self.neighbours % 2 == 0:
            raise ValueError(f"neighbours = {self.neighbours}: a window about a token has an odd side")
        return self


class UniadScoring(Settings):
    """``score.pool``: how a map becomes a score: the largest mean over a window as wide as a token (as officially on
    MVTec-AD), or the mean or the standard deviation of the map.
    """

    pool: Literal["max", "mean", "std"] = setting("max")


SIZES = Sizes(multiple=16, least=32)


def window(neighbours: int, grid: tuple[int, int]) -> int:
    """The side of the masked window on such a grid of tokens: smaller where a token would see none at all, whose
    attention is not a number.
    """
    most = max(grid) - 1
    return min(neighbours, most if most % 2 else most - 1)


def _adapted(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    assert isinstance(training, UniadTraining)
    size, lines = data.get("size"), []
    if training.stride != 16:
        lines.append(f"a token every {training.stride} px (published: 16)")
    if isinstance(size, int):
        side = SIZES.side(training.input_size or size) // training.stride
        if (acts := window(training.neighbours, (side, side))) != training.neighbours:
            lines.append(
                f"{acts} x {acts} neighbours masked for {training.neighbours} x {training.neighbours}, "
                f"there are {side} x {side} tokens"
            )
    return tuple(lines)


UNIAD = MethodInfo(
    name="uniad",
    version=1,
    title="UniAD",
    implementation="baselines.uniad:Uniad",
    training=lambda nested: UniadTraining,
    models=(UniadTraining,),
    scoring=UniadScoring,
    sizes=str(SIZES),
    notes=notes(SIZES, _adapted),
    absent=absent,
    citation="You et al., NeurIPS 2022",
)
