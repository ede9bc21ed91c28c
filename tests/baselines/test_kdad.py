"""KDAD: loss and score by hand, the source's pools those of VGG16, the cloner as published, and lesions found."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from methods import build, context, fitted, lesions
from torch import nn

from baselines.backbones import Features
from baselines.info.kdad import SIZES, Training
from baselines.kdad import STRIDES, Cloner, Source, direction, value

VGG = Training(weights="none")


def test_direction_and_value_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    x, y = a.flatten(1).numpy(), b.flatten(1).numpy()
    cosines = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    assert direction(a, b).tolist() == pytest.approx((1 - cosines).tolist(), abs=1e-5)
    assert value(a, b).tolist() == pytest.approx(((x - y) ** 2).mean(1).tolist(), rel=1e-5)


def test_maps_are_the_pools_of_vgg16() -> None:
    """Against its layers called one after the other; the input goes along, between 0 and 1."""
    features = Features(VGG, STRIDES, SIZES, 0)
    whole = timm.create_model("vgg16", pretrained=False).eval()
    whole.load_state_dict(features.body.state_dict(), strict=False)
    images = torch.tensor(lesions(2, 0))
    source = Source(features, VGG)
    given = source.inputs(images)
    assert torch.equal(given[:, 0], images[:, 0] / 255)
    h, pools = given, []
    for layer in whole.features:
        h = layer(h)
        if isinstance(layer, nn.MaxPool2d):
            pools.append(h)
    x, *maps = source(given)
    assert torch.equal(x, given)
    for one, pool in zip(maps, pools[1:], strict=True):
        torch.testing.assert_close(one, pool)


def test_images_are_normalised_where_it_is_asked_for() -> None:
    features = Features(VGG, STRIDES, SIZES, 0)
    black = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    normalised = Source(features, Training(weights="none", normalise=True)).inputs(black)
    assert normalised[0, :, 0, 0].tolist() == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])


def test_the_cloner_is_the_published_one() -> None:
    cloner = Cloner((128, 256, 512, 512), True)
    kernels = [m for m in cloner.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in kernels] == [16, 16, 16, 128, 16, 16, 256, 16, 16, 512, 16, 16, 512]
    assert all(m.bias is None for m in kernels)
    assert [m.num_features for m in cloner.modules() if isinstance(m, nn.BatchNorm2d)] == [16] * 8
    maps = cloner(torch.rand(2, 3, 32, 32))
    assert [tuple(one.shape[1:]) for one in maps] == [(128, 8, 8), (256, 4, 4), (512, 2, 2), (512, 1, 1)]
    assert all(bool((one >= 0).all()) for one in maps)
    bound = (6 / (9 * (16 + 512))) ** 0.5
    assert kernels[9].weight.abs().max().item() == pytest.approx(bound, rel=0.01), "Xavier's uniform"


def test_maps_of_both_signs_for_such_a_source() -> None:
    assert all(bool((one < 0).any()) for one in Cloner((24, 40, 112, 64), False)(torch.rand(2, 3, 64, 64)))


def test_the_score_takes_the_last_three_maps() -> None:
    """From the maps themselves, with lambda."""
    detector = fitted("kdad", lesions(16, 0), "value = 0.5")
    images = lesions(2, 1)
    with torch.no_grad():
        x, *maps = detector.source(detector.source.inputs(torch.tensor(images)))
        pairs = list(zip(maps, detector.cloner.eval()(x), strict=True))
    assert len(pairs) == 4
    by_hand = sum((direction(a, b) + 0.5 * value(a, b)).numpy() for a, b in pairs[1:])
    assert detector.score(images, context()) == pytest.approx(by_hand, rel=1e-4)


def test_the_loss_takes_all_four() -> None:
    """The first progress of a fit in one batch: the loss of the cloner as it starts."""
    told: list[dict[str, float]] = []
    train = lesions(16, 0)
    detector = build("kdad", '"train.epochs" = 1\n"train.batch" = 16\nvalue = 0.5\n"train.lr" = 1e-9')
    detector.fit(train, context(progress=lambda done, total, metrics: told.append(dict(metrics))))
    with torch.no_grad():
        x, *maps = detector.source(detector.source.inputs(torch.tensor(train)))
        pairs = list(zip(maps, detector.cloner.train()(x), strict=True))
    assert told[-1]["loss_direction"] == pytest.approx(
        sum(float(direction(*p).mean()) for p in pairs), rel=1e-3
    )
    assert told[-1]["loss_value"] == pytest.approx(
        0.5 * sum(float(value(*p).mean()) for p in pairs), rel=1e-3
    )


def test_coarse_lesions_are_found() -> None:
    detector = fitted("kdad", lesions(100, 0))
    scores = detector.score(lesions(20, 1), context())
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.7, "the AUROC on coarse lesions"
