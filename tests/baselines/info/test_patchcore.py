"""PatchCore's settings: the official ones unless told otherwise."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.patchcore import PATCHCORE, PatchCoreTraining, PatchScoring


def test_the_defaults_are_official() -> None:
    training = PatchCoreTraining()
    assert (training.backbone, training.weights) == ("wide_resnet50_2.tv_in1k", "imagenet")
    assert (training.dimension, training.coreset.share) == (1024, 0.1)
    assert (training.coreset.projection, training.coreset.starts) == (128, 10)
    assert PatchScoring() == PatchScoring(k=1, reweight=0)


def test_what_makes_no_sense_is_refused() -> None:
    for wrong in ({"share": 0.0}, {"share": 1.1}, {"bank": 0}, {"chunk": 0}):
        with pytest.raises(pydantic.ValidationError):
            PatchCoreTraining.parse({"coreset": wrong})
    with pytest.raises(pydantic.ValidationError, match="every score zero"):
        PatchScoring(reweight=1)


def test_a_run_says_where_it_departs() -> None:
    training = PatchCoreTraining(weights="none", backbone="resnet18.tv_in1k")
    assert PATCHCORE.notes(training, {"size": 28}) == (
        "backbone resnet18.tv_in1k for wide_resnet50_2.tv_in1k",
        "weights drawn at random, nothing pretrained",
    )
