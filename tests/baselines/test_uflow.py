"""U-Flow: its likelihood by autograd, its U, a loss that is no sum over the batch, and both kinds of backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from FrEIA.modules import IRevNetUpsampling
from methods import build, context, fitted, lesions
from torch.nn import functional as F

from baselines import ms_cait
from baselines.backbones import WeightsError
from baselines.flows import drawn
from baselines.info.fastflow import Flow
from baselines.info.uflow import UflowTraining
from baselines.uflow import Uflow, UShaped, loss, rising

SHAPES = [(3, 4, 4), (8, 2, 2), (9, 1, 1)]
TWO = (("cait_xxs24_224", 64, 1), ("cait_xxs24_224", 32, 0))
"""Slim stand-ins for the two transformers."""


def flow(normed: bool = False, **settings: object) -> UShaped:
    with drawn(0):
        return UShaped(SHAPES, Flow.parse({"steps": 2, **settings}), normed).double()


def maps(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [2 * torch.randn(count, *shape, generator=generator, dtype=torch.double) for shape in SHAPES]


def test_the_whole_is_a_flow() -> None:
    """Its log-determinant is that of the Jacobian of all scales' z by all scales' x; no value is lost."""
    model = flow()
    given = maps(1)
    lengths = [part.numel() for part in given]

    def forward(x: torch.Tensor) -> torch.Tensor:
        parts = [part.view(1, *shape) for part, shape in zip(x.split(lengths), SHAPES, strict=True)]
        return torch.cat([z.flatten() for z in model(parts)[0]])

    x = torch.cat([part.flatten() for part in given])
    jacobian = torch.autograd.functional.jacobian(forward, x)
    assert jacobian.shape == (89, 89)
    expected = torch.linalg.slogdet(jacobian)[1].item()
    assert model(given)[1].item() == pytest.approx(expected, abs=1e-8)
    assert abs(expected) > 1e-2


def test_half_of_the_channels_rises_in_fours() -> None:
    """Of 9 channels 4 rise and become one beside the next scale's 8; of those 9 again 4, so the finest has 3 + 1."""
    model = flow()
    latents, _ = model(maps(2))
    assert [tuple(z.shape) for z in latents] == [(2, 4, 4, 4), (2, 5, 2, 2), (2, 5, 1, 1)]
    assert [rising(count) for count in (7, 8, 15, 16, 64)] == [0, 4, 4, 8, 32]
    assert [stage.shapes[0][0] for stage in model.stages] == [4, 9, 9]


def test_rising_is_freias_upsampling() -> None:
    x = torch.randn(2, 8, 3, 2, generator=torch.Generator().manual_seed(0))
    (expected,), _ = IRevNetUpsampling([(8, 3, 2)])((x,))
    torch.testing.assert_close(F.pixel_shuffle(x, 2), expected)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_loss_is_a_mean_over_images(count: int) -> None:
    """Of the same image over and over it is that of the one: a term that is summed over the batch would raise it."""
    model = flow(normed=True)
    one = [part[:1] for part in maps(1)]
    latents, logdet = model(one)
    alone = 0.5 * sum((z.detach().numpy() ** 2).sum() for z in latents) - logdet.item()
    repeated = loss(*model([part.expand(count, -1, -1, -1) for part in one]))
    assert repeated.item() == pytest.approx(alone, rel=1e-9)
    two = maps(2)
    expected = np.mean([loss(*model([part[i : i + 1] for part in two])).item() for i in range(2)])
    assert loss(*model(two)).item() == pytest.approx(expected, rel=1e-9)


def test_kernels_clamps_and_norms() -> None:
    model = flow(normed=True, steps=4)
    for stage in model.stages:
        assert [block.subnet[0].kernel_size[0] for block in stage] == [3, 1, 3, 1]
        assert {block.clamp for block in stage} == {2.0}
    assert [tuple(norm.normalized_shape) for norm in model.norms] == SHAPES
    assert not list(flow().norms.parameters()), "the transformers have norms of their own"


def test_the_rate_falls_on_a_line() -> None:
    detector = build("uflow", '"train.epochs" = 4\n"train.batch" = 4\n"train.lr" = 1e-3')
    seen = []
    step = torch.optim.Adam.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.optim.Adam,
            "step",
            lambda self, *rest: (seen.append(self.param_groups[0]["lr"]), step(self, *rest))[1],
        )
        detector.fit(lesions(8, 0), context())
    assert seen == pytest.approx([1e-3 * (1 - 0.6 * i / 8) for i in range(8)])


def test_the_score_is_that_of_the_official_map() -> None:
    detector = fitted("uflow", lesions(16, 0))
    x = detector.network.inputs(torch.from_numpy(np.array(lesions(4, 1))))
    with torch.no_grad():
        latents, _ = detector.flow(detector.network(x))
    likely = [torch.exp(-0.5 * (z.double() ** 2).mean(1, keepdim=True)) for z in latents]
    fine = [F.interpolate(one, x.shape[-2:], mode="bilinear", align_corners=False) for one in likely]
    official = (1 - torch.stack(fine).mean(0)).amax((1, 2, 3)).numpy()
    np.testing.assert_allclose(1 - np.exp(-detector.score(lesions(4, 1), context())), official, rtol=1e-4)


def test_lesions_are_found() -> None:
    detector = fitted("uflow", lesions(64, 0), '"train.epochs" = 8\n"train.lr" = 1e-3')
    scores = detector.score(lesions(20, 1), context())
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.7, "the AUROC on coarse lesions"


def test_two_transformers_are_taken_as_one_backbone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fitted, saved and loaded on two scales; the larger image is the one that images are resized to."""
    monkeypatch.setattr(ms_cait, "NETWORKS", TWO)
    settings = UflowTraining.parse({"weights": "none", "flow": {"steps": 2}, "train": {"epochs": 1}})
    detector = Uflow(settings, settings)
    detector.fit(lesions(8, 0), context())
    assert detector.flow.shapes == [[192, 4, 4], [192, 2, 2]]
    assert detector.network.inputs.sides(28, 28) == (64, 64)
    scores = detector.score(lesions(3, 1), context())
    assert np.isfinite(scores).all()
    detector.save(tmp_path / "weights")
    other = Uflow(settings, settings)
    other.load(tmp_path / "weights", context().device)
    assert other.score(lesions(3, 1), context()) == pytest.approx(scores, rel=1e-4)
    monkeypatch.setattr(ms_cait, "NETWORKS", (TWO[0], ("cait_xxs24_224", 32, 0))[::-1])
    with pytest.raises(WeightsError, match="not those of the fit"):
        Uflow(settings, settings).load(tmp_path / "weights", context().device)
