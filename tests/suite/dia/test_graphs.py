"""A network is left with a graph only if it answers as before; what captures is written by the test, and, where there
is a CUDA device, torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from suite.detector import Context
from suite.dia import diffusion, graphs
from suite.dia.info import Diffusion


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def inputs() -> tuple[Tensor]:
    return (torch.rand(5, 3, generator=torch.Generator().manual_seed(0)),)


def faithful(module: nn.Module, shown: Any) -> None:
    plain = module.forward
    module.forward = lambda *given: plain(*given)  # type: ignore[method-assign]


def wrong_answers(module: nn.Module, shown: Any) -> None:
    plain = module.forward
    module.forward = lambda *given: plain(*given) * 1.01  # type: ignore[method-assign]


def stale_inputs(module: nn.Module, shown: Any) -> None:
    """What a graph does whose inputs are not copied to where it reads."""
    plain, kept = module.forward, torch.zeros_like(shown[0])
    module.forward = lambda *given: plain(kept)  # type: ignore[method-assign]


class Shared(torch.autograd.Function):
    """An identity whose gradient is a tenth of it from the second time on: no more than a sum over passes shows."""

    times = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        Shared.times += 1
        return gradients[0] if Shared.times == 1 else gradients[0] / 10


def wrong_second_gradient(module: nn.Module, shown: Any) -> None:
    plain = module.forward
    Shared.times = 0
    module.forward = lambda *given: Shared.apply(plain(*given))  # type: ignore[method-assign]


def fails(module: nn.Module, shown: Any) -> None:
    module.forward = lambda *given: None  # type: ignore[method-assign]
    raise RuntimeError("operation not permitted when stream is capturing\nmore of it")


def test_a_graph_that_answers_alike_is_kept() -> None:
    mine = network()
    assert graphs.capture(mine, inputs(), faithful)
    assert "forward" in vars(mine)
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in mine.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in mine.parameters())


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (wrong_answers, "its answers differ"),
        (stale_inputs, "its answers differ"),
        (wrong_second_gradient, "its answers differ"),
        (fails, "not permitted when stream is capturing$"),
    ],
)
def test_any_other_is_not(by: Callable[..., None], reason: str) -> None:
    mine, before = network(), network()
    with pytest.warns(UserWarning, match=reason):
        assert not graphs.capture(mine, inputs(), by)
    assert "forward" not in vars(mine)
    assert torch.equal(mine(*inputs()), before(*inputs()))
    for one, other in zip(mine.parameters(), before.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_diffusion_model_learns_the_same_where_it_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """With gradients set to zero, not to None, and two passes a step."""
    monkeypatch.setattr(diffusion, "MULTIPLIERS", (1, 2))
    seen: list[bool] = []

    def capture(self: Any) -> None:
        if seen.append(True) or len(seen) == 2:
            shown = (self.images[:4], torch.arange(4))
            self.graphed = graphs.capture(self.model.model, shown, faithful)
            assert self.graphed

    monkeypatch.setattr(diffusion._Trainer, "capture", capture)
    settings = Diffusion.parse({"dim": 8, "steps": 3, "batch": 4, "accumulate": 2})
    images = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    plain, captured = (
        diffusion.train(images, settings, 16, 0, Context(device=torch.device("cpu"), seed=0))
        for _ in range(2)
    )
    assert captured.graphed
    assert not plain.graphed
    for one, other in zip(plain.parameters, captured.parameters, strict=True):
        assert torch.equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_a_cuda_device_the_diffusion_model_is_captured() -> None:
    images = torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    settings = Diffusion.parse({"dim": 32, "steps": 3, "batch": 4, "accumulate": 2})
    trainer = diffusion.train(images, settings, 32, 0, Context(device=torch.device("cuda"), seed=0))
    assert trainer.graphed
