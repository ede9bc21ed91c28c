"""CFLOW-AD: likelihoods against autograd and scipy, its positions, steps and rates, and a score of the image alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from methods import context, fitted, lesions
from scipy.stats import norm
from torch.nn import functional as F

from baselines.backbones import Features
from baselines.cflow import Fibres, Flows, position_code, schedule, vectors
from baselines.flows import drawn
from baselines.frozen import Frozen
from baselines.info.cflow import SIZES, STRIDES, CflowTraining, ConditionalFlow

TRAIN, TEST = lesions(16, 0), lesions(5, 1)


def flows(**settings: object) -> Flows:
    with drawn(0):
        return Flows((6, 4), ConditionalFlow.parse({"steps": 2, "condition": 8, **settings}))


def test_the_likelihood_is_that_of_the_density() -> None:
    """log p(x) / C from the Jacobian by autograd and scipy's normal density, under its position's code."""
    model = flows().double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.5 * torch.randn(weight.shape, generator=generator))
    x = torch.randn(3, 6, dtype=torch.double, generator=generator)
    code = torch.randn(3, 8, dtype=torch.double, generator=generator)
    expected = []
    for one, where in zip(x, code, strict=True):
        forward = lambda y, where=where: model.flows[0](y[None], [where[None]])[0][0]  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(forward, one)
        density = norm.logpdf(forward(one).detach().numpy()).sum() + torch.linalg.slogdet(jacobian)[1].item()
        expected.append(density / 6)
    assert model.log_likelihood(0, x, code).tolist() == pytest.approx(expected, rel=1e-6)
    assert model.log_likelihood(0, x, code.flip(0)).tolist() != pytest.approx(expected, rel=1e-3)


def test_positions_by_hand() -> None:
    code = position_code(8, 2, 3)
    assert code.shape == (6, 8)
    for row in range(2):
        for column in range(3):
            expected = [
                wave(at * 10000 ** (-k / 4))
                for at in (column, row)
                for k in (0, 2)
                for wave in (math.sin, math.cos)
            ]
            assert code[3 * row + column].tolist() == pytest.approx(expected, abs=1e-6)


def test_channels_are_mixed_by_rotations() -> None:
    for block in flows().flows[0]:
        torch.testing.assert_close(block.w_perm @ block.w_perm.T, torch.eye(6), atol=1e-5, rtol=0)
        assert torch.linalg.det(block.w_perm).item() == pytest.approx(1, abs=1e-5)
        assert block.w_perm.abs().max() < 1, "no permutation"
        assert [block.subnet[0].in_features, block.subnet[0].out_features] == [3 + 8, 2 * (3 + 8)]


def test_the_rate_rises_over_two_parts_and_falls_in_steps() -> None:
    def annealed(meta: int) -> float:
        return 1e-3 + 0.999 * (1 + math.cos(math.pi * meta / 25)) / 2

    assert schedule(25, 0) == pytest.approx(0.1)
    assert schedule(25, 1 / 25) == pytest.approx((0.1 + annealed(2)) / 2)
    for meta in range(2, 25):
        assert schedule(25, meta / 25) == pytest.approx(annealed(meta))
        assert schedule(25, (meta + 0.9) / 25) == pytest.approx(annealed(meta))


def trainee(fibres: int) -> tuple[Fibres, Frozen]:
    settings = CflowTraining.parse(
        {
            "flow": {"steps": 2, "condition": 8, "fibres": fibres},
            "train": {"batch": 4, "epochs": 1},
            "weights": "none",
            "backbone": "resnet18",
        }
    )
    frozen = Frozen(Features(settings, STRIDES, SIZES, 0), TRAIN, context())
    with drawn(0):
        model = Flows(frozen.features.channels, settings.flow)
    return Fibres(model, frozen, len(TRAIN), settings, context()), frozen


def test_vectors_are_taken_once_each_with_their_position() -> None:
    fit, _ = trainee(5)
    maps = torch.arange(2.0 * 3 * 2 * 4).view(2, 3, 2, 4)
    parts = fit.shuffled(maps, context().generator("order"))
    assert [len(x) for x, _ in parts] == [5, 5, 5], "16 vectors: one is left out"
    fit.size = 256
    assert [len(x) for x, _ in fit.shuffled(maps, context().generator("order"))] == [16]
    code = position_code(8, 2, 4)
    where = {tuple(vector.tolist()): at % 8 for at, vector in enumerate(vectors(maps))}
    seen = [tuple(vector.tolist()) for x, _ in parts for vector in x]
    assert len(set(seen)) == 15
    for x, codes in parts:
        for vector, found in zip(x, codes, strict=True):
            assert torch.equal(found, code[where[tuple(vector.tolist())]])


def test_a_step_is_a_step_of_each_flow_alone() -> None:
    """Against three optimisers by hand, one a scale; and the loss is -log sigmoid(log p / C)."""
    fit, frozen = trainee(8)
    images = torch.from_numpy(np.array(TRAIN[:4]))
    with drawn(0):
        other = Flows(frozen.features.channels, ConditionalFlow(steps=2, condition=8))
    generator = context().generator("fit")
    parts = [fit.shuffled(one, generator) for one in frozen(images)]
    assert [len(one) for one in parts] == [8, 2, 1]
    means = []
    for scale, batches in enumerate(parts):
        adam = torch.optim.Adam(other.flows[scale].parameters(), lr=2e-5)
        losses = []
        for x, code in batches:
            loss = torch.log1p(torch.exp(-other.log_likelihood(scale, x, code))).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        means.append(np.mean(losses))
    fit.advance(images)
    for name, weight in fit.flows.state_dict().items():
        torch.testing.assert_close(weight, other.state_dict()[name], atol=1e-7, rtol=1e-5, msg=name)
    assert fit.step == 1
    found = fit.flush()
    assert list(found.values()) == pytest.approx(means, rel=1e-5)
    assert list(found) == ["loss_stride8", "loss_stride16", "loss_stride32"]


def test_the_score_is_the_published_one_scaled_by_the_training_images() -> None:
    """exp(log p / C - m) upsampled and added up: the image's least normal place; m is the largest in training."""
    detector = fitted("cflow", TRAIN)

    def likelihoods(images: np.ndarray) -> list[torch.Tensor]:
        with torch.no_grad():
            x = detector.network.inputs(torch.from_numpy(np.array(images)))
            return [one.double() for one in detector.flows(detector.network(x))]

    highest = [one.max() for one in likelihoods(TRAIN)]
    assert detector.highest.tolist() == pytest.approx([float(one) for one in highest], rel=1e-4)
    total = sum(
        F.interpolate((one - m).exp()[:, None], (32, 32), mode="bilinear", align_corners=True)
        for one, m in zip(likelihoods(TEST), highest, strict=True)
    )
    lowest = total.amin((1, 2, 3)) / 3
    np.testing.assert_allclose(np.exp(-detector.score(TEST, context())), lowest.numpy(), rtol=1e-3)


def test_an_image_scores_the_same_beside_any_other() -> None:
    """The trap of the official code: a very normal or very strange image beside it scales nothing."""
    detector = fitted("cflow", TRAIN)
    alone = detector.score(TEST[:1], context())
    extreme = np.concatenate([TEST[:1], np.zeros_like(TEST[:1]), np.full_like(TEST[:1], 255), TRAIN])
    assert detector.score(extreme, context())[0] == pytest.approx(alone[0], rel=1e-5)


def test_lesions_are_found() -> None:
    detector = fitted("cflow", lesions(64, 0), '"train.epochs" = 8')
    scores = detector.score(lesions(20, 1), context())
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.7, "the AUROC on coarse lesions"
