"""Backbones: weights from where the settings say, refused when they are others, and maps at the strides asked for."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from baselines import backbones
from baselines.backbones import Features, WeightsError, fingerprint, network, restored
from baselines.info import common
from baselines.info.common import LITE0, Backbone, Pretrained, Sizes

NONE = Pretrained(backbone="resnet18.tv_in1k", weights="none")
lite0 = pytest.mark.skipif(
    importlib.util.find_spec(common.LITE0_PACKAGE) is None,
    reason="the extra [offline-weights] is not installed",
)


def features(settings: Backbone = NONE, strides: tuple[int, ...] = (4, 8, 16), seed: int = 0) -> Features:
    return Features(settings, strides, Sizes(least=16), seed)


def saved(path: Path, content: object) -> Pretrained:
    torch.save(content, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Pretrained(backbone="resnet18.tv_in1k", weights=f"file:{path}", weights_sha256=digest[:16])


def test_random_weights_hang_on_the_seed_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (fingerprint(network(NONE, seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again != other


def test_random_residual_branches_act() -> None:
    """timm starts the last normalisation of each branch at zero, which leaves the shortcuts alone."""
    norms = [m for m in network(NONE, 0).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(bool(norm.weight.any()) for norm in norms)


@pytest.mark.parametrize(
    ("name", "strides", "channels"),
    [
        ("resnet18.tv_in1k", (4, 8, 16), (64, 128, 256)),
        ("wide_resnet50_2.tv_in1k", (8, 16), (512, 1024)),
        (LITE0, (4, 8, 16, 32), (24, 40, 112, 320)),
    ],
)
def test_maps_have_the_strides_and_channels_that_are_said(name, strides, channels) -> None:
    made = features(Pretrained(backbone=name, weights="none"), strides)
    assert made.channels == channels
    maps = made(made.inputs(torch.zeros(2, 1, 64, 64, dtype=torch.uint8)))
    assert [tuple(one.shape) for one in maps] == [
        (2, width, 64 // stride, 64 // stride) for width, stride in zip(channels, strides, strict=True)
    ]
    assert not made.train().training


def test_maps_are_those_of_the_whole_network() -> None:
    """Checked against the layers called by hand."""
    body, made = network(NONE, 3), features(seed=3)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    stem = body.maxpool(body.act1(body.bn1(body.conv1(x))))
    first = body.layer1(stem)
    second = body.layer2(first)
    for ours, theirs in zip(made(x), (first, second, body.layer3(second)), strict=True):
        torch.testing.assert_close(ours, theirs)


@lite0
def test_lite0_is_the_network_that_was_trained_on_imagenet() -> None:
    """It knows the ImageNet classes of scikit-learn's two photographs (palace 698, daisy 985)."""
    from sklearn.datasets import load_sample_images

    body = network(Pretrained(backbone=LITE0, weights="lite0"), 0)
    pictures = np.stack(load_sample_images().images)[:, :, 106:533]
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    inputs = backbones.inputs_of(body, Pretrained(backbone=LITE0, weights="lite0", input_size=224), Sizes())
    with torch.no_grad():
        assert body(inputs(x)).argmax(1).tolist() == [698, 985]


def test_a_file_of_weights_fills_the_network(tmp_path: Path) -> None:
    original = network(NONE, 5)
    settings = saved(tmp_path / "mine.pth", original.state_dict())
    assert fingerprint(network(settings, 0)) == fingerprint(original)


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(1)}, {"a": 1}, [1, 2]])
def test_weights_of_another_network_are_refused(tmp_path: Path, content: object) -> None:
    settings = saved(tmp_path / "other.pth", content)
    with pytest.raises(WeightsError, match=r"other\.pth holds the weights of another network than resnet18"):
        network(settings, 0)


def test_a_file_of_another_digest_is_refused(tmp_path: Path) -> None:
    settings = saved(tmp_path / "mine.pth", network(NONE, 0).state_dict())
    (tmp_path / "mine.pth").write_bytes(b"something else")
    with pytest.raises(WeightsError, match=r"not the file asked for: its SHA-256 is"):
        network(settings, 0)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    settings = saved(tmp_path / "evil.pth", {"net": nn.Linear(1, 1)})
    with pytest.raises(WeightsError, match="without pickle"):
        network(settings, 0)


def test_absent_weights_are_told_of_before_anything_is_built(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(backbones, "_created", lambda *_, **__: pytest.fail("built"))
    gone = Pretrained(weights=f"file:{tmp_path / 'gone.pth'}", weights_sha256="0" * 8)
    with pytest.raises(WeightsError, match=r"weights missing: no file .*gone\.pth"):
        network(gone, 0)


def test_an_unknown_backbone_is_told_with_names_that_exist() -> None:
    with pytest.raises(WeightsError, match=r"no backbone 'resnet19'; it has, for instance, .*resnet"):
        network(Pretrained(backbone="resnet19", weights="none"), 0)


def test_a_stride_that_is_not_there() -> None:
    with pytest.raises(WeightsError, match="strides 2, 4, 8, 16, 32, not at 3"):
        features(strides=(3, 8))


def test_weights_without_a_network_name_what_to_do(monkeypatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr(backbones.timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"cannot be had \(OSError\).*lite0"):
        network(Pretrained(backbone="resnet18.tv_in1k"), 0)


def test_a_fit_finds_its_backbone_again_or_says_that_it_is_gone() -> None:
    made = features(seed=4)
    again = restored(NONE, (4, 8, 16), Sizes(least=16), made.origin(), torch.device("cpu"))
    assert fingerprint(again) == fingerprint(made)
    with pytest.raises(WeightsError, match="not those of the fit"):
        restored(NONE, (4,), Sizes(), {**made.origin(), "seed": 5}, torch.device("cpu"))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224.augreg_in21k", "deit_tiny_patch16_224.fb_in1k"])
def test_a_vision_transformer_takes_images_of_any_size(name: str) -> None:
    """Its position codes are resampled and its last patches padded."""
    whole = backbones.Whole(Backbone(backbone=name), Sizes(), 0)
    for shape in ((28, 28), (64, 48)):
        assert whole.body(whole.inputs(torch.zeros(2, 1, *shape, dtype=torch.uint8))).shape == (
            2,
            whole.body.num_classes,
        )
    assert not whole.train().training
