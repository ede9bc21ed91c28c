"""Shifts and the random views, by hand where they can be."""

from dataclasses import replace

import pytest
import torch
from draws import unchanged

from suite.dia import views


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_rotations_are_quarter_turns_and_the_first_is_the_identity():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    turns = [views.shift(x, "rotate", k)[0, 0].tolist() for k in range(4)]
    assert turns == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]


def test_perm_exchanges_halves_by_two_bits():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2)
    perms = [views.shift(x, "perm", k)[0, 0].tolist() for k in range(4)]
    assert perms == [[[1, 2], [3, 4]], [[3, 4], [1, 2]], [[2, 1], [4, 3]], [[4, 3], [2, 1]]]


@pytest.mark.parametrize("kind", ["rotate", "perm"])
def test_shifted_is_shift_major(kind):
    x = torch.rand(3, 1, 4, 4, generator=generator())
    stacked = views.shifted(x, kind)
    for k in range(4):
        for b in range(3):
            assert torch.equal(stacked[k * 3 + b], views.shift(x, kind, k)[b])


def test_a_draw_that_changes_nothing_gives_the_image_back():
    x = torch.rand(4, 3, 16, 16, generator=generator())
    torch.testing.assert_close(views.apply(x, unchanged(4)), x, atol=1e-5, rtol=0)


def test_brightness_contrast_and_gray_by_hand():
    x = torch.tensor([0.2, 0.6]).reshape(1, 1, 1, 2).expand(1, 1, 2, 2).contiguous()
    bright = views.apply(x, unchanged(1, brightness=torch.tensor([1.5])))
    torch.testing.assert_close(bright, x * 1.5)
    contrast = views.apply(x, unchanged(1, contrast=torch.tensor([0.5])))
    torch.testing.assert_close(contrast[0, 0, 0], torch.tensor([0.3, 0.5]))  # the mean is 0.4
    colour = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2).contiguous()
    gray = views.apply(colour, unchanged(1, grayed=torch.ones(1, dtype=torch.bool)))
    torch.testing.assert_close(gray, torch.full_like(colour, 0.299), atol=1e-5, rtol=0)


def test_hue_turns_red_into_green_after_a_third_of_the_circle():
    red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2).contiguous()
    green = views.apply(red, unchanged(1, hue=torch.tensor([1 / 3])))
    torch.testing.assert_close(green[0, :, 0, 0], torch.tensor([0.0, 1.0, 0.0]), atol=1e-4, rtol=0)


def test_images_that_are_not_jittered_stay():
    x = torch.rand(2, 1, 4, 4, generator=generator())
    drawn = unchanged(2, brightness=torch.tensor([0.5, 0.5]), jittered=torch.tensor([False, True]))
    out = views.apply(x, drawn)
    torch.testing.assert_close(out[0], x[0])
    torch.testing.assert_close(out[1], x[1] * 0.5)


def test_crop_cuts_the_box_out():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)  # the value is 4 row + column
    box = torch.tensor([[0.5, 0.5, -0.5, 0.5]])  # the upper right quarter, enlarged twofold
    rows = torch.tensor([0.0, 0.25, 0.75, 1.25])  # the first would be -0.25: held at the border
    columns = torch.tensor([1.75, 2.25, 2.75, 3.0])
    torch.testing.assert_close(views.crop(x, box)[0, 0], 4 * rows[:, None] + columns)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("k", range(4))
def test_a_crop_takes_the_flip_and_the_quarter_turns_along(k, mirrored):
    """To where the posed image would have been cropped, the reflection at its border included."""
    x = torch.rand(2, 3, 9, 9, generator=generator(), dtype=torch.float64)
    box = torch.tensor([[0.5, 0.25, -0.5, 0.625], [0.75, 1.0, 0.25, 0.0]], dtype=torch.float64)
    posed = views.shift(views.mirrored(x, torch.tensor([mirrored, mirrored])), "rotate", k)
    pose = views.Pose(torch.tensor([k, k]), torch.tensor([mirrored, mirrored]))
    torch.testing.assert_close(views.crop(x, box, pose), views.crop(posed, box))
    one = views.Pose(torch.tensor([k]), torch.tensor([mirrored]))
    torch.testing.assert_close(views.crop(x, box[:1], one), views.crop(posed, box[:1]))


@pytest.mark.parametrize("contrast_first", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_views_of_originals_are_those_of_their_copies(channels, contrast_first):
    """Row r is a view of image r mod N, whatever is computed once for all views of one."""
    x = torch.rand(4, channels, 8, 8, generator=generator())
    drawn = replace(views.draw(12, views.TRAIN_AREA, generator(1)), contrast_first=contrast_first)
    copies = views.apply(x.repeat(3, 1, 1, 1), drawn)
    assert torch.equal(views.apply(views.Originals(x), drawn), copies)
    for start in range(0, 12, 4):
        assert torch.equal(views.apply(x, drawn.rows(slice(start, start + 4))), copies[start : start + 4])


def test_what_views_share_is_computed_once(monkeypatch):
    calls: list[int] = []
    real = views._hsv
    monkeypatch.setattr(views, "_hsv", lambda x: (calls.append(len(x)), real(x))[1])
    originals = views.Originals(torch.rand(4, 3, 8, 8, generator=generator()))
    for seed in range(5):
        views.apply(
            originals, replace(views.draw(1, views.TRAIN_AREA, generator(seed)), contrast_first=False)
        )
    assert calls == [4]


def test_gray_images_take_the_same_views_as_three_equal_channels():
    """One channel until the network: exact but for rounding, hue and saturation included."""
    gray = torch.rand(16, 1, 12, 12, generator=generator())
    drawn = views.draw(16, views.TRAIN_AREA, generator(1))
    one = views.apply(gray, drawn)
    three = views.apply(gray.expand(-1, 3, -1, -1).contiguous(), drawn)
    torch.testing.assert_close(three, one.expand(-1, 3, -1, -1), atol=2e-6, rtol=0)


def test_draws_stay_within_their_ranges():
    drawn = views.draw(5000, views.TRAIN_AREA, generator())
    height, width, y, x = drawn.box.unbind(1)
    assert ((y.abs() + height) <= 1 + 1e-6).all()
    assert ((x.abs() + width) <= 1 + 1e-6).all()
    assert ((height * width) >= 0.08 * 0.74).all()
    assert drawn.hue.abs().max() <= views.HUE
    assert drawn.jittered.float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert drawn.grayed.float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_flip_mirrors_about_half_of_the_images():
    x = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1000, 1, 4, 4).contiguous()
    out = views.flip(x, generator())
    mirrored = (out[:, 0, 0, 0] == 3).float().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.06)
    assert set(out[:, 0, 0, 0].tolist()) == {0.0, 3.0}
