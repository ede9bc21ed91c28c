"""KDAD's settings are the official ones, and a cloner of both signs is told."""

from __future__ import annotations

import pytest

from baselines.info.common import LITE0
from baselines.info.kdad import KDAD, Training, rectified


def test_defaults_are_the_official_ones() -> None:
    settings = Training.parse({})
    assert (settings.backbone, settings.weights, settings.value) == ("vgg16.tv_in1k", "imagenet", 0.01)
    assert (settings.train.epochs, settings.train.batch, settings.train.lr) == (201, 64, 1e-3)
    assert not settings.normalise
    assert KDAD.notes(settings, {"size": 32}) == ("weights from ImageNet",)


def test_departures_are_told() -> None:
    told = KDAD.notes(Training.parse({"backbone": LITE0, "weights": "lite0"}), {"size": 28})
    assert told[0] == "images resized from 28 to 32 px"
    assert told[-1].startswith("the cloner's maps are of both signs")


@pytest.mark.parametrize(
    ("name", "ends"), [("vgg16.tv_in1k", True), ("resnet18.tv_in1k", True), (LITE0, False)]
)
def test_which_maps_end_in_a_relu(name: str, ends: bool) -> None:
    assert rectified(name) == ends
