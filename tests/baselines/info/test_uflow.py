"""U-Flow's settings are the official defaults, and a table says where a run departs."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.uflow import UFLOW, UflowTraining
from suite.settings import canonical


def test_defaults() -> None:
    settings = UflowTraining()
    assert (settings.backbone, settings.weights) == ("ms_cait", "imagenet")
    assert settings.train.model_dump() == {"epochs": 200, "batch": 8, "lr": 1e-4, "weight_decay": 1e-5}
    assert settings.flow.model_dump() == {"steps": 4, "kernels": "3-1", "ratio": 1.0, "clamp": 2.0}


@pytest.mark.parametrize(
    ("settings", "size", "told"),
    [
        ({}, 28, ("images resized from 28 to 448 px", "weights from ImageNet")),
        ({}, 448, ("weights from ImageNet",)),
        (
            {"backbone": "resnet18", "weights": "none"},
            28,
            (
                "images resized from 28 to 32 px",
                "backbone resnet18 for ms_cait",
                "weights drawn at random, nothing pretrained",
            ),
        ),
    ],
)
def test_notes(settings, size, told) -> None:
    assert UFLOW.notes(UFLOW.parse(settings), {"size": size}) == told


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"weights": "file:w.pth", "weights_sha256": "0" * 8}, "two networks"),
        ({"weights": "lite0"}, "tf_efficientnet_lite0"),
        ({"flow": {"steps": 0}}, "greater"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, word) -> None:
    with pytest.raises(pydantic.ValidationError, match=word):
        UflowTraining.parse(wrong)


def test_a_size_that_cannot_act_is_in_no_key() -> None:
    """So that a profile may set it together with a backbone that has one."""
    assert canonical(UflowTraining.parse({"input_size": 64})) == canonical(UflowTraining())
    assert UflowTraining.parse({"input_size": 64, "backbone": "resnet18"}).input_size == 64
