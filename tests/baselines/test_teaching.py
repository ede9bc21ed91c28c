"""EfficientAD's teacher: the target by hand, a file of weights or a plain refusal, steps counted and resumed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from methods import context, lesions
from torch.nn import functional as F

from baselines.backbones import Features, WeightsError
from baselines.info.efficientad import SIZES, Distil, Distilled, Given, Pdn, Steps
from baselines.pdn import pdn
from baselines.teaching import STRIDES, Lesson, Lessons, inputs, moments, teacher

SLIM = Distilled(
    backbone="resnet18.tv_in1k",
    weights="none",
    input_size=64,
    pdn=Pdn(width=0.0625),
    distil=Distil(steps=6, batch=4, lr=1e-3),
)
IMAGES = lesions(6, 0)


def bins(values: np.ndarray, count: int) -> np.ndarray:
    """The last axis averaged to ``count`` values, as adaptive pooling is defined."""
    length = values.shape[-1]
    edges = [(k * length // count, -(-(k + 1) * length // count)) for k in range(count)]
    return np.stack([values[..., a:b].mean(-1) for a, b in edges], -1)


def test_the_target_by_hand() -> None:
    """Neighbourhoods cut out of the maps of the image at twice its size, one after the other."""
    features = Features(SLIM, STRIDES, SIZES, 0)
    lesson = Lesson(features, inputs(SLIM), 24)
    images = torch.tensor(IMAGES[:2])
    unit = F.interpolate(images.float() / 255, (128, 128), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    fine, coarse = (one.numpy() for one in features((unit.expand(-1, 3, -1, -1) - mean) / std))
    assert (fine.shape[2:], coarse.shape[2:]) == ((16, 16), (8, 8)), "as a padded PDN's map at 64 px is"
    stages = []
    for one in (fine, coarse):
        side = one.shape[-1]
        around = np.pad(one, ((0, 0), (0, 0), (1, 1), (1, 1)))
        cut = np.stack([around[..., i : i + side, j : j + side] for i in range(3) for j in range(3)], 2)
        values = bins(cut.reshape(2, -1, side, side).transpose(0, 2, 3, 1), 1024)
        spread = F.interpolate(torch.from_numpy(values).permute(0, 3, 1, 2), (16, 16), mode="bilinear")
        stages.append(spread.permute(0, 2, 3, 1).numpy())
    expected = bins(np.concatenate(stages, -1), 24).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(lesson.description(images).numpy(), expected, rtol=1e-3, atol=1e-4)


def test_a_lesson_is_the_image_and_its_standardised_description() -> None:
    lesson = Lesson(Features(SLIM, STRIDES, SIZES, 0), inputs(SLIM), 24)
    lesson.mean, lesson.std = moments(IMAGES, context(), lesson.description, 4)
    x, target = lesson(lesson.inputs(torch.tensor(IMAGES)))
    assert torch.equal(x, inputs(SLIM)(torch.tensor(IMAGES)))
    assert x.shape == (6, 3, 64, 64)
    assert target.shape == (6, 24, 16, 16)
    np.testing.assert_allclose(target.mean((0, 2, 3)).numpy(), 0, atol=1e-3)
    np.testing.assert_allclose(target.std((0, 2, 3), correction=0).numpy(), 1, rtol=1e-3)
    assert lesson.inputs.sides(32, 32) == (128, 128), (
        "what fits into a batch goes by the larger of its two sizes"
    )


def test_moments_by_numpy() -> None:
    maps = 100 + np.random.default_rng(0).normal(size=(6, 3, 4, 5)).astype(np.float32)
    order = torch.tensor([0, 2, 5])
    chosen = iter(torch.from_numpy(maps[[0, 2]]).split(2)), iter(torch.from_numpy(maps[[5]]).split(1))
    given = iter([next(chosen[0]), next(chosen[1])])
    mean, std = moments(IMAGES, context(), lambda some: next(given), 2, order)
    np.testing.assert_allclose(mean.flatten().numpy(), maps[order].mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(std.flatten().numpy(), maps[order].std((0, 2, 3)), rtol=1e-4)
    assert mean.shape == std.shape == (1, 3, 1, 1)


def test_the_pupil_learns_and_becomes_a_frozen_teacher() -> None:
    told: list[float] = []

    def progress(done: int, total: int, metrics: Any) -> None:
        told.extend(value for name, value in metrics.items() if name == "loss_teacher")

    settings = SLIM.model_copy(update={"distil": Distil(steps=40, batch=6, lr=3e-3)})
    made = teacher(settings, 24, IMAGES, context(progress=progress))
    assert told[-1] < 0.9 * told[0]
    assert told[0] == pytest.approx(1, abs=0.2), "before it knows anything it is off by the target's variance"
    assert not made.training
    assert not any(p.requires_grad for p in made.parameters())
    with torch.no_grad():
        assert made(torch.zeros(1, 3, 64, 64)).shape == (1, 24, 8, 8)


def saved(path: Path, content: object) -> Given:
    torch.save(content, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Given(teacher=f"file:{path}", teacher_sha256=digest[:16], input_size=64, pdn=SLIM.pdn)


def test_a_teacher_from_a_file(tmp_path: Path) -> None:
    state = pdn(SLIM.pdn, 24).state_dict()
    made = teacher(saved(tmp_path / "t.pt", state), 24, IMAGES, context())
    assert all(torch.equal(value, state[name]) for name, value in made.state_dict().items())
    assert not made.training
    assert not any(p.requires_grad for p in made.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    settings = saved(tmp_path / "t.pt", pdn(SLIM.pdn, 24).state_dict())
    wrong = settings.model_copy(update={"teacher_sha256": "0" * 16})
    with pytest.raises(WeightsError, match="is not the file asked for: its SHA-256 is"):
        teacher(wrong, 24, IMAGES, context())


@pytest.mark.parametrize("other", [pdn(Pdn(size="medium", width=0.0625), 24), pdn(SLIM.pdn, 16)])
def test_another_networks_weights_are_refused(other: torch.nn.Module, tmp_path: Path) -> None:
    settings = saved(tmp_path / "t.pt", other.state_dict())
    with pytest.raises(WeightsError, match=r"weights of another network than a PDN \(small\)") as error:
        teacher(settings, 24, IMAGES, context())
    assert "\n" not in str(error.value)


def test_pickle_is_refused(tmp_path: Path) -> None:
    settings = saved(tmp_path / "t.pt", pdn(SLIM.pdn, 24))
    with pytest.raises(WeightsError, match="no state dict that can be read without pickle"):
        teacher(settings, 24, IMAGES, context())


def lessons(module: torch.nn.Module, taught: torch.nn.Module | None, steps: int = 7) -> Lessons:
    def loss(batch: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {"one": module(batch.float()).square().mean()}

    train = Steps(steps=steps, batch=4) if taught is not None else Distil(steps=steps, batch=4)
    return Lessons(module, loss, 3, train, context(), taught=taught)


def test_training_is_by_steps_whatever_the_number_of_images() -> None:
    fit = lessons(torch.nn.Linear(2, 2), None)
    assert (fit.total, fit.sampler.batch) == (7, 3), "a batch holds no image twice"
    while fit.step < fit.total:
        fit.advance(torch.ones(len(fit.sampler.next()), 2, dtype=torch.uint8))
    assert fit.step == 7


def test_a_students_checkpoint_brings_the_teacher_along() -> None:
    """And one of the teacher's own training is none of the student's."""
    pupil, frozen, student = (torch.nn.Linear(2, 2) for _ in range(3))
    first, second = lessons(pupil, None), lessons(student, frozen)
    second.advance(torch.ones(3, 2, dtype=torch.uint8))
    later = second.state()
    first.restore(later)
    assert first.step == first.total, "nothing is taught again"
    assert torch.equal(pupil.weight, frozen.weight)
    again = lessons(torch.nn.Linear(2, 2), frozen)
    again.restore(later)
    assert again.step == 1
    fresh = lessons(torch.nn.Linear(2, 2), frozen)
    before = fresh.modules.weight.clone()
    fresh.restore(lessons(torch.nn.Linear(2, 2), None).state())
    assert fresh.step == 0
    assert torch.equal(fresh.modules.weight, before)
