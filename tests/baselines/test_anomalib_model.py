"""The adapter keeps to the protocol whatever model of anomalib it is given, and computes what the library would.

Needs the extra [anomalib]; weights are drawn at random, since nothing is downloaded here.
"""

from __future__ import annotations

import inspect
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods import CPU, build, context, lesions

from suite import registry
from suite.detector import Interrupted

pytest.importorskip("anomalib", reason='needs the extra: pip install "dissolving-suite[anomalib]"')
pytestmark = pytest.mark.slow

SMALL = '"backbone=resnet18", "pre_trained=false"'
OPTIONS = {
    "cflow": SMALL,
    "dfkde": '"pre_trained=false", "n_pca_components=4"',
    "dfm": f'{SMALL}, "pooling_kernel_size=1"',
    "fastflow": '"pre_trained=false"',
    "ganomaly": "",
    "mh_patchcore": SMALL,
    "padim": '"pre_trained=false"',
    "patchcore": SMALL,
    "reverse_distillation": SMALL,
    "stfpm": "",
}
"""Models of each kind: banks and Gaussians, flows, students, an adversarial one."""
SIDES = {"cflow": 64, "mh_patchcore": 224}
"""Sides of those that do not take 32 px."""
ALONE = {"cflow"}
TRAIN, TEST = lesions(17, 0), lesions(3, 1)


def make(name: str, size: int | None = None, options: str | None = None) -> Any:
    told, side = OPTIONS[name] if options is None else options, size or SIDES.get(name, 32)
    return build(f"anomalib/{name}", f'"anomalib.input_size" = {side}\n"anomalib.options" = [{told}]')


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks whose weights the library would download keep those that they are drawn with."""
    import timm

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **named: real(*a, **named | {"pretrained": False}))


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_the_protocol_holds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite scores that are an image's own; one seed repeats to the bit and two differ; files say all; the global
    generators and the folder at hand are left alone.
    """
    monkeypatch.chdir(tmp_path)
    registry.method(f"anomalib/{name}").load()  # an import may draw what it likes
    found = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(number), np.random.seed(number), random.seed(number)
        before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
        detector = make(name)
        detector.fit(TRAIN, context(seed))
        found.append(detector.score(TEST, context(seed)))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert random.getstate() == before[2]
        if number == 0:
            first = detector
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).any()
    assert np.isfinite(found[0]).all()
    assert found[0].dtype == np.float64
    assert len(np.unique(found[0])) > 3
    alone = np.concatenate([first.score(TEST[i : i + 1], context()) for i in range(len(TEST))])
    assert np.abs(alone - found[0]).max() < 1e-3 * np.ptp(found[0])
    assert first.alone == (name in ALONE)
    first.save(tmp_path / "weights.pt")
    loaded = make(name)
    loaded.load(tmp_path / "weights.pt", CPU)
    assert (loaded.score(TEST, context()) == found[0]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


def test_the_score_is_the_models_own() -> None:
    """PaDiM: the mean of its Gaussian is that of the embeddings of all training images, each seen once; scores are
    what its torch module says of normalised images.
    """
    detector = make("padim")
    detector.fit(TRAIN, context())
    scores = detector.score(TEST, context())
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    train, test = ((torch.tensor(np.array(x)).float() / 255 - mean) / std for x in (TRAIN, TEST))
    model = detector.module.model
    with torch.no_grad():
        np.testing.assert_allclose(scores, model(test).pred_score[:, 0].numpy(), rtol=1e-5)
        model.train()(train)
    (embedded,) = model.memory_bank
    np.testing.assert_allclose(model.gaussian.mean, embedded.flatten(2).mean(0), atol=1e-4)


def test_a_fit_tells_how_far_it_is_and_stops_when_asked(tmp_path: Path) -> None:
    told: list[Any] = []
    kept: list[Path] = []

    def snapshot(step: int, total: int, detector: Any) -> None:
        kept.append(tmp_path / f"{step}.pt")
        detector.save(kept[-1])

    ways = {"folder": tmp_path, "snapshots": 2, "snapshot": snapshot}
    whole = make("fastflow")
    whole.fit(TRAIN[:5], context(progress=lambda *a: told.append(a), **ways))
    assert told[-1][:2] == (2, 2)  # two epochs of one batch
    assert np.isfinite(told[-1][2]["loss_train"])
    assert [path.name for path in kept] == ["1.pt"]
    scores = whole.score(TEST, context())
    early = make("fastflow")
    early.load(kept[0], CPU)
    assert (early.score(TEST, context()) != scores).any()
    asked = iter((False, True))
    with pytest.raises(Interrupted):
        make("fastflow").fit(TRAIN[:5], context(stop=lambda: next(asked)))
    again = make("fastflow")
    again.fit(TRAIN[:5], context(**ways))
    assert (again.score(TEST, context()) == scores).all()


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 48, 48)])
def test_images_of_any_size_are_resized_by_the_model(shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    detector = make("padim", 64)
    detector.fit(images, context())
    assert np.isfinite(detector.score(images, context())).all()
    assert tuple(detector.module.model.gaussian.mean.shape)[1] == (64 // 4) ** 2


def test_what_cannot_be_built_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def fail(*given: Any, **named: Any) -> Any:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        RuntimeError, match=r"padim cannot be built \(OSError: no route to host\).*pre_trained=false"
    ):
        make("padim").fit(TRAIN, context())
    with pytest.raises(RuntimeError, match=r"stfpm cannot be built .*it takes a network"):
        make("stfpm").fit(TRAIN, context())
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match=r"padim cannot be built .*no_such_net"):
        make("padim", options='"pre_trained=false", "backbone=no_such_net"').fit(TRAIN, context())


def test_what_is_read_from_the_source_is_what_the_library_has() -> None:
    from baselines.anomalib_model import _class
    from baselines.info import anomalib as info

    base = __import__("anomalib.models.components", fromlist=["x"]).MemoryBankMixin
    assert len(info.names()) > 20
    for name in info.names():
        made = _class(name)
        given = set(inspect.signature(made).parameters) - info._OURS
        assert set(info.arguments(name)) == given, name
        assert issubclass(made, base) == (name in info.BANKS), name
    assert set(OPTIONS) <= set(info.names())
    assert registry.method("anomalib/padim").absent(registry.method("anomalib/padim").parse({})) == ""
