"""EfficientAD's settings are those of the implementation that everybody runs; files are named with their digests."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from baselines.info.common import LITE0
from baselines.info.efficientad import EFFICIENTAD, Distilled, Given, absent, training
from suite.settings import Settings


def parsed(**raw: object) -> Settings:
    return training(raw).parse(raw)


def test_defaults_are_the_official_ones() -> None:
    settings = parsed()
    assert isinstance(settings, Distilled)
    assert (settings.backbone, settings.weights) == ("wide_resnet101_2.tv_in1k", "imagenet")
    assert (settings.pdn.size, settings.pdn.width, settings.input_size) == ("small", 1, 256)
    steps, distil = settings.train, settings.distil
    assert (steps.steps, steps.batch, steps.lr, steps.weight_decay, steps.drop) == (
        70_000,
        1,
        1e-4,
        1e-5,
        0.95,
    )
    assert (distil.steps, distil.batch, distil.lr, distil.weight_decay) == (60_000, 16, 1e-4, 1e-5)
    assert settings.dropout == 0.2
    assert EFFICIENTAD.notes(settings, {"size": 256}) == (
        "weights from ImageNet",
        "the teacher is distilled on the training images, not on ImageNet's",
        "no penalty images",
    )


def test_departures_are_told() -> None:
    settings = parsed(backbone=LITE0, weights="lite0", input_size=64, pdn={"width": 0.25})
    told = EFFICIENTAD.notes(settings, {"size": 28})
    assert told[0] == "images resized from 28 to 64 px"
    assert "images of 64 px for the official 256 px" in told
    assert told[-1] == "0.25 times the published channels"


def test_with_a_teachers_file_there_is_no_backbone() -> None:
    settings = parsed(teacher="file:teacher.pt", teacher_sha256="0" * 64)
    assert isinstance(settings, Given)
    assert not hasattr(settings, "backbone")
    assert EFFICIENTAD.notes(settings, {"size": 256}) == ("no penalty images",)


@pytest.mark.parametrize(
    "raw",
    [
        {"teacher": "file:teacher.pt"},
        {"teacher": "file:teacher.pt", "teacher_sha256": "xyz"},
        {"teacher": "teacher.pt"},
        {"penalty": "file:images.npy"},
        {"penalty_sha256": "0" * 64},
        {"penalty": "images.npy", "penalty_sha256": "0" * 64},
        {"pdn": {"size": "large"}},
        {"dropout": 1.0},
    ],
)
def test_what_cannot_be_meant_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        parsed(**raw)


def test_absent_files_are_named_before_anything_is_done(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    given = parsed(teacher=f"file:{path}", teacher_sha256="0" * 64)
    punished = parsed(weights="none", penalty=f"file:{path}", penalty_sha256="0" * 64)
    assert absent(given) == f"teacher missing: no file {path}"
    assert absent(punished) == f"penalty missing: no file {path}"
    path.touch()
    assert absent(given) == absent(punished) == ""
    assert "no file" in absent(parsed(weights=f"file:{tmp_path / 'w.pt'}", weights_sha256="0" * 64))
