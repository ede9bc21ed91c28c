"""Images become what a network takes: scaled, resized where a size asks for it, gray repeated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from methods import context

from baselines.info.common import Sizes
from baselines.inputs import Inputs, batched, each
from suite.detector import Interrupted


def test_scaling_by_hand() -> None:
    images = torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)
    made = Inputs(Sizes(), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))(images)
    assert made.shape == (1, 3, 2, 2)
    assert made[0, 0].tolist() == [[-1.0, pytest.approx(-0.6)], [pytest.approx(-0.2), 1.0]]
    assert made[0, 1, 1, 1] == 3.0
    assert made[0, 2, 0, 1] == pytest.approx(0.2)


def test_channels_are_kept_where_that_is_asked_for() -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    assert Inputs(Sizes(), channels=0)(images).shape == (2, 1, 4, 4)
    assert Inputs(Sizes())(images.expand(-1, 3, -1, -1)).shape == (2, 3, 4, 4)


@pytest.mark.parametrize(
    ("size", "sides", "expected"),
    [(None, (28, 40), (32, 64)), (None, (32, 64), (32, 64)), (50, (28, 28), (64, 64))],
)
def test_sides(size, sides, expected) -> None:
    inputs = Inputs(Sizes(32), size)
    assert inputs.sides(*sides) == expected
    assert inputs(torch.zeros(1, 3, *sides, dtype=torch.uint8)).shape[-2:] == expected


@pytest.mark.parametrize(("size", "count"), [(None, 32), (448, 8), (32, 1568), (5000, 1)])
def test_fewer_images_are_taken_at_once_where_they_are_enlarged(size, count) -> None:
    assert Inputs(Sizes(), size).at_once(np.zeros((0, 1, 224, 224), np.uint8)) == count


def test_an_image_of_one_gray_stays_one_gray_when_resized() -> None:
    made = Inputs(Sizes(32), mean=(0.0,), std=(1.0,))(torch.full((1, 1, 28, 28), 51, dtype=torch.uint8))
    torch.testing.assert_close(made, torch.full((1, 3, 32, 32), 0.2))


def test_the_images_are_left_as_they_are() -> None:
    images = torch.full((1, 3, 4, 4), 51, dtype=torch.uint8)
    Inputs(Sizes())(images)
    assert (images == 51).all()


IMAGES = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)


@pytest.mark.parametrize("batch", [0, 1, 3, 7, 9])
def test_scores_come_in_order_whatever_the_batch(batch: int) -> None:
    told = []
    where = context(progress=lambda done, total, _: told.append((done, total)))
    scores = batched(IMAGES, where, lambda x: x.flatten().float() * 2, batch)
    assert scores.dtype == np.float64
    assert scores.tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert told[-1] == (7, 7)
    assert batched(IMAGES[:0], where, lambda x: x.flatten(), batch).shape == (0,)


def test_only_those_that_are_asked_for() -> None:
    found = each(IMAGES, context(), lambda x: x.flatten(), 2, order=torch.tensor([4, 1, 6]))
    assert [one.tolist() for one in found] == [[4, 1], [6]]


def test_gradients_are_not_recorded_and_a_stop_is_heard() -> None:
    weight = torch.ones(1, requires_grad=True)
    (made,) = each(IMAGES, context(), lambda x: x.flatten() * weight)
    assert not made.requires_grad
    with pytest.raises(Interrupted):
        each(IMAGES, context(stop=lambda: True), lambda x: x)
