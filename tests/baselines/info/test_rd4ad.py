"""RD4AD's settings are the official ones, and a student that mirrors no teacher is told."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.common import LITE0
from baselines.info.rd4ad import RD4AD, Training, blocks


def test_defaults_are_the_official_ones() -> None:
    settings = Training.parse({})
    assert (settings.backbone, settings.weights) == ("wide_resnet50_2.tv_in1k", "imagenet")
    train = settings.train
    assert (train.epochs, train.batch, train.lr, train.weight_decay) == (200, 16, 5e-3, 0)
    assert RD4AD.notes(settings, {"size": 256}) == ("weights from ImageNet",)


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError):
        Training.parse({"train": {"batch": 1}})


def test_departures_are_told() -> None:
    settings = Training.parse({"backbone": LITE0, "weights": "lite0"})
    told = RD4AD.notes(settings, {"size": 28})
    assert told[0] == "images resized from 28 to 32 px"
    assert told[-1] == "the student is made of ResNet18's blocks"


def test_blocks_of_the_teachers() -> None:
    assert blocks("wide_resnet50_2.tv_in1k").counts == (3, 4, 6)
    assert blocks("resnet18.tv_in1k").rectified
    assert not blocks(LITE0).rectified
