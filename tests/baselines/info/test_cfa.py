"""CFA's settings: the official ones unless told otherwise."""

from __future__ import annotations

import pytest

from baselines.info.cfa import CFA, CfaTraining, Spheres, blur


def test_the_defaults_are_official() -> None:
    training = CfaTraining()
    assert (training.backbone, training.weights) == ("wide_resnet50_2.tv_in1k", "imagenet")
    assert training.spheres == Spheres(attracted=3, repelled=3, radius=1e-5, alpha=0.1, nu=1e-3)
    train = training.train
    assert (train.epochs, train.batch, train.lr, train.weight_decay) == (30, 4, 1e-3, 5e-4)


@pytest.mark.parametrize(("side", "expected"), [(224, 4.0), (56, 1.0)])
def test_the_blur_keeps_its_part_of_the_image(side: int, expected: float) -> None:
    assert blur(side) == expected


def test_a_run_says_that_it_is_blurred_less() -> None:
    assert CFA.notes(CfaTraining(), {"size": 224}) == ("weights from ImageNet",)
    assert CFA.notes(CfaTraining(), {"size": 28})[-1] == "maps blurred by 0.5 px (4 px at 224 px)"
    assert CFA.notes(CfaTraining(input_size=56), {"size": 28})[-1].startswith("maps blurred by 1 px")
