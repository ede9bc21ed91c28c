"""Facts of EfficientAD: its sizes, its teacher (a file, or distilled on the spot) and its penalty images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from baselines.info import common
from baselines.info.common import FILE, Positive, Pretrained, Sizes, notes, smaller
from suite.registry import MethodInfo
from suite.settings import Settings, setting

Digest = Annotated[str, Field(pattern=r"^([0-9a-f]{8,64})?$")]
SIDE = 256
"""To which the official code resizes all images."""
SIZES = Sizes(multiple=8, least=64)


class Pdn(Settings):
    """The patch description network: its published form, and its channels as part of the published ones."""

    size: Literal["small", "medium"] = setting("small")
    width: Annotated[float, Field(gt=0, le=4)] = setting(1.0)


class Steps(Settings):
    """Training by optimiser steps; ``drop``: the rate falls to a tenth after that part of them."""

    steps: Positive = setting(70_000)
    batch: Positive = setting(1)
    lr: float = setting(1e-4, gt=0)
    weight_decay: Annotated[float, Field(ge=0)] = setting(1e-5)
    drop: Annotated[float, Field(gt=0, le=1)] = setting(0.95)


class Distil(Settings):
    """How a teacher is distilled from a backbone."""

    steps: Positive = setting(60_000)
    batch: Positive = setting(16)
    lr: float = setting(1e-4, gt=0)
    weight_decay: Annotated[float, Field(ge=0)] = setting(1e-5)


class Common(Settings):
    """``penalty``: ``file:PATH`` of uint8 images that are none of the training's, N x C x H x W in an .npy file, on
    which the student is to say nothing (the official code takes ImageNet's); ``penalty_sha256`` is that file's. Without
    them there is no such term. ``dropout``: of the autoencoder's decoder.
    """

    pdn: Pdn = setting(Pdn())
    dropout: Annotated[float, Field(ge=0, lt=1)] = setting(0.2)
    penalty: str = setting("", pattern=rf"^({FILE}.+)?$")
    penalty_sha256: Digest = setting("")
    train: Steps = setting(Steps())

    @model_validator(mode="after")
    def _named(self) -> Self:
        if bool(self.penalty) != bool(self.penalty_sha256):
            raise ValueError(f'penalty = "{FILE}PATH" and penalty_sha256 (of that file) go together')
        return self


class Distilled(Pretrained, Common):
    """A teacher that is distilled on the spot from a backbone."""

    backbone: str = setting("wide_resnet101_2.tv_in1k")
    input_size: Positive | None = setting(SIDE)
    teacher: Literal["distilled"] = setting("distilled")
    distil: Distil = setting(Distil())


class Given(Common):
    """A teacher from a file: ``file:PATH`` of a state dict of the PDN, whose SHA-256 is ``teacher_sha256``."""

    input_size: Positive | None = setting(SIDE)
    teacher: str = setting("", pattern=rf"^{FILE}.+$")
    teacher_sha256: Digest = setting("", min_length=8)


def training(nested: Mapping[str, Any]) -> type[Settings]:
    """With a teacher's file there is no backbone."""
    return Given if str(nested.get("teacher", "")).startswith(FILE) else Distilled


def file_of(value: str) -> Path | None:
    """The path in ``file:PATH``."""
    return Path(value.removeprefix(FILE)).expanduser() if value.startswith(FILE) else None


def absent(training: Settings) -> str:
    """Which file has to be got first; empty when none has."""
    for name in ("teacher", "penalty"):
        path = file_of(getattr(training, name, ""))
        if path is not None and not path.is_file():
            return f"{name} missing: no file {path}"
    return common.absent(training)


def _departures(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    if not isinstance(training, Common):
        return ()
    told = []
    if isinstance(training, Distilled):
        told.append("the teacher is distilled on the training images, not on ImageNet's")
    if not training.penalty:
        told.append("no penalty images")
    if training.pdn.width != 1:
        told.append(f"{training.pdn.width:g} times the published channels")
    return tuple(told)


EFFICIENTAD = MethodInfo(
    name="efficientad",
    version=1,
    title="EfficientAD",
    implementation="baselines.efficientad:EfficientAd",
    training=training,
    models=(Distilled, Given),
    sizes=str(SIZES),
    notes=notes(SIZES, smaller(SIZES, SIDE), _departures),
    absent=absent,
    citation="Batzner et al., WACV 2024",
)
