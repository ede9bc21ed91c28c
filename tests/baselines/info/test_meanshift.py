"""Settings of Mean-Shifted Contrastive Loss and what it says of its departures."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.meanshift import MEANSHIFT, Meanshift, MeanshiftScoring


def test_the_defaults_are_official() -> None:
    settings = Meanshift()
    assert settings.input_size == 224
    train, contrast = settings.train, settings.contrast
    assert (settings.backbone, settings.weights) == ("resnet152.tv_in1k", "imagenet")
    assert (train.epochs, train.batch, train.lr, train.weight_decay, train.freeze) == (20, 64, 1e-5, 5e-5, 8)
    assert (contrast.tau, contrast.angular) == (0.25, False)
    assert MeanshiftScoring().k == 2


def test_images_that_are_not_of_224_px_are_told() -> None:
    assert MEANSHIFT.notes(Meanshift(), {"size": 224}) == ("weights from ImageNet",)
    told = MEANSHIFT.notes(Meanshift(), {"size": 28})
    assert told == ("images resized from 28 to 224 px", "weights from ImageNet")
    assert "images of 64 px for the official 224 px" in MEANSHIFT.notes(
        Meanshift(input_size=64), {"size": 28}
    )


def test_a_stride_that_no_stage_has_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError):
        Meanshift.parse({"train": {"freeze": 5}})
