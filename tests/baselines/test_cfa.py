"""CFA: its loss, centroids and score by hand; and what is known to go wrong in it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from methods import build, context, fitted
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.spatial.distance import cdist
from scipy.special import softmax
from torch.nn import functional as F

from baselines.cfa import Descriptor
from baselines.info.cfa import Spheres
from suite.data import phantom
from suite.metrics import auroc

TRAIN = phantom.generate(60, 0, 32, 0, "coarse").images
TEST = phantom.generate(10, 10, 32, 1, "coarse").images
SHAPES = [(4, 4, 4), (6, 2, 2)]


def descriptor(efficient: bool = False, **spheres: float) -> Descriptor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Descriptor(SHAPES, Spheres.parse(spheres), efficient).double()
        made.centroids.copy_(torch.randn(made.centroids.shape, dtype=torch.float64))
    return made


def maps(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, *shape, generator=generator, dtype=torch.float64) for shape in SHAPES]


def test_maps_are_averaged_with_nothing_beyond_the_edge_and_joined() -> None:
    given = maps()
    found = descriptor().joined(given)
    fine, coarse = (
        np.stack([[uniform_filter(c, 3, mode="constant") for c in one] for one in level.numpy()])
        for level in given
    )
    np.testing.assert_allclose(found[:, :4].numpy(), fine)
    large = F.interpolate(torch.from_numpy(coarse), (4, 4), mode="bilinear")
    torch.testing.assert_close(found[:, 4:], large)
    torch.testing.assert_close(
        descriptor(efficient=True).joined(given), torch.cat([found[:, :4] / 4, found[:, 4:] / 6], 1)
    )


def test_the_descriptor_sees_where_it_is() -> None:
    made = descriptor()
    with torch.no_grad():
        made.layer.weight.zero_()
        made.layer.bias.zero_()
        made.layer.weight[0, 10] = made.layer.weight[1, 11] = 1.0
        found = made(torch.zeros(1, 10, 4, 4, dtype=torch.float64))
    line = torch.linspace(-1, 1, 4)[:, None].expand(4, 4).double()
    down, along = (found[0, :, channel].view(4, 4) for channel in (0, 1))
    torch.testing.assert_close(down, line)
    torch.testing.assert_close(along, line.T)


def test_its_width() -> None:
    assert descriptor().centroids.shape == (16, 10)
    assert descriptor(efficient=True).centroids.shape == (16, 20)


@pytest.mark.parametrize("radius", [1e-5, 3.0])
def test_the_loss_by_hand(radius: float) -> None:
    made = descriptor(radius=radius, attracted=2, repelled=4)
    phi = made(made.joined(maps()))
    found = made.terms(phi)
    squared = np.sort(cdist(phi.detach().numpy().reshape(-1, 10), made.centroids.numpy()) ** 2, axis=1)
    attraction = np.maximum(0, squared[:, :2] - radius**2).mean() / 1e-3
    repulsion = np.maximum(0, radius**2 - squared[:, 2:6] - 0.1).mean() / 1e-3
    assert found["attraction"].item() == pytest.approx(attraction)
    assert found["repulsion"].item() == pytest.approx(repulsion)
    assert (repulsion > 0) == (radius == 3.0)


def test_the_radius_is_learnt_and_weight_decay_reaches_it() -> None:
    """It is a parameter: with a fixed one of 1e-5 nothing is ever repelled."""
    made = descriptor()
    sum(made.terms(made(made.joined(maps()))).values()).backward()
    assert float(made.radius.grad) < 0, "a larger sphere costs less"
    assert fitted("cfa", TRAIN[:8]).descriptor.radius.item() > 1e-3


def test_a_patch_on_its_centroid_gives_no_nan() -> None:
    made = descriptor()
    terms = made.terms(made.centroids[None].clone().requires_grad_(True))
    sum(terms.values()).backward()
    assert torch.isfinite(made.radius.grad).all()
    detector = fitted("cfa", TRAIN[:1], '"train.epochs" = 1')
    assert np.isfinite(detector.score(TRAIN[:1], context())).all()


def test_centroids_are_the_mean_before_training_and_stay() -> None:
    before = build("cfa", '"train.lr" = 1e-12\n"train.weight_decay" = 0.0')
    before.fit(TRAIN[:10], context())
    with torch.no_grad():
        x = before.network.inputs(torch.from_numpy(TRAIN[:10].copy()))
        phi = before.descriptor(before.descriptor.joined(before.network(x)))
    torch.testing.assert_close(before.descriptor.centroids, phi.mean(0), rtol=1e-4, atol=1e-5)
    after = fitted("cfa", TRAIN[:10])
    assert torch.equal(after.descriptor.centroids, before.descriptor.centroids)
    assert not torch.equal(after.descriptor.layer.weight, before.descriptor.layer.weight)


@pytest.fixture(scope="module")
def known() -> Any:
    return fitted("cfa", TRAIN)


def test_the_score_by_hand(known: Any) -> None:
    with torch.no_grad():
        x = known.network.inputs(torch.from_numpy(TEST.copy()))
        phi = known.descriptor(known.descriptor.joined(known.network(x))).numpy()
    apart = np.sort(cdist(phi.reshape(-1, phi.shape[2]), known.descriptor.centroids.numpy()), 1)[:, :3]
    grid = (softmax(-apart, axis=1)[:, 0] * apart[:, 0]).reshape(20, 1, 8, 8)
    large = F.interpolate(torch.from_numpy(grid), (32, 32), mode="bilinear")[:, 0].numpy()
    sigma = 4 * 32 / 224
    expected = [gaussian_filter(one, sigma, mode="mirror", truncate=4.0).max() for one in large]
    np.testing.assert_allclose(known.score(TEST, context()), expected, rtol=1e-3)


def test_lesions_are_found(known: Any) -> None:
    assert auroc(np.repeat([0, 1], 10), known.score(TEST, context())) > 0.8


def test_more_spheres_than_places_are_refused() -> None:
    with pytest.raises(ValueError, match=r"spheres\.attracted \+ spheres\.repelled = 65, .* 64 places"):
        build("cfa", '"spheres.attracted" = 62').fit(TRAIN[:2], context())
