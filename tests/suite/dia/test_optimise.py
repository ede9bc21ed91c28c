"""LARS against its formula, and the schedule at its corners."""

import math

import pytest
import torch

from suite.dia.info import Train
from suite.dia.optimise import LARS, build, learning_rate


def test_two_steps_of_lars_follow_the_formula():
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    lr, momentum, decay, trust, eps = 0.5, 0.9, 0.01, 1e-3, 1e-8
    optimiser = LARS([w], lr, momentum, decay, trust, eps)
    expected, velocity = [3.0, 4.0], [0.0, 0.0]
    for gradient in ([1.0, 0.0], [0.0, 2.0]):
        w.grad = torch.tensor(gradient)
        optimiser.step()
        norm_w, norm_g = math.hypot(*expected), math.hypot(*gradient)
        ratio = trust * norm_w / (norm_g + decay * norm_w + eps)
        for i in range(2):
            velocity[i] = momentum * velocity[i] + ratio * (gradient[i] + decay * expected[i])
            expected[i] -= lr * velocity[i]
    assert w.tolist() == pytest.approx(expected, rel=1e-6)


def test_lars_does_not_scale_where_a_norm_is_zero():
    w = torch.zeros(2, requires_grad=True)
    optimiser = LARS([w], lr=1.0, weight_decay=0.0)
    w.grad = torch.tensor([0.1, 0.2])
    optimiser.step()
    assert w.tolist() == pytest.approx([-0.1, -0.2])


def test_lars_scales_each_parameter_by_its_own_norms():
    a, b = torch.full((4,), 2.0, requires_grad=True), torch.full((1,), 8.0, requires_grad=True)
    a.grad, b.grad = torch.full((4,), 1e-4), torch.full((1,), 100.0)
    LARS([a, b], lr=1.0).step()
    # lr eta |w| along g / |g|: |a| = 4, so 4e-3 split over four equal entries is 2e-3 each; |b| = 8.
    assert a.tolist() == pytest.approx([2.0 - 2e-3] * 4, rel=1e-5)
    assert b.tolist() == pytest.approx([8.0 - 8e-3], rel=1e-5)


def test_the_state_of_lars_can_be_kept():
    def train(steps: int, state: dict | None = None, start: torch.Tensor | None = None):
        w = torch.tensor([3.0, 4.0]) if start is None else start.clone()
        w.requires_grad_()
        optimiser = LARS([w], lr=0.5)
        if state is not None:
            optimiser.load_state_dict(state)
        for _ in range(steps):
            w.grad = w.detach() * 0.3
            optimiser.step()
        return w.detach(), optimiser.state_dict()

    half, state = train(2)
    assert torch.equal(train(2, state, half)[0], train(4)[0])


def test_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate(step, 110, 10, 2.0) for step in range(111)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[5] == pytest.approx(2.0 * 0.55)
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.0)
    assert rates[110] == pytest.approx(0.0, abs=1e-12)
    assert learning_rate(0, 100, 0, 2.0) == 2.0


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD), ("lars", LARS)]
)
def test_the_settings_name_the_optimiser(name, kind):
    optimiser = build(
        [torch.zeros(1, requires_grad=True)], Train(optimiser=name, lr=0.25, weight_decay=0.125)
    )
    assert isinstance(optimiser, kind)
    assert optimiser.param_groups[0]["lr"] == 0.25
    decay = optimiser.decay if name == "lars" else optimiser.param_groups[0]["weight_decay"]
    assert decay == 0.125
