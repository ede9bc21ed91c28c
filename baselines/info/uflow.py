"""Facts of U-Flow (Tailanian et al., JMIV 2024; arXiv 2022); the settings are those of the official code, whose
defaults are one for all; for each category of its own data set it has others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from baselines.info.common import FILE, Epochs, Positive, Pretrained, Sizes, absent, notes
from baselines.info.fastflow import Flow
from suite.registry import MethodInfo
from suite.settings import Settings, setting

MS_CAIT = "ms_cait"
"""The published backbone: two image transformers, of 448 and of 224 px."""
MS_CAIT_SIDE = 448


class UShapedFlow(Flow):
    """As :class:`Flow`, with fewer couplings for each scale."""

    steps: Positive = setting(4)


class UflowEpochs(Epochs):
    """Adam; the rate falls on a line to 0.4 times its start."""

    epochs: Positive = setting(200)
    batch: Positive = setting(8)
    lr: float = setting(1e-4, gt=0)
    weight_decay: float = setting(1e-5, ge=0)


class UflowTraining(Pretrained):
    """One flow over the frozen maps of all scales. ``backbone``: ``ms_cait``, or one of timm's with maps at strides 4,
    8 and 16.
    """

    backbone: str = setting(MS_CAIT)
    flow: UShapedFlow = setting(UShapedFlow())
    train: UflowEpochs = setting(UflowEpochs())

    @model_validator(mode="after")
    def _of_two_networks(self) -> Self:
        if self.backbone == MS_CAIT and self.weights.startswith(FILE):
            raise ValueError(f'backbone = "{MS_CAIT}" is two networks: its weights are "imagenet" or "none"')
        return self

    @model_validator(mode="before")
    @classmethod
    def _of_one_size(cls, given: Any) -> Any:
        """The transformers take one size: another cannot act, and stands in no key."""
        if isinstance(given, dict) and given.get("backbone", MS_CAIT) == MS_CAIT:
            return {name: value for name, value in given.items() if name != "input_size"}
        return given


SIZES = Sizes(multiple=16, least=32)


def _notes(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    if getattr(training, "backbone", "") == MS_CAIT:
        training = training.model_copy(update={"input_size": MS_CAIT_SIDE})
    return notes(SIZES)(training, data)


UFLOW = MethodInfo(
    name="uflow",
    version=1,
    title="U-Flow",
    implementation="baselines.uflow:Uflow",
    training=lambda nested: UflowTraining,
    models=(UflowTraining,),
    sizes=f"{MS_CAIT_SIDE} px under {MS_CAIT}, else {SIZES}",
    notes=_notes,
    absent=absent,
    citation="Tailanian et al., JMIV 2024",
)
