"""RD4AD: loss and map by hand, the student's architecture against the published one, and coarse lesions found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from methods import build, context, fitted, lesions
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor

from baselines.backbones import Features
from baselines.info.rd4ad import SIZES, blocks
from baselines.rd4ad import STRIDES, Block, Student, anomaly_map, distance


def maps(seed: int, batch: int = 2, side: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, c, side >> k, side >> k, generator=generator) for k, c in enumerate((3, 4, 5))]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a.ravel() @ b.ravel() / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_loss_takes_whole_maps() -> None:
    """Not the mean over positions, which the paper prints and which trains worse."""
    teacher, student = maps(0), maps(1)
    for far, a, b in zip(distance(teacher, student), teacher, student, strict=True):
        by_hand = [1 - cosine(x, y) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
        assert far.tolist() == pytest.approx(by_hand, abs=1e-5)


def test_the_map_adds_positions_of_all_scales() -> None:
    """At 256 px against scipy: linear zoom with corners aligned, a Gaussian of 4 px."""
    teacher, student = maps(0, 1, 64), maps(1, 1, 64)
    expected = np.zeros((256, 256))
    for a, b in zip(teacher, student, strict=True):
        a, b = a[0].numpy(), b[0].numpy()
        away = 1 - (a * b).sum(0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)
        expected += zoom(away, 256 / len(away), order=1, grid_mode=False)
    expected = gaussian_filter(expected, 4, mode="mirror")
    found = anomaly_map(teacher, student, (256, 256))[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_equal_maps_are_at_no_distance() -> None:
    teacher = maps(0)
    assert anomaly_map(teacher, teacher, (32, 32)).abs().max() < 1e-5
    assert max(one.abs().max() for one in distance(teacher, teacher)) < 1e-5


@pytest.mark.parametrize(
    ("backbone", "channels", "published"),
    [
        # Parameters of the official bottleneck (its unused fourth convolution left out) and decoder.
        ("resnet18.tv_in1k", (64, 128, 256), 15_383_168),
        ("wide_resnet50_2.tv_in1k", (256, 512, 1024), 83_802_624),
    ],
)
def test_the_student_mirrors_a_resnet(backbone, channels, published) -> None:
    with torch.device("meta"):
        student = Student(channels, blocks(backbone))
    assert sum(p.numel() for p in student.parameters()) == published


def test_maps_have_the_teachers_shapes_and_signs() -> None:
    for backbone, negative in (("resnet18", False), ("tf_efficientnet_lite0", True)):
        teacher = maps(0)
        made = Student((3, 4, 5), blocks(backbone))(teacher)
        assert [one.shape for one in made] == [one.shape for one in teacher]
        assert all(bool((one < 0).any()) == negative for one in made)


def test_convolutions_start_from_hes_normal_by_fan_out() -> None:
    kernel = Student((64, 64, 64), blocks("resnet18")).fuse[0][0][0].weight
    assert kernel.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)


def test_a_block_halves_doubles_or_keeps_the_size() -> None:
    x = torch.randn(2, 8, 4, 4)
    for step, side in ((-1, 2), (0, 4), (1, 8)):
        for width in (0, 0.5):
            assert Block(8, 12, width, step)(x).shape == (2, 12, side, side)


def test_a_last_batch_of_one_is_left_out() -> None:
    """At 32 px the bottleneck is one pixel wide: seventeen images in batches of sixteen."""
    train = lesions(17, 0)
    assert np.isfinite(fitted("rd4ad", train).score(train, context())).all()
    with pytest.raises(ValueError, match="two training images"):
        build("rd4ad").fit(train[:1], context())


def test_coarse_lesions_are_found() -> None:
    detector = fitted("rd4ad", lesions(100, 0))
    scores = detector.score(lesions(20, 1), context())
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.7, "the AUROC on coarse lesions"


def test_the_teacher_stays_as_it_came() -> None:
    detector = fitted("rd4ad", lesions(16, 0))
    anew = Features(detector.settings, STRIDES, SIZES, 0)
    for (name, kept), given in zip(
        detector.teacher.state_dict().items(), anew.state_dict().values(), strict=True
    ):
        assert torch.equal(kept, given), name
