"""Eq. 10 by hand on a network whose projection is written by the test."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from draws import unchanged
from torch import Tensor, nn

from suite.detector import Context
from suite.dia import scoring, views
from suite.dia.info import Scoring


class ByHand(nn.Module):
    """c(x) = (mean of the image, 1 - mean), shift logits = k times the mean."""

    def __init__(self, *plain: str) -> None:
        super().__init__()
        self.plain = frozenset(plain)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(dim=(1, 2, 3))
        return torch.stack([mean, 1 - mean], dim=1), mean[:, None] * torch.arange(1.0, 5.0)

    def folded(self) -> ByHand:
        return self


def flat(*grays: int) -> np.ndarray:
    return np.stack([np.full((1, 8, 8), g, np.uint8) for g in grays])


def context(train: np.ndarray) -> Context:
    return Context(device=torch.device("cpu"), seed=0, train=train)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views that change nothing, so that the numbers can be worked out."""
    monkeypatch.setattr(views, "apply", lambda originals, drawn, pose: originals.x)


@pytest.mark.usefixtures("still")
def test_equation_10_by_hand():
    train, test = flat(51, 204), flat(102)  # 0.2 and 0.8; 0.4
    ctx = context(train)
    found = scoring.score(ByHand(), test, Scoring(views=2), "rotate", ctx)  # type: ignore[arg-type]
    bank = [(0.2, 0.8), (0.8, 0.2)]
    c = (0.4, 0.6)
    norms = [math.hypot(*m) for m in bank]
    s_con = max((c[0] * m[0] + c[1] * m[1]) / n for m, n in zip(bank, norms, strict=True))
    con = 4 * s_con / (sum(norms) / 2) / 4
    cls = sum((0.4 * k) / (0.5 * k) for k in (1, 2, 3, 4)) / 4
    assert ctx.parts["con"][0] == pytest.approx(-con, rel=1e-5)
    assert ctx.parts["cls"][0] == pytest.approx(-cls, rel=1e-5)
    assert found[0] == pytest.approx(-(con + cls), rel=1e-5)


@pytest.mark.usefixtures("still")
def test_without_balancing_the_terms_are_plain_sums():
    ctx = context(flat(51, 204))
    scoring.score(ByHand(), flat(102), Scoring(views=1, balance=False), "rotate", ctx)  # type: ignore[arg-type]
    assert ctx.parts["cls"][0] == pytest.approx(-(0.4 * (1 + 2 + 3 + 4) / 4), rel=1e-5)


def test_an_image_of_the_training_set_is_most_normal_by_con():
    """s_con of a training image is its own norm: no other image of that norm has more."""
    bank = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    s = scoring.normality(bank, bank)
    assert s.tolist() == [[5.0, pytest.approx(1.0)]]


def test_normality_in_blocks_equals_the_plain_product(monkeypatch):
    g = torch.Generator().manual_seed(0)
    c, bank = torch.randn(4, 23, 6, generator=g), torch.randn(4, 17, 6, generator=g)
    whole = (c @ torch.nn.functional.normalize(bank, dim=2).mT).amax(dim=2)
    monkeypatch.setattr(scoring, "BANK_BLOCK", 5)
    torch.testing.assert_close(scoring.normality(c, bank), whole)


def test_the_views_are_drawn_once_for_all_images_and_from_the_seed(monkeypatch):
    drawn: list[int] = []
    real = views.draw

    def spy(count, area, generator):
        drawn.append(count)
        assert area == (0.54, 0.54)
        return real(count, area, generator)

    monkeypatch.setattr(views, "draw", spy)
    ctx = context(flat(10, 20, 30))
    scoring.score(ByHand(), flat(1, 2), Scoring(views=3), "rotate", ctx)  # type: ignore[arg-type]
    assert (
        drawn == [1] * (3 * views.SHIFTS) * 2
    )  # once for the training images, once for these, the same draws


@pytest.mark.parametrize(("wanted", "expected"), [("train", "perm"), ("rotate", "rotate")])
@pytest.mark.parametrize("plain", [[], ["one_resampling"]])
def test_the_shift_of_the_scoring_can_differ_from_the_trained_one(monkeypatch, plain, wanted, expected):
    """By what the network is shown of an image of four quarters, where no view changes anything."""
    monkeypatch.setattr(views, "draw", lambda count, area, generator: unchanged(count))
    shown: list[Tensor] = []
    network = ByHand(*plain)
    network.register_forward_pre_hook(lambda module, given: shown.append(given[0]))
    image = np.kron(np.array([[10, 60], [120, 240]], np.uint8), np.ones((4, 4), np.uint8))[None, None]
    scoring.score(network, image, Scoring(views=1, shift=wanted), "perm", context(flat(3)))  # type: ignore[arg-type]
    mine = torch.cat(shown[views.SHIFTS :])
    torch.testing.assert_close(
        mine, views.shifted(torch.from_numpy(image) / 255, expected), atol=1e-5, rtol=0
    )  # type: ignore[arg-type]
