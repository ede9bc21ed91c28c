"""Transformaly's settings and what it says of its departures."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.transformaly import TRANSFORMALY, Transformaly


def test_the_defaults_are_official() -> None:
    settings = Transformaly()
    train = settings.train
    assert (settings.backbone, settings.weights) == ("vit_base_patch16_384.orig_in21k_ft_in1k", "imagenet")
    assert (settings.input_size, settings.skip, settings.variance) == (384, 2, 0.9)
    assert (train.epochs, train.batch, train.lr, train.weight_decay) == (30, 32, 1e-4, 0)


def test_images_of_another_size_and_stages_are_told() -> None:
    assert TRANSFORMALY.notes(Transformaly(), {"size": 384}) == ("weights from ImageNet",)
    small = Transformaly(backbone="resnet18.tv_in1k", weights="none", input_size=64)
    told = TRANSFORMALY.notes(small, {"size": 28})
    assert "images of 64 px for the official 384 px" in told
    assert "students of convolutional stages in place of transformer blocks" in told


@pytest.mark.parametrize("wrong", [{"variance": 1.0}, {"variance": 0.0}, {"skip": -1}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Transformaly.parse(wrong)
