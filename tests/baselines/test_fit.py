"""How the baselines train: steps, schedule and clipping by hand; a loss that is no number stops the run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from methods import CPU, context
from torch import Tensor, nn

from baselines.fit import Fit, cosine
from baselines.info.common import Epochs
from suite.detector import Interrupted
from suite.training import loop

IMAGES = np.full((5, 1, 1, 1), 2, np.uint8)


class Weight(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0))
        self.frozen = nn.Parameter(torch.tensor(3.0), requires_grad=False)

    def loss(self, images: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """w x the mean pixel: the gradient of w is 2."""
        return {"a": self.w * images.float().mean(), "b": self.w * 0}


def sgd(weight: Weight, epochs: int = 1, batch: int = 2, lr: float = 0.1, **options: object) -> Fit:
    optimiser = torch.optim.SGD([weight.w], lr=lr)
    train = Epochs(epochs=epochs, batch=batch, lr=lr)
    return Fit(weight, weight.loss, len(IMAGES), train, context(), optimiser=optimiser, **options)


def ignore(step: int, total: int) -> None:
    return None


@pytest.mark.parametrize(("last", "steps"), [("partial", 6), ("drop", 4), ("carry", 5)])
def test_steps_of_two_epochs(last: str, steps: int) -> None:
    weight = Weight()
    fit = sgd(weight, epochs=2, last=last)
    loop.run(fit, IMAGES, context(), ignore)
    assert fit.step == fit.total == steps
    assert weight.w.item() == pytest.approx(1 - steps * 0.1 * 2, abs=1e-6)
    assert weight.frozen.item() == 3.0


def test_schedule_and_clip() -> None:
    weight = Weight()
    fit = sgd(weight, epochs=2, batch=5, schedule=lambda part: 1.0 if part < 0.5 else 0.5, clip=0.4)
    loop.run(fit, IMAGES, context(), ignore)
    assert weight.w.item() == pytest.approx(1 - 0.1 * 0.4 - 0.05 * 0.4)


def test_cosine() -> None:
    assert [cosine(part) for part in (0, 0.5, 1)] == pytest.approx([1, 0.5, 0])


def test_a_batch_is_no_larger_than_the_set() -> None:
    assert sgd(Weight(), batch=64).total == 1


def test_the_mean_loss_is_told_by_its_terms() -> None:
    fit = sgd(Weight())
    fit.advance(torch.full((1, 1, 1, 1), 2, dtype=torch.uint8))
    fit.advance(torch.full((1, 1, 1, 1), 2, dtype=torch.uint8))
    assert fit.flush() == {"loss_a": pytest.approx((2 + 1.6) / 2), "loss_b": 0.0}


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    weight = Weight()
    with torch.no_grad():
        weight.w.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"loss \(a, b\) is not finite at step \d+: lower train\.lr"):
        loop.run(sgd(weight), IMAGES, context(), ignore)


def test_it_goes_on_to_the_bit(tmp_path) -> None:
    def made() -> tuple[Weight, Fit]:
        weight = Weight()
        noisy = lambda x, g: {"a": weight.w * torch.rand(1, generator=g).sum()}  # noqa: E731
        return weight, Fit(weight, noisy, 5, Epochs(epochs=4, batch=2, lr=0.1), context(3))

    whole, fit = made()
    loop.run(fit, IMAGES, context(3), ignore)
    asked = iter(range(99))
    _, fit = made()
    stopping = context(3, folder=tmp_path, stop=lambda: next(asked) >= 4)
    with pytest.raises(Interrupted):
        loop.run(fit, IMAGES, stopping, ignore)
    rest, fit = made()
    loop.run(fit, IMAGES, context(3, folder=tmp_path), ignore)
    assert torch.equal(rest.w, whole.w)
    assert rest.w.device == CPU
