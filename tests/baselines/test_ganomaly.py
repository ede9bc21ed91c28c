"""GANomaly: its networks, losses, two steps and score, against values by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from methods import context, fitted, lesions
from torch import Tensor, nn

from baselines import ganomaly
from baselines.info.ganomaly import SIZES, Ganomaly, GanomalyNetwork, GanomalyScoring
from baselines.inputs import Inputs

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 1, 32, 32), dtype=np.uint8)
SLIM = {"network": {"width": 4, "latent": 5}, "train": {"batch": 4, "epochs": 2}}


def slim(**more: Any) -> Ganomaly:
    return Ganomaly.parse({**SLIM, **more})


def trainee(settings: Ganomaly | None = None, count: int = 6, seed: int = 0) -> ganomaly.Adversarial:
    settings = settings or slim()
    made = ganomaly.Generator(32, 1, settings.network)
    judge = ganomaly.Discriminator(32, 1, settings.network.width)
    for one in (made, judge):
        ganomaly.drawn(one, torch.Generator().manual_seed(seed))
    both = ganomaly.Adversarial(made, judge, Inputs(SIZES, channels=0), count, settings, context(seed))
    both.prepare()
    return both


def weights(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


@pytest.mark.parametrize(
    ("side", "widths"), [(32, [4, 8, 16]), (64, [4, 8, 16, 32]), (256, [4 << i for i in range(6)])]
)
def test_each_layer_halves_until_the_map_is_4_x_4(side: int, widths: list[int]) -> None:
    encoder = ganomaly.encoder(side, 3, 4, 7)
    convolutions = [one for one in encoder if isinstance(one, nn.Conv2d)]
    assert [one.out_channels for one in convolutions] == [*widths, 7]
    assert all(one.bias is None for one in convolutions)
    norms = [one.num_features for one in encoder if isinstance(one, nn.BatchNorm2d)]
    assert norms == widths[1:], "the first convolution has no norm"
    decoder = ganomaly.decoder(side, 3, 4, 7)
    opened = [one.in_channels for one in decoder if isinstance(one, nn.ConvTranspose2d)]
    assert opened == [7, *widths[::-1]]
    image = decoder(encoder(torch.rand(2, 3, side, side)))
    assert image.shape == (2, 3, side, side)
    assert image.abs().max() <= 1


def test_parameters_of_the_official_network_at_32_px() -> None:
    one_encoder = 16 * (64 + 64 * 128 + 128 * 256 + 256 * 100) + 2 * (128 + 256)
    its_decoder = 16 * (100 * 256 + 256 * 128 + 128 * 64 + 64) + 2 * (256 + 128 + 64)
    generator = ganomaly.Generator(32, 1, GanomalyNetwork())
    assert sum(p.numel() for p in generator.parameters()) == 2 * one_encoder + its_decoder
    discriminator = ganomaly.Discriminator(32, 1, 64)
    assert sum(p.numel() for p in discriminator.parameters()) == one_encoder - 16 * 256 * 99
    assert discriminator.features(torch.rand(2, 1, 32, 32)).shape == (2, 256, 4, 4)


def test_initial_weights() -> None:
    network = ganomaly.Generator(32, 3, GanomalyNetwork())
    ganomaly.drawn(network, torch.Generator().manual_seed(0))
    kernel, norm = network.encode[2].weight, network.encode[3]
    assert abs(kernel.std().item() - 0.02) < 1e-3
    assert abs(kernel.mean().item()) < 1e-3
    assert abs(norm.weight.mean().item() - 1) < 0.01
    assert 0.01 < norm.weight.std().item() < 0.03
    assert not norm.bias.any()


def test_the_generators_losses_by_hand() -> None:
    both = trainee(slim(loss={"adversarial": 2.0, "image": 3.0, "latent": 5.0}))
    code, again = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    both.made = lambda x: (0.5 * x, code, again)
    both.judge = SimpleNamespace(features=lambda x: x.mean((1, 2, 3)), requires_grad_=lambda wanted: None)
    terms = both.losses(torch.full((1, 1, 32, 32), 255, dtype=torch.uint8), both.generator)
    assert {name: float(value) for name, value in terms.items()} == {
        "adversarial": pytest.approx(2 * (1 - 0.5) ** 2),  # white is 1, half of it 0.5
        "image": pytest.approx(3 * 0.5),
        "latent": pytest.approx(5 * (1 + 4) / 2),
    }


def test_a_step_moves_both_and_tells_the_discriminators_loss() -> None:
    both = trainee()
    nn.init.zeros_(both.judge.head.weight)  # undecided: the cross entropy is log 2 either way
    before = weights(both.made), weights(both.judge)
    both.advance(torch.from_numpy(IMAGES[:4]))
    assert all((a != b).any() for a, b in zip(before[0], weights(both.made), strict=True))
    assert (before[1][-1] != weights(both.judge)[-1]).any()
    assert both.flush()["loss_discriminator"] == pytest.approx(math.log(2), abs=1e-6)
    assert both.step == 1
    assert both.optimiser.param_groups[0]["betas"] == both.judging.param_groups[0]["betas"] == (0.5, 0.999)


def test_the_generator_moves_first_and_leaves_the_discriminator() -> None:
    """The discriminator's gradients are of its own loss alone: those for the images before the generator's step."""
    both, alone = trainee(), trainee()
    alone.optimiser.step = lambda: None  # type: ignore[method-assign]
    for one in (both, alone):
        one.advance(torch.from_numpy(IMAGES[:4]))
    for a, b in zip(weights(both.judge), weights(alone.judge), strict=True):
        assert torch.equal(a, b)


def test_a_discriminator_that_has_won_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    both, kept = trainee(), trainee()
    kept.advance(torch.from_numpy(IMAGES[:4]))
    monkeypatch.setattr(ganomaly, "COLLAPSED", math.inf)
    both.advance(torch.from_numpy(IMAGES[:4]))
    expected = ganomaly.Discriminator(32, 1, 4)
    ganomaly.drawn(expected, context(0).generator("fit"))
    assert all(torch.equal(a, b) for a, b in zip(weights(both.judge), weights(expected), strict=True))
    assert not torch.equal(weights(kept.judge)[0], weights(expected)[0])


def test_what_fills_no_batch_is_dropped() -> None:
    assert trainee(count=6).total == 2
    assert trainee(count=3).total == 2, "a set smaller than a batch is one batch"


@pytest.mark.parametrize(("distance", "score"), [("squared", 2.5), ("absolute", 1.5)])
def test_the_score_by_hand(distance: str, score: float) -> None:
    detector = ganomaly.Ganomaly(slim(), GanomalyScoring.parse({"distance": distance}))

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            code = torch.tensor([[1.0, 2.0]]).expand(len(x), 2)
            return x, code, torch.tensor([[0.0, 4.0]]).expand(len(x), 2)

    detector.network = Fixed()
    assert detector.score(IMAGES, context()).tolist() == [score] * 6


def test_it_learns_to_reconstruct() -> None:
    """The reconstruction of a bright disc, unseen, beats the constant image that is best on average."""
    images = lesions(32, 0)
    settings = {
        "network.width": 8,
        "network.latent": 16,
        "train.batch": 8,
        "train.lr": 2e-3,
        "train.epochs": 20,
    }
    lines = "\n".join(f'"{name}" = {value}' for name, value in settings.items())
    detector = fitted("ganomaly", images, lines)
    x = detector.inputs(torch.from_numpy(np.array(lesions(4, 1)[:4])))
    with torch.no_grad():
        remade, _, _ = detector.network.eval()(x)
    assert (remade - x).abs().mean() < 0.8 * (x - x.median()).abs().mean()


def test_images_that_are_not_square_are_refused() -> None:
    detector = ganomaly.Ganomaly(slim(), GanomalyScoring())
    with pytest.raises(ValueError, match="GANomaly takes square images, not 32 x 64"):
        detector.fit(np.zeros((4, 1, 32, 64), np.uint8), context())
