"""Branches in the order of Eq. 5, and shortcuts that change nothing: each is done the plain way and compared."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from draws import unchanged

from suite.detector import Context
from suite.dia import dissolve, network, scoring, training, views
from suite.dia.bank import Bank, Rows
from suite.dia.info import DIA, CsiTraining, DiaBlur, DiaDiffusion, DiaNone, Scoring, Shortcut
from suite.dia.method import Dia
from suite.settings import canonical

CPU = torch.device("cpu")
SHORTCUTS = get_args(Shortcut)
SLIM = {"network": {"width": 8}}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs(count: int, channels: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, channels, side, side), np.uint8)


def test_order_of_eq5_flip_then_dissolve_then_shift_then_views(monkeypatch):
    """By a flip of every image, a dissolver that darkens the left half, and no view: what is dark lies where a left
    half that was dissolved after the flip has been turned to.
    """
    monkeypatch.setattr(views, "flips", lambda count, generator: torch.ones(count, dtype=torch.bool))
    monkeypatch.setattr(views, "draw", lambda count, area, generator: unchanged(count))
    left = torch.tensor([0.5, 0.5, 1.0, 1.0])
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4) / 32
    spy = dissolve.FixedDissolver(lambda x: x * left, None)
    out = training.branches(x, torch.arange(1), DiaNone.parse(SLIM), spy, generator())
    assert out.shape == (3 * views.SHIFTS, 1, 4, 4)
    flipped = x.flip(-1)
    for branch, expected in zip(out.chunk(3), (flipped, flipped, flipped * left), strict=True):
        torch.testing.assert_close(branch, views.shifted(expected, "rotate"), atol=1e-5, rtol=0)


class Looked(Bank):
    """A bank whose dissolved images are the mirrored or unmirrored images themselves, a little darker for each t."""

    def __init__(self, x: torch.Tensor) -> None:
        self.times, self.x = torch.tensor([30, 40, 50]), x

    def look(self, places: torch.Tensor, chosen: torch.Tensor, flipped: torch.Tensor) -> torch.Tensor:
        return views.mirrored(self.x[chosen], flipped > 0) * (1 - places / 10).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("shift", ["rotate", "perm"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("third", ["none", "same for all shifts", "its own for each shift", "bank"])
@pytest.mark.parametrize("plain", ["one_channel", "one_resampling"])
def test_views_are_the_same_by_the_plain_way(plain, third, channels, shift):
    x = torch.from_numpy(photographs(5, channels)).float() / 255
    found = []
    for names in ([], [plain]):
        given: dict[str, Any] = {"shift": shift, "train": {"plain": names}}
        settings, dissolver = CsiTraining.parse(given), None
        if third == "same for all shifts":
            settings, dissolver = (
                DiaNone.parse(given),
                dissolve.FixedDissolver(lambda x: x.flip(-2) / 2, None),
            )
        elif third == "its own for each shift":
            settings = DiaDiffusion.parse(given)
            dissolver = dissolve.DiffusionDissolver(
                lambda x, t: x.flip(-1) * t[:, None, None, None] / 1000,
                torch.linspace(1, 0.5, 1000),
                (30, 130),
                16,
                True,
            )
        elif third == "bank":
            settings = DiaDiffusion.parse({**given, "dissolve": {"bank": 10, "steps": [30, 50]}})
            dissolver = Looked(x)
        chosen = torch.arange(5)
        out = training.branches(x, chosen, settings, dissolver, generator(1))
        found.append(out.expand(-1, 3, -1, -1))
    assert len(found[0]) == (2 if third == "none" else 3) * views.SHIFTS * 5
    torch.testing.assert_close(found[0], found[1], atol=2e-5, rtol=0)
    assert (found[0][:5] - found[0][20:25]).abs().max() > 0.05, "two views of an image differ"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "plain", [[name] for name in SHORTCUTS] + [list(SHORTCUTS)], ids=lambda names: "+".join(names)
)
def test_a_model_is_trained_and_scores_the_same_by_the_plain_way(monkeypatch, plain, channels):
    monkeypatch.setattr(network, "LARGE", 1000)
    losses, scores, used = [], [], []
    for names in ([], plain):
        model = Dia(
            DiaBlur.parse(
                {
                    **SLIM,
                    "train": {"batch": 4, "epochs": 1, "epoch_size": 8, "plain": names, "optimiser": "sgd"},
                    "dissolve": {"op": "gaussian", "kernel": 3, "size": 16},
                }
            ),
            Scoring(views=2),
        )
        told: list[float] = []
        images = photographs(12, channels)
        model.fit(
            images,
            Context(
                device=CPU, seed=0, progress=lambda _, __, found, told=told: told.append(found["loss_con"])
            ),
        )
        losses.append(told)
        scores.append(model.score(images[:6], Context(device=CPU, seed=0, train=images)))
        used.append(model)
    assert len(losses[0]) == 2
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3)
    assert np.ptp(scores[0]) > 0.01


@pytest.mark.parametrize("name", ["small_maps", "computed_twice", "folded_norms"])
def test_the_network_does_without_the_shortcut_that_is_named(monkeypatch, name):
    """Each is seen at work, and then seen not to be."""
    monkeypatch.setattr(network, "LARGE", 1000)
    calls: list[str] = []

    def watch(target: Any, attribute: str, word: str) -> None:
        real = getattr(target, attribute)
        monkeypatch.setattr(target, attribute, lambda *a, **k: (calls.append(word), real(*a, **k))[1])

    watch(network, "_by_position", "small_maps")
    watch(network, "_computed_twice", "computed_twice")
    watch(network, "_fold", "folded_norms")
    for plain in ([], [name]):
        calls.clear()
        net = network.build("imagenet", 8, 4, 0, plain)  # type: ignore[arg-type]
        net(torch.rand(4, 1, 28, 28, generator=generator()))[0].sum().backward()
        net.folded()
        assert (name in calls) == (not plain)
        assert {"small_maps", "computed_twice", "folded_norms"} - {name} <= set(calls)


def test_doing_without_a_shortcut_is_named_in_the_key_and_only_then():
    assert "plain" not in canonical(CsiTraining.parse({"train": {"plain": []}}))["train"]
    asked = CsiTraining.parse({"train": {"plain": ["small_maps", "one_channel", "small_maps"]}})
    assert canonical(asked)["train"]["plain"] == ["one_channel", "small_maps"]
    with pytest.raises(ValueError, match="one_resampling"):
        CsiTraining.parse({"train": {"plain": ["speed"]}})
    assert all(name in (DIA.models[0].model_fields["train"].annotation.__doc__ or "") for name in SHORTCUTS)


def test_rows_of_a_bank_do_not_look_at_the_image():
    """So its flip may wait for the resampling."""
    x = torch.rand(3, 1, 16, 16, generator=generator())
    rows = Rows(Looked(x), torch.arange(3), torch.tensor([0, 1, 0]))
    t = torch.tensor([30, 40, 50])
    assert torch.equal(rows.at(x, t), rows.at(torch.zeros_like(x), t))


@pytest.mark.parametrize(("precision", "expected"), [("full", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")])
def test_only_the_training_of_the_network_may_round_more(monkeypatch, precision, expected):
    """What CUDA would do at each product: the network in training, its gradient, the dissolver, the scoring."""
    backends: Any = torch.backends
    seen: dict[str, set[str]] = {}

    def note(where: str) -> None:
        seen.setdefault(where, set()).update(
            place.fp32_precision for place in (backends.cuda.matmul, backends.cudnn.conv)
        )

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        note("dissolver")
        return torch.zeros_like(x)

    dissolver = dissolve.DiffusionDissolver(predict, torch.linspace(1, 0.5, 1000), (30, 130), 16, True)
    settings = DiaDiffusion.parse(
        {**SLIM, "train": {"batch": 4, "precision": precision}, "dissolve": {"size": 16}}
    )
    state = training.Training(8, settings, "a", dissolver, Context(device=CPU, seed=0))
    state.network.register_forward_pre_hook(lambda module, given: note("training"))
    state.network.conv1.weight.register_hook(lambda gradient: note("gradient"))
    before = backends.cudnn.conv.fp32_precision
    state.sampler.next()
    state.advance(torch.from_numpy(photographs(4, 1)))
    scored = network.build("imagenet", 8, 4, 0)
    monkeypatch.setattr(scored, "folded", lambda: (note("scoring"), scored.eval())[1])
    scoring.features(scored, photographs(2, 1), Scoring(views=1), "rotate", Context(device=CPU, seed=0))
    assert seen == {
        "training": {expected},
        "gradient": {expected},
        "dissolver": {"ieee"},
        "scoring": {"ieee"},
    }
    assert backends.cudnn.conv.fp32_precision == before
