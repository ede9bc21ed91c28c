"""CFLOW-AD's settings are the official ones, and a table says where a run departs."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.cflow import CFLOW, CflowTraining

OWN = "likelihoods are scaled by their largest in the training images, not in the test images"


def test_defaults() -> None:
    settings = CflowTraining()
    assert (settings.backbone, settings.weights) == ("wide_resnet50_2.tv_in1k", "imagenet")
    assert settings.train.model_dump() == {
        "epochs": 200,
        "batch": 32,
        "lr": 2e-4,
        "weight_decay": 0.0,
        "rates": 25,
    }
    assert settings.flow.model_dump() == {"steps": 8, "condition": 128, "clamp": 1.9, "fibres": 256}


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (28, "steps of fewer than 256 feature vectors: 128 at stride 16, 32 at stride 32"),
        (64, "steps of fewer than 256 feature vectors: 128 at stride 32"),
        (128, None),
        (224, None),
    ],
)
def test_notes(size: int, told: str | None) -> None:
    """As published it runs from 128 px on."""
    resized = ("images resized from 28 to 32 px",) if size == 28 else ()
    few = (told,) if told else ()
    assert CFLOW.notes(CflowTraining(), {"size": size}) == (*resized, "weights from ImageNet", OWN, *few)


@pytest.mark.parametrize(
    "wrong", [{"flow": {"condition": 6}}, {"flow": {"fibres": 0}}, {"train": {"rates": 2}}]
)
def test_what_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(pydantic.ValidationError):
        CflowTraining.parse(wrong)
