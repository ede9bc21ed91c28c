"""What the flows share: Jacobians and likelihoods against autograd and scipy, and scores in logarithms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from torch import nn
from torch.nn import functional as F

from baselines.flows import convolutions, drawn, sequence, surprise


def stirred(flow: nn.Module) -> nn.Module:
    """With weights and global scales far from where they start, in double precision."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in flow.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=generator))
    return flow.double()


def test_the_log_determinant_is_that_of_the_jacobian() -> None:
    with drawn(0):
        flow = sequence((4, 2, 3), [convolutions(3), convolutions(1, 0.5)], affine_clamping=2.0)
    x = torch.randn(3, 4, 2, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    z, logdet = stirred(flow)(x)
    assert z.shape == x.shape
    for one, found in zip(x, logdet, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda y: flow(y[None])[0][0].flatten(), one)
        assert found.item() == pytest.approx(
            torch.linalg.slogdet(jacobian.reshape(24, 24))[1].item(), abs=1e-8
        )
        assert abs(found.item()) > 0.1, "a determinant that says something"


def test_the_likelihood_of_a_flow_that_is_affine() -> None:
    """With couplings that do nothing, x = A^-1 (z - b) is normal: its density by scipy."""
    with drawn(0):
        flow = sequence((3,), [lambda i, o: nn.Linear(i, o)], permute_soft=True).double()
    with torch.no_grad():
        for weight in flow[0].subnet.parameters():
            weight.zero_()
        flow[0].global_scale += torch.tensor([[1.0, -2.0, 3.0]])
        flow[0].global_offset += torch.tensor([[0.5, 0.0, -1.0]])
    x = torch.randn(5, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    z, logdet = flow(x)
    offset = flow(torch.zeros(1, 3, dtype=torch.double))[0][0].detach()
    inverse = np.linalg.inv((flow(torch.eye(3, dtype=torch.double))[0] - offset).T.detach().numpy())
    density = multivariate_normal(mean=-inverse @ offset.numpy(), cov=inverse @ inverse.T)
    ours = -0.5 * z.square().sum(1) + logdet - 1.5 * np.log(2 * np.pi)
    assert ours.tolist() == pytest.approx(density.logpdf(x.numpy()).tolist(), abs=1e-6)


def test_drawn_repeats_and_leaves_both_generators_alone() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    flows = []
    for seed in (3, 3, 2**62):
        with drawn(seed):
            flows.append(sequence((6, 2, 2), [convolutions(3)] * 2).state_dict())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert all(torch.equal(flows[0][name], flows[1][name]) for name in flows[0])
    assert any((flows[0][name] != flows[2][name]).any() for name in flows[0] if "w_perm" in name)
    assert not [name for name in flows[0] if "inv" in name], "nothing is kept twice"


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_the_score_is_minus_the_logarithm_of_the_lowest_sum(h, w, height, width, corners) -> None:
    generator = torch.Generator().manual_seed(h * 100 + w)
    logs = [-3 * torch.rand(2, *shape, generator=generator) for shape in ((h, w), (2, 3))]
    fine = [
        F.interpolate(one.exp()[:, None], (height, width), mode="bilinear", align_corners=corners)[:, 0]
        for one in logs
    ]
    expected = -torch.stack(fine).mean(0).flatten(1).amin(1).log()
    assert surprise(logs, (height, width), corners).tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_nothing_underflows() -> None:
    """Two images whose places all have likelihoods of zero in any precision are still told apart."""
    logs = torch.tensor([-1000.0, -2000.0]).view(2, 1, 1).expand(2, 2, 2)
    assert surprise([logs, logs], (8, 8)).tolist() == pytest.approx([1000, 2000])
