"""MS-CaiT: which blocks of which networks, at which size, and nothing in it moves."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from baselines import ms_cait
from baselines.info.uflow import UflowTraining

SETTINGS = UflowTraining.parse({"weights": "none"})
TWO = (("cait_xxs24_224", 64, 2), ("cait_xxs24_224", 32, 1))


def test_the_published_networks() -> None:
    for name, side, last in ms_cait.NETWORKS:
        about = timm.get_pretrained_cfg(name)
        assert about.input_size == (3, side, side)
        assert last == {448: 40, 224: 20}[side]


def test_maps_are_tokens_after_the_block_through_the_last_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the blocks by hand, the smaller image resized from the larger."""
    monkeypatch.setattr(ms_cait, "NETWORKS", TWO)
    backbone = ms_cait.MsCait(SETTINGS, 0)
    x = backbone.inputs(torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8))
    assert x.shape == (2, 3, 64, 64)
    small = F.interpolate(x, (32, 32), mode="bicubic", align_corners=True)
    for found, image, body, (_, side, last) in zip(
        backbone(x), (x, small), backbone.bodies, TWO, strict=True
    ):
        tokens = body.patch_embed(image) + body.pos_embed
        assert len(body.blocks) == last + 1, "what comes later is not kept"
        for block in body.blocks:
            tokens = block(tokens)
        expected = body.norm(tokens).transpose(1, 2).reshape(2, 192, side // 16, side // 16)
        torch.testing.assert_close(found, expected)


def test_it_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ms_cait, "NETWORKS", TWO)
    backbone = ms_cait.MsCait(SETTINGS, 0).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(weight.requires_grad for weight in backbone.parameters())
    assert backbone.origin() == ms_cait.MsCait(SETTINGS, 0).origin()
    assert backbone.origin()["fingerprint"] != ms_cait.MsCait(SETTINGS, 1).origin()["fingerprint"]
