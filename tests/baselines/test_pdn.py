"""EfficientAD's networks: shapes and receptive field as published, one map with and without padding, and jitter."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms import functional as vision

from baselines.info.efficientad import Pdn
from baselines.pdn import CHANNELS, Autoencoder, jittered, map_side, pdn

SLIM = Pdn(width=0.0625)


@pytest.mark.parametrize(
    ("size", "kernels"),
    [
        ("small", [(3, 128, 4), (128, 256, 4), (256, 256, 3), (256, 384, 4)]),
        ("medium", [(3, 256, 4), (256, 512, 4), (512, 512, 1), (512, 512, 3), (512, 384, 4), (384, 384, 1)]),
    ],
)
def test_the_published_networks(size, kernels) -> None:
    with torch.device("meta"):
        made = pdn(Pdn(size=size), CHANNELS)
        shape = made(torch.empty(2, 3, 256, 256)).shape
        padded = pdn(Pdn(size=size), CHANNELS, padded=True)(torch.empty(2, 3, 256, 256)).shape
    layers = [m for m in made if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0]) for m in layers] == kernels
    assert (tuple(shape), tuple(padded)) == ((2, 384, 56, 56), (2, 384, 64, 64))
    assert isinstance(made[-1], nn.Conv2d), "a description is of both signs"


def test_a_patch_of_33_pixels_is_described() -> None:
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    made = pdn(SLIM, 8)
    for layer in made:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.constant_(layer.bias, 1.0)
    made(x)[0, 0, 3, 2].backward()
    rows, columns = x.grad[0, 0].nonzero().unbind(1)
    assert (int(rows.min()), int(rows.max())) == (12, 12 + 32)
    assert (int(columns.min()), int(columns.max())) == (8, 8 + 32)


def test_a_padded_map_holds_the_valid_one_inside() -> None:
    """Taught with padding, used without: the same weights say the same of the same place."""
    torch.manual_seed(0)
    valid, padded = pdn(SLIM, 8), pdn(SLIM, 8, padded=True)
    padded.load_state_dict(valid.state_dict())
    x = torch.rand(2, 3, 64, 72)
    torch.testing.assert_close(padded(x)[..., 4:-4, 4:-4], valid(x))


def test_the_published_autoencoder() -> None:
    with torch.device("meta"):
        made = Autoencoder((256, 256), CHANNELS, 0.2)
        shape = made(torch.empty(2, 3, 256, 256)).shape
    encoder = [m for m in made.encoder if isinstance(m, nn.Conv2d)]
    assert [(m.out_channels, m.kernel_size[0], m.stride[0]) for m in encoder] == [
        *[(32, 4, 2)] * 2,
        *[(64, 4, 2)] * 3,
        (64, 8, 1),
    ]
    assert made.sizes == [(side, side) for side in (3, 8, 15, 32, 63, 127)]
    assert tuple(shape) == (2, 384, 56, 56)


@given(height=st.integers(8, 20), width=st.integers(8, 20))
@settings(max_examples=8)
def test_both_give_maps_of_one_shape_at_any_size(height: int, width: int) -> None:
    sides = (8 * height, 8 * width)
    with torch.device("meta"):
        x = torch.empty(1, 3, *sides)
        described, whole = pdn(SLIM, 4)(x), Autoencoder(sides, 4, 0.2)(x)
    assert described.shape == whole.shape == (1, 4, *map(map_side, sides))


def test_everything_goes_through_one_position() -> None:
    made = Autoencoder((64, 72), 4, 0.0)
    assert made.encoder(torch.rand(1, 3, 64, 72)).shape == (1, 64, 1, 1)


def test_dropout_is_drawn_from_the_generator_alone() -> None:
    made, x = Autoencoder((64, 64), 4, 0.2), torch.rand(1, 3, 64, 64)
    before = torch.get_rng_state()
    plain = [made.train()(x), made.eval()(x)]
    drawn = [made(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*plain)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], plain[0])


def test_jitter_is_one_of_torchvisions_three() -> None:
    x = torch.rand(60, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    made = jittered(x, torch.Generator().manual_seed(1))
    assert made.min() >= 0
    assert made.max() <= 1
    generator = torch.Generator().manual_seed(1)
    which = torch.randint(3, (60, 1, 1, 1), generator=generator).flatten().tolist()
    factors = (1 + 0.2 * (2 * torch.rand(60, 1, 1, 1, generator=generator) - 1)).flatten().tolist()
    assert set(which) == {0, 1, 2}
    assert min(factors) < 0.85 < 1.15 < max(factors)
    adjust = (vision.adjust_brightness, vision.adjust_contrast, vision.adjust_saturation)
    expected = [adjust[k](one, f) for one, k, f in zip(x, which, factors, strict=True)]
    torch.testing.assert_close(made, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_gray_images_are_jittered_as_gray_colour_images_are() -> None:
    x = torch.rand(30, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    gray = jittered(x, torch.Generator().manual_seed(1))
    colour = jittered(x.expand(-1, 3, -1, -1), torch.Generator().manual_seed(1))
    torch.testing.assert_close(gray.expand(-1, 3, -1, -1), colour, rtol=1e-3, atol=1e-3)
