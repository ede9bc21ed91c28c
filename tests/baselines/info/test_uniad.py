"""UniAD's settings: the official ones unless told otherwise; and a mask under which every token sees something."""

from __future__ import annotations

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.info.uniad import UNIAD, Transformer, UniadScoring, UniadTraining, window


def test_the_defaults_are_official() -> None:
    training = UniadTraining()
    assert (training.backbone, training.weights) == ("tf_efficientnet_b4.aa_in1k", "imagenet")
    assert (training.stride, training.neighbours, training.jitter) == (16, 7, 20.0)
    assert training.transformer == Transformer(width=256, heads=8, hidden=1024, layers=4, dropout=0.1)
    train = training.train
    assert (train.epochs, train.batch, train.lr, train.weight_decay, train.clip) == (1000, 8, 1e-4, 1e-4, 0.1)
    assert UniadScoring().pool == "max"


@pytest.mark.parametrize(
    "wrong",
    [
        {"neighbours": 4},
        {"stride": 5},
        {"transformer": {"width": 100}},
        {"transformer": {"width": 9, "heads": 3}},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        UniadTraining.parse(wrong)


@given(st.sampled_from([1, 3, 5, 7, 9]), st.integers(2, 14), st.integers(2, 14))
def test_the_window_leaves_each_token_something_to_see(neighbours: int, height: int, width: int) -> None:
    side = window(neighbours, (height, width))
    assert side % 2 == 1
    assert side == neighbours or side < neighbours
    reach = side // 2
    for place in [(y, x) for y in range(height) for x in range(width)]:
        assert any(
            max(abs(y - place[0]), abs(x - place[1])) > reach for y in range(height) for x in range(width)
        )


@pytest.mark.parametrize(("side", "expected"), [(14, 7), (8, 7), (7, 5), (4, 3), (2, 1)])
def test_it_is_the_published_one_from_8_tokens_on(side: int, expected: int) -> None:
    assert window(7, (side, side)) == expected


def test_a_run_says_where_it_adapts() -> None:
    assert UNIAD.notes(UniadTraining(), {"size": 224}) == ("weights from ImageNet",)
    assert UNIAD.notes(UniadTraining(input_size=128), {"size": 28}) == (
        "images resized from 28 to 128 px",
        "weights from ImageNet",
    )
    assert UNIAD.notes(UniadTraining(stride=8), {"size": 32})[1:] == (
        "a token every 8 px (published: 16)",
        "3 x 3 neighbours masked for 7 x 7, there are 4 x 4 tokens",
    )
