"""A strip holds the images themselves and as they are dissolved, and says how alike they have become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from suite import registry
from suite.data import pack as packs
from suite.data.identity import DataSettings, data_identity
from suite.data.pack import Pack
from suite.detector import Context
from suite.dia import diffusion, strip
from suite.dia.dissolve import gaussian
from suite.dia.info import Diffusion

INFO = registry.dataset("phantom")
DATA = data_identity(INFO, DataSettings())


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return packs.load(INFO, DataSettings(), tmp_path_factory.mktemp("store"))


def _context(folder: Path, **artefacts: Path) -> Context:
    return Context(device=torch.device("cpu"), seed=0, folder=folder, artefacts=artefacts)


def _identity(dissolve: dict[str, Any], images: int = 3, **along: list[int]) -> dict[str, Any]:
    return {"data": DATA, "images": images, "dissolve": dissolve, "along": along}


def test_kernels_by_the_same_blur_as_in_training(tmp_path: Path, pack: Pack) -> None:
    facts = strip.make(_identity({"op": "gaussian", "size": 32}, kernel=[3, 7]), pack, _context(tmp_path))
    with np.load(tmp_path / "strip.npz", allow_pickle=False) as kept:
        images, ids, labels = kept["images"], kept["ids"], kept["labels"]
    assert images.shape == (3, 3, 1, 32, 32)
    assert images.dtype == np.uint8
    assert labels.tolist() == facts["labels"] == [0, 1, 0]
    for one, name in zip(images, ids, strict=True):
        place = np.flatnonzero((pack.ids == name) & (pack.splits == "test"))
        assert np.array_equal(one[0], pack.images[place[0]])
    x = torch.from_numpy(images[:, 0]).float() / 255
    torch.testing.assert_close(
        torch.from_numpy(images[:, 2]).float() / 255, gaussian(7)(x), atol=0.5 / 255 + 1e-6, rtol=0
    )
    assert facts["compared"] == strip.COMPARED
    assert facts["variance"][0] > facts["variance"][1] > facts["variance"][2]
    assert "loss" not in facts


def test_steps_by_the_diffusion_model(tmp_path: Path, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "MULTIPLIERS", (1, 2))
    monkeypatch.setattr(diffusion, "SIGN_STEPS", (1, 500))
    model, made = tmp_path / "model", tmp_path / "strip"
    model.mkdir()
    made.mkdir()
    tiny = Diffusion(dim=8, steps=4, batch=4).model_dump(mode="json")
    tiny.pop("seed")
    diffusion.make({"data": DATA, "size": 32, "seed": 0, "settings": tiny}, pack, _context(model))
    identity = _identity({"op": "diffusion", "size": 32, "range": "symmetric"}, 2, t=[0, 500])
    facts = strip.make(identity, pack, _context(made, diffusion=model))
    with np.load(made / "strip.npz", allow_pickle=False) as kept:
        near, far = (np.abs(kept["images"][:, 0].astype(int) - kept["images"][:, at]).mean() for at in (1, 2))
    assert near < 4 < far  # t = 0 leaves the image nearly as it is
    assert facts["loss"] > 0
    assert facts["along"] == {"t": [0, 500]}


def test_examples_are_the_same_for_every_dissolver(tmp_path: Path, pack: Pack) -> None:
    chosen = []
    for number, op in enumerate(("gaussian", "median")):
        folder = tmp_path / op
        folder.mkdir()
        strip.make(_identity({"op": op, "size": 32}, 2 + number, kernel=[3]), pack, _context(folder))
        with np.load(folder / "strip.npz", allow_pickle=False) as kept:
            chosen.append(kept["ids"].tolist())
    assert chosen[1][:2] == chosen[0]


def test_in_turn_as_far_as_there_are_some() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1], np.uint8)
    order = np.array([5, 0, 1, 2, 3, 4])
    assert strip._in_turn(order, labels, 1).tolist() == [0]
    assert strip._in_turn(order, labels, 4).tolist() == [0, 5, 1, 4]
