"""GANomaly's settings and what it says of its departures."""

from __future__ import annotations

import pydantic
import pytest

from baselines.info.ganomaly import GANOMALY, SIZES, Ganomaly, GanomalyScoring


def test_the_defaults_are_official() -> None:
    settings = Ganomaly()
    train, loss, network = settings.train, settings.loss, settings.network
    assert (train.epochs, train.batch, train.lr, train.weight_decay) == (15, 64, 2e-4, 0)
    assert (loss.adversarial, loss.image, loss.latent) == (1, 50, 1)
    assert (network.width, network.latent) == (64, 100)
    assert GanomalyScoring().distance == "squared"


@pytest.mark.parametrize(("pixels", "side"), [(16, 32), (28, 32), (32, 32), (48, 64), (224, 256)])
def test_sizes_are_powers_of_two_from_32(pixels: int, side: int) -> None:
    assert SIZES.side(pixels) == side
    told = GANOMALY.notes(Ganomaly(), {"size": pixels})
    assert (f"images resized from {pixels} to {side} px" in told) == (side != pixels)
    assert GANOMALY.sizes == "powers of two from 32 px"


def test_it_says_that_it_scores_in_eval_mode() -> None:
    assert any("running batch statistics" in line for line in GANOMALY.notes(Ganomaly(), {"size": 32}))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError):
        Ganomaly.parse({"loss": {"image": -1.0}})
