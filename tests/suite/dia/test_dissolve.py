"""Eq. 4 by hand, and what each dissolver does to an image's size, range and draw."""

import math

import pytest
import torch

from suite.dia.dissolve import (
    DiffusionDissolver,
    FixedDissolver,
    as_channels,
    dissolve,
    from_resolution,
    gaussian,
    median,
    to_resolution,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_eq4_by_hand_with_one_t_an_image():
    alphas_cumprod = torch.tensor([1.0, 0.64, 0.25])
    x = torch.tensor([0.2, 0.2, 0.2]).reshape(3, 1, 1, 1)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.full_like(x, 0.1)

    hat = dissolve(x, torch.tensor([0, 1, 2]), predict, alphas_cumprod).flatten().tolist()
    expected = [
        0.2,  # alpha bar 1: nothing is removed
        0.2 / 0.8 - math.sqrt(1 / 0.64 - 1) * 0.1,  # 0.25 - 0.75 * 0.1 = 0.175
        0.2 / 0.5 - math.sqrt(3) * 0.1,
    ]
    assert hat == pytest.approx(expected, abs=1e-6)
    assert hat[1] == pytest.approx(0.175, abs=1e-6)


def test_eq4_is_clamped_to_the_models_range():
    x = torch.full((2, 1, 1, 1), 0.9)
    hat = dissolve(x, torch.tensor([0, 0]), lambda x, t: torch.zeros_like(x), torch.tensor([0.25]))
    assert hat.flatten().tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("unit", "shown"), [(False, [-1.0, 1.0]), (True, [0.0, 1.0])])
def test_the_range_the_model_is_shown(unit, shown):
    seen: list[torch.Tensor] = []

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    d = DiffusionDissolver(predict, torch.ones(1000), (1, 1), 8, unit)
    x = torch.zeros(1, 1, 8, 8)
    x[..., 4:] = 1
    back = d(x, generator())
    assert [seen[0].min().item(), seen[0].max().item()] == shown
    torch.testing.assert_close(back, x)  # alpha bar 1 and no noise: the image itself, in [0, 1]


def test_t_is_drawn_for_each_image_within_the_range_ends_included():
    seen: list[torch.Tensor] = []

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(t)
        return torch.zeros_like(x)

    d = DiffusionDissolver(predict, torch.linspace(1, 0.1, 1000), (30, 33), 8, False)
    d(torch.zeros(400, 1, 8, 8), generator())
    assert sorted(set(seen[0].tolist())) == [30, 31, 32, 33]
    d.for_batch(torch.zeros(400, 1, 8, 8), generator())
    assert len(set(seen[1].tolist())) == 1


def test_28_px_is_padded_to_32_and_cropped_back():
    x = torch.rand(2, 1, 28, 28, generator=generator())
    small = to_resolution(x, 32)
    assert small.shape == (2, 1, 32, 32)
    torch.testing.assert_close(small[..., 2:30, 2:30], x)
    assert small[..., :2, :].abs().sum() == 0
    torch.testing.assert_close(from_resolution(small, 28), x)


def test_large_images_are_resized_bilinearly_without_antialias():
    x = torch.zeros(1, 1, 64, 64)
    x[..., 0, 0] = 1.0
    small = to_resolution(x, 32)
    assert small[0, 0, 0, 0].item() == pytest.approx(0.25)  # the mean of the 2 x 2 pixels at this place
    assert from_resolution(small, 64).shape == x.shape


def test_gaussian_has_the_stated_sigma():
    x = torch.zeros(1, 1, 15, 15)
    x[..., 7, 7] = 1.0
    blurred = gaussian(7)(x)[0, 0, 7]
    sigma = 0.3 * (3 - 1) + 0.8
    weights = torch.tensor([math.exp(-((i - 7) ** 2) / (2 * sigma**2)) for i in range(4, 11)])
    weights = weights / weights.sum()
    torch.testing.assert_close(blurred[4:11], weights * weights[3], atol=1e-6, rtol=1e-5)


def test_median_removes_a_single_bright_pixel():
    x = torch.zeros(1, 1, 9, 9)
    x[..., 4, 4] = 1.0
    assert median(3)(x).abs().sum() == 0


def test_fixed_dissolvers_keep_the_size_and_draw_nothing():
    x = torch.rand(2, 1, 28, 28, generator=generator())
    g = generator(5)
    before = g.get_state()
    assert FixedDissolver(gaussian(3), 32)(x, g).shape == x.shape
    torch.testing.assert_close(FixedDissolver(lambda x: x, None)(x, g), x)
    assert torch.equal(g.get_state(), before)


def test_gray_and_colours_are_converted():
    gray = torch.rand(2, 1, 4, 4, generator=generator())
    coloured = as_channels(gray, 3)
    assert coloured.shape == (2, 3, 4, 4)
    torch.testing.assert_close(as_channels(coloured, 1), gray)
    red = torch.zeros(1, 3, 1, 1)
    red[:, 0] = 1
    assert as_channels(red, 1).item() == pytest.approx(0.299)
    assert as_channels(red, 3) is red


@pytest.mark.parametrize(("own", "theirs"), [(1, 3), (3, 1), (3, 3)])
def test_a_foreign_model_sees_its_own_channels_and_the_image_keeps_its(own, theirs):
    seen: list[torch.Tensor] = []

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return torch.zeros_like(x)

    d = DiffusionDissolver(predict, torch.ones(1000), (1, 1), 32, True, theirs)
    x = torch.rand(2, own, 28, 28, generator=generator())
    assert d(x, generator()).shape == x.shape
    assert seen[0].shape == (2, theirs, 32, 32)
