"""Maps that are kept are those of the network, in its order; and what is too large is not kept."""

from __future__ import annotations

import numpy as np
import torch
from methods import context, lesions

from baselines.backbones import Features
from baselines.frozen import Frozen
from baselines.info.common import Pretrained, Sizes

IMAGES = lesions(6, 0)


def made() -> tuple[Features, Frozen]:
    features = Features(Pretrained(backbone="resnet18", weights="none"), (8, 16), Sizes(16, 32), 0)
    return features, Frozen(features, IMAGES, context())


def test_kept_maps_are_the_networks() -> None:
    features, frozen = made()
    kept = frozen.kept(IMAGES, context())
    assert kept.dtype == np.float32
    assert kept.shape == (6, 128 * 16 + 256 * 4)
    chosen = torch.tensor([4, 0])
    images = torch.from_numpy(np.array(IMAGES[chosen.numpy()]))
    expected = features(features.inputs(images))
    assert frozen.shapes == [(128, 4, 4), (256, 2, 2)]
    for found in (frozen(torch.from_numpy(kept)[chosen]), frozen(images)):
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_too_large_stays_images() -> None:
    _, frozen = made()
    size = 6 * 4 * (128 * 16 + 256 * 4)
    assert frozen.kept(IMAGES, context(), size - 1) is IMAGES
    assert frozen.kept(IMAGES, context(), size) is not IMAGES
