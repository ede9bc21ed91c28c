"""FastFlow: its loss and map by hand, the shape of its flows, and that it learns where lesions are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from FrEIA.modules import AllInOneBlock
from methods import build, context, fitted, lesions
from torch.nn import functional as F

from baselines.fastflow import Flows, loss
from baselines.flows import drawn, log_normality
from baselines.info.fastflow import Flow

SHAPES = [(4, 4, 4), (6, 2, 2)]


def flows(**settings: object) -> Flows:
    with drawn(0):
        return Flows(SHAPES, Flow.parse({"steps": 2, **settings}))


def maps(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(count, *shape, generator=generator) for shape in SHAPES]


def test_the_loss_is_the_negative_log_likelihood_of_each_image() -> None:
    """From the Jacobian by autograd, summed over scales and averaged over the batch: not summed over it."""
    model = flows().double()
    given = [one.double() for one in maps(2)]
    expected = 0.0
    for at, (norm, flow) in enumerate(zip(model.norms, model.flows, strict=True)):
        for x in F.layer_norm(given[at], given[at].shape[1:]):
            assert torch.allclose(norm(given[at]), F.layer_norm(given[at], given[at].shape[1:]))
            jacobian = torch.autograd.functional.jacobian(lambda y, flow=flow: flow(y[None])[0][0], x)
            side = x.numel()
            z = flow(x[None])[0]
            logdet = torch.linalg.slogdet(jacobian.reshape(side, side))[1]
            expected += (0.5 * (z**2).sum() - logdet).item() / 2
    assert sum(loss(model(given))).item() == pytest.approx(expected, rel=1e-9)


def test_the_mean_of_squares_over_channels_makes_the_map() -> None:
    z = maps(2)[0]
    expected = -0.5 * (z.numpy() ** 2).mean(axis=1)
    np.testing.assert_allclose(log_normality(z).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(("kernels", "expected"), [("3-1", [3, 1, 3, 1]), ("3", [3, 3, 3, 3])])
def test_kernels_and_widths(kernels: str, expected: list[int]) -> None:
    model = flows(kernels=kernels, steps=4, ratio=0.5)
    for flow, (channels, *_) in zip(model.flows, SHAPES, strict=True):
        assert [block.subnet[0].kernel_size[0] for block in flow] == expected
        for block in flow:
            assert isinstance(block, AllInOneBlock)
            assert block.clamp == 2.0
            assert block.subnet[0].out_channels == int(0.5 * (channels - channels // 2))
            assert set(block.w_perm.unique().tolist()) == {0.0, 1.0}, "a hard permutation"


def test_the_score_is_that_of_the_official_map() -> None:
    """The lowest likelihood of a place: upsampled, averaged over scales, as it is published."""
    detector = fitted("fastflow", lesions(16, 0))
    images = torch.from_numpy(np.array(lesions(4, 1)))
    x = detector.network.inputs(images)
    with torch.no_grad():
        found = detector.flows(detector.network(x))
    probabilities = [torch.exp(-0.5 * (z.double() ** 2).mean(1, keepdim=True)) for z, _ in found]
    fine = [F.interpolate(-one, x.shape[-2:], mode="bilinear", align_corners=False) for one in probabilities]
    official = torch.stack(fine).mean(0).amax((1, 2, 3))
    scores = detector.score(lesions(4, 1), context())
    np.testing.assert_allclose(np.exp(-scores), -official.numpy(), rtol=1e-4)
    assert (np.argsort(scores) == np.argsort(official.numpy())).all()


def test_only_flows_and_norms_are_trained_and_the_loss_falls() -> None:
    detector = build("fastflow", '"train.epochs" = 8')
    told: list[float] = []
    seen = context(progress=lambda done, total, means: told.append(sum(means.values())) if means else None)
    detector.fit(lesions(32, 0), seen)
    assert told[-1] < told[0]
    assert not any(weight.requires_grad for weight in detector.network.parameters())


def test_lesions_are_found() -> None:
    detector = fitted("fastflow", lesions(100, 0), '"train.epochs" = 10')
    scores = detector.score(lesions(20, 1), context())
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.7, "the AUROC on coarse lesions"
