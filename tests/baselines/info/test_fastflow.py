"""FastFlow's settings are those that are commonly run, and a table says where a run departs."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.fastflow import FASTFLOW, FastFlowTraining


def test_defaults() -> None:
    settings = FastFlowTraining()
    assert (settings.backbone, settings.weights) == ("wide_resnet50_2.racm_in1k", "imagenet")
    assert settings.train.model_dump() == {"epochs": 500, "batch": 32, "lr": 1e-3, "weight_decay": 1e-5}
    assert settings.flow.model_dump() == {"steps": 8, "kernels": "3-1", "ratio": 1.0, "clamp": 2.0}


def test_notes() -> None:
    settings = FASTFLOW.parse({"backbone": "resnet18", "weights": "none"})
    assert FASTFLOW.notes(settings, {"size": 28}) == (
        "images resized from 28 to 32 px",
        "backbone resnet18 for wide_resnet50_2.racm_in1k",
        "weights drawn at random, nothing pretrained",
    )
    assert FASTFLOW.notes(FastFlowTraining(), {"size": 224}) == ("weights from ImageNet",)
    assert FASTFLOW.sizes == "multiples of 16 from 32 px"


@pytest.mark.parametrize(
    "wrong", [{"flow": {"kernels": "5"}}, {"flow": {"steps": 0}}, {"flow": {"clamp": 0}}]
)
def test_what_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(pydantic.ValidationError):
        FastFlowTraining.parse(wrong)
