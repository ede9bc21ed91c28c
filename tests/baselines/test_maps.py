"""Anomaly maps: brought to one size, smoothed with a width that follows the image, and read off at their peak."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from baselines.maps import peak, smoothed, upsampled


def test_maps_of_two_sizes_by_hand() -> None:
    flat, ramp = torch.full((1, 1, 1), 3.0), torch.tensor([[[0.0, 4.0], [0.0, 4.0]]])
    made = upsampled([flat, ramp], (4, 4))
    assert made.shape == (2, 1, 4, 4)
    assert (made[0] == 3).all()
    assert made[1, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]
    aligned = upsampled([ramp], (5, 5), corners=True)
    assert aligned[0, 0, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(("side", "sigma"), [(256, 4.0), (128, 2.0), (64, 1.0)])
def test_the_width_follows_the_image(side: int, sigma: float) -> None:
    """Against scipy's filter of that many pixels, cut off at four sigma."""
    maps = torch.rand(2, side, side, generator=torch.Generator().manual_seed(0))
    expected = np.stack([gaussian_filter(one, sigma, mode="mirror", truncate=4.0) for one in maps.numpy()])
    np.testing.assert_allclose(smoothed(maps).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("side", [1, 2, 4, 7])
def test_the_smallest_maps_are_taken(side: int) -> None:
    assert smoothed(torch.ones(1, side, side)).shape == (1, side, side)


def test_the_peak() -> None:
    assert peak(torch.tensor([[[1.0, 5.0], [2.0, 0.0]], [[-1.0, -3.0], [-2.0, -9.0]]])).tolist() == [
        5.0,
        -1.0,
    ]
