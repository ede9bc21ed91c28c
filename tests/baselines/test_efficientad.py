"""EfficientAD: the hard-feature loss, all terms, the quantiles and the score by hand; held-out images are held out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from methods import build, context, fitted, lesions

from baselines.efficientad import LEVELS, hardest
from baselines.pdn import jittered
from suite.detector import Context

BRIEF = 'dropout = 0.0\n"distil.steps" = 2\n"train.steps" = 2\n"train.batch" = 2\n'
IMAGES = lesions(21, 0)
CHANNELS = 48
"""Of a description, under the smoke profile."""


@pytest.fixture(scope="module")
def known() -> Any:
    return fitted("efficientad", IMAGES, BRIEF)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The training images that are trained on, and those that are not."""
    order = torch.randperm(21, generator=context().generator("held out")).numpy()
    return IMAGES[np.sort(order[:18])], IMAGES[np.sort(order[18:])]


def maps(detector: Any, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How teacher and student, and how autoencoder and student, differ."""
    with torch.no_grad():
        x = detector.inputs(torch.tensor(images))
        taught = (detector.teacher(x).numpy() - detector.mean.numpy()) / detector.std.numpy()
        student = detector.networks["student"](x).numpy()
        whole = detector.networks["autoencoder"](x).numpy()
    return (
        ((taught - student[:, :CHANNELS]) ** 2).mean(1),
        ((whole - student[:, CHANNELS:]) ** 2).mean(1),
    )


@given(st.integers(1, 4000), st.integers(0, 9))
def test_the_hard_features_are_those_not_below_the_quantile(count: int, seed: int) -> None:
    """Each image by itself, against numpy's quantile."""
    values = np.random.default_rng(seed).permutation(np.arange(2 * count, dtype=np.float64)).reshape(2, count)
    expected = [row[row >= np.quantile(row, 0.999) - 1e-6].mean() for row in values]
    found = hardest(torch.from_numpy(values).view(2, 1, count, 1))
    assert found.tolist() == pytest.approx(expected)


def test_the_hardest_by_hand() -> None:
    """Of 0, 1, ..., 2000 the quantile is 1998: three values are not below it."""
    assert float(hardest(torch.arange(2001.0)[None])) == 1999


def test_all_terms_by_hand(known: Any) -> None:
    images = torch.tensor(IMAGES[:2])
    unit = known.inputs.unit(images)
    penalty = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        terms = known.losses(unit, penalty, torch.Generator().manual_seed(3))
        x = known.inputs.normalised(jittered(unit, torch.Generator().manual_seed(3)))
        assert not torch.equal(x, known.inputs.normalised(unit))
        plain, other = known.inputs(images), known.networks["student"](penalty)[:, :CHANNELS].numpy()
        student, again = (known.networks["student"](one).numpy() for one in (plain, x))
        whole = known.networks["autoencoder"](x).numpy()
        mean, std = known.mean.numpy(), known.std.numpy()
        taught, jitter = ((known.teacher(one).numpy() - mean) / std for one in (plain, x))
    squared = ((taught - student[:, :CHANNELS]) ** 2).reshape(2, -1)
    hard = [row[row >= np.quantile(row, 0.999)].mean() for row in squared]
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(
        {
            "hard": np.mean(hard),
            "penalty": (other**2).mean(),
            "autoencoder": ((jitter - whole) ** 2).mean(),
            "student": ((whole - again[:, CHANNELS:]) ** 2).mean(),
        },
        rel=1e-3,
    )


def test_the_teacher_is_standardised_over_what_is_trained_on(known: Any) -> None:
    kept, _ = held_out()
    with torch.no_grad():
        found = known.teacher(known.inputs(torch.tensor(kept))).numpy()
    np.testing.assert_allclose(known.mean.flatten(), found.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(known.std.flatten(), found.std((0, 2, 3)), rtol=1e-3)


def test_quantiles_are_those_of_held_out_images(known: Any) -> None:
    """A tenth of the training images, rounded up, pixels of all of them together."""
    _, held = held_out()
    assert len(held) == 3
    expected = [np.quantile(one, LEVELS) for one in maps(known, held)]
    np.testing.assert_allclose(known.bounds.numpy(), expected, rtol=1e-3)


def test_the_score_by_hand(known: Any) -> None:
    images = lesions(3, 1)
    taken = []
    for one, (low, high) in zip(maps(known, images), known.bounds.numpy(), strict=True):
        taken.append(0.1 * (one - low) / (high - low))
    expected = np.mean(taken, 0).reshape(len(images), -1).max(1)
    assert known.score(images, context()) == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_one_image_is_too_few() -> None:
    with pytest.raises(ValueError, match="EfficientAD needs two training images at least"):
        build("efficientad").fit(IMAGES[:1], context())


def given_teacher(path: Path, known: Any) -> str:
    torch.save(known.teacher.state_dict(), path)
    return f'teacher = "file:{path}"\nteacher_sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\n'


def test_with_a_teachers_file_nothing_is_distilled_and_held_out_images_teach_nothing(
    known: Any, tmp_path: Path
) -> None:
    """Other held-out images change the quantiles and nothing else; the teacher stays as it came."""
    settings = BRIEF + given_teacher(tmp_path / "t.pt", known)
    order = torch.randperm(21, generator=context().generator("held out")).numpy()
    other = IMAGES.copy()
    other[order[18:]] = 255 - other[order[18:]]
    told: list[str] = []

    def seen(images: np.ndarray) -> Any:
        detector = build("efficientad", settings)
        detector.fit(images, context(progress=lambda done, total, metrics: told.extend(metrics)))
        return detector

    one, two = seen(IMAGES), seen(other)
    assert "loss_hard" in told
    assert "loss_teacher" not in told
    for name, value in one.networks.state_dict().items():
        assert torch.equal(value, two.networks.state_dict()[name])
    for name, value in known.teacher.state_dict().items():
        assert torch.equal(value, one.teacher.state_dict()[name])
    assert not torch.equal(one.bounds, two.bounds)


def test_the_penalty_acts_where_its_images_are_given(known: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    settings = BRIEF + given_teacher(tmp_path / "t.pt", known)
    told: list[set[str]] = []
    states = []
    for more in ("", f'penalty = "file:{path}"\npenalty_sha256 = "{digest}"\n'):
        names: set[str] = set()
        detector = build("efficientad", settings + more)
        detector.fit(
            IMAGES, context(progress=lambda done, total, metrics, names=names: names.update(metrics))
        )
        told.append(names)
        states.append(detector.networks["student"].state_dict()["0.weight"])
    terms = {"loss_hard", "loss_autoencoder", "loss_student"}
    assert told == [terms, terms | {"loss_penalty"}]
    assert not torch.equal(*states)


def test_the_rate_falls_to_a_tenth(known: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After 95 % of the steps: of 20 the last one is taken at a tenth."""
    rates: list[float] = []
    step = torch.optim.Adam.step

    def noted(self: torch.optim.Adam, *arguments: Any, **named: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.Adam, "step", noted)
    settings = given_teacher(tmp_path / "t.pt", known) + '"train.steps" = 20\n"train.lr" = 1e-3\n'
    fitted("efficientad", IMAGES, settings)
    assert rates == pytest.approx([1e-3] * 19 + [1e-4])


def test_a_snapshot_is_measured_before_it_is_taken() -> None:
    bounds: list[torch.Tensor] = []

    def snapshot(step: int, total: int, detector: Any) -> None:
        bounds.append(detector.bounds.clone())

    detector = build("efficientad", BRIEF)
    at_hand: Context = context(snapshots=2, snapshot=snapshot)
    detector.fit(IMAGES, at_hand)
    assert len(bounds) == 1, "the teacher's training gives none"
    assert bounds[0].shape == (2, 2)
    assert not torch.equal(bounds[0], detector.bounds)


@pytest.mark.long
def test_coarse_lesions_are_found() -> None:
    more = '"distil.batch" = 16\n"distil.steps" = 60\n"distil.lr" = 3e-3\n'
    more += '"train.steps" = 100\n"train.batch" = 4\n"train.lr" = 2e-3\n'
    detector = fitted("efficientad", lesions(100, 0), more)
    scores = detector.score(lesions(20, 1), context())
    assert (scores[:20, None] < scores[None, 20:]).mean() > 0.8, "the AUROC on coarse lesions"
