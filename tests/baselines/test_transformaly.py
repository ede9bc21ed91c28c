"""Transformaly: the teacher's states, its students, both densities and the score, against independent values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from methods import context, fitted, lesions
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from torch import nn

from baselines.backbones import WeightsError
from baselines.info.transformaly import Transformaly as Settings
from baselines.transformaly import Gaussian, Students, Teacher, Transformaly, whitening
from suite.registry import NoSettings

VIT, RESNET, LITE0 = "vit_tiny_patch16_224.augreg_in21k", "resnet18.tv_in1k", "tf_efficientnet_lite0"
BLOCKS = {VIT: 12, RESNET: 4, LITE0: 7}
IMAGES = lesions(8, 0)


def settings(backbone: str = RESNET, **more: Any) -> Settings:
    nested = {"backbone": backbone, "weights": "none", "input_size": 32, "skip": 0, **more}
    return Settings.parse(nested)


def pair(backbone: str) -> tuple[Teacher, Students, list[torch.Tensor]]:
    """A teacher, its students, and what the teacher makes of two images."""
    teacher = Teacher(settings(backbone), 0)
    students = Students(teacher, torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = teacher(teacher.inputs(torch.from_numpy(np.array(IMAGES[:2]))))
    return teacher, students, made


@pytest.mark.parametrize("backbone", BLOCKS)
def test_students_with_the_teachers_weights_make_no_errors(backbone: str) -> None:
    """Each is given the input of its own block, and compared with the output of that block."""
    teacher, students, made = pair(backbone)
    for student, stage in zip(students.imitate, teacher.stages, strict=True):
        student.load_state_dict(stage.state_dict())
    with torch.no_grad():
        errors = students.eval()(made[:-1])
        features = teacher.body.forward_head(
            teacher.body.forward_features(teacher.inputs(torch.from_numpy(np.array(IMAGES[:2])))),
            pre_logits=True,
        )
    assert errors.shape == (2, BLOCKS[backbone])
    assert errors.abs().max() < 1e-9
    torch.testing.assert_close(made[-1], features)
    assert features.shape == (2, teacher.body.num_features if backbone != LITE0 else 1280)


def test_an_error_is_the_mean_square_over_an_images_values() -> None:
    _, students, _ = pair(RESNET)
    students.imitate = nn.ModuleList([nn.Identity(), nn.Identity()])
    states = [torch.zeros(2, 1, 1, 2), torch.tensor([[[[3.0, 4.0]]], [[[1.0, 1.0]]]]), torch.ones(2, 1, 1, 2)]
    assert students(states).tolist() == [[12.5, (4 + 9) / 2], [1.0, 0.0]]


@pytest.mark.parametrize("backbone", [VIT, RESNET])
def test_students_start_by_xaviers_rule_and_learn_alone(backbone: str) -> None:
    teacher, students, made = pair(backbone)
    for name, weight in students.imitate[1].named_parameters():
        own = teacher.stages[1].get_parameter(name)
        assert weight.requires_grad
        assert not own.requires_grad
        if weight.ndim > 1:
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
            assert weight.std().item() == pytest.approx(math.sqrt(2 / (fan_in + fan_out)), rel=0.05)
            assert not torch.equal(weight, own)
    students(made[:-1])[:, 1].sum().backward()
    moved = [any(p.grad.any() for p in student.parameters()) for student in students.imitate]
    assert moved == [False, True] + [False] * (len(moved) - 2)
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(
    ("variances", "count"), [([5, 3, 2], 2), ([8, 1.5, 0.5], 1), ([95, 4, 1], 1), ([1, 1, 1], 2)]
)
def test_the_directions_explain_at_most_the_share(variances: list[float], count: int) -> None:
    rng = np.random.default_rng(0)
    rows = np.linalg.qr(rng.normal(size=(50, 3)) - 0.0)[0]
    rows = rows - rows.mean(0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T * np.sqrt(variances)
    directions = whitening(torch.from_numpy(rows), 0.9)
    assert directions.shape == (3, count)
    known = PCA(count, svd_solver="full", whiten=True).fit_transform(rows)
    found = (torch.from_numpy(rows - rows.mean(0)) @ directions).numpy()
    if len(set(variances)) == 3:  # directions of equal variance are any basis of their plane
        np.testing.assert_allclose(np.abs(found), np.abs(known), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dimensions", [1, 4])
def test_the_density_is_sklearns(dimensions: int) -> None:
    rng = np.random.default_rng(1)
    rows, others = rng.normal(size=(30, dimensions)) * 0.01, rng.normal(size=(7, dimensions)) * 0.01
    known = GaussianMixture(1).fit(rows).score_samples(others)
    found = Gaussian.of(torch.from_numpy(rows))(torch.from_numpy(others))
    np.testing.assert_allclose(found.numpy(), known, rtol=1e-6)


def test_the_score_is_the_sum_of_two_negative_log_densities() -> None:
    detector = Transformaly(settings(skip=1, train={"epochs": 1, "batch": 4}), NoSettings())
    detector.fit(IMAGES, context())
    test = lesions(3, 1)
    with torch.no_grad():
        train_features, train_errors = (
            x.numpy() for x in detector._spaces(torch.from_numpy(np.array(IMAGES)))
        )
        features, errors = (x.numpy() for x in detector._spaces(torch.from_numpy(np.array(test))))
    assert errors.shape == (6, 3), "the first block's errors do not count"
    count = detector.white.shape[1]
    pca = PCA(count, svd_solver="full", whiten=True).fit(train_features)
    explained = PCA(svd_solver="full").fit(train_features).explained_variance_ratio_.cumsum()
    assert explained[count - 1] <= 0.9 < explained[count]
    known = GaussianMixture(1).fit(pca.transform(train_features)).score_samples(pca.transform(features))
    after = context()
    scores = detector.score(test, after)
    np.testing.assert_allclose(after.parts["pretrained"], -known, rtol=1e-4)
    known = GaussianMixture(1).fit(train_errors).score_samples(errors)
    np.testing.assert_allclose(after.parts["finetuned"], -known, rtol=1e-3)
    np.testing.assert_allclose(scores, after.parts["pretrained"] + after.parts["finetuned"])


@pytest.mark.parametrize(("backbone", "steps"), [(VIT, 3), (RESNET, 2)])
def test_the_rest_of_an_epoch_is_a_batch_unless_students_have_batch_norms(backbone: str, steps: int) -> None:
    totals = set()
    detector = Transformaly(settings(backbone, train={"epochs": 1, "batch": 2}), NoSettings())
    detector.fit(
        IMAGES[:5], context(progress=lambda step, total, metrics: totals.add(total) if metrics else None)
    )
    assert totals == {steps}


def test_the_loss_falls_and_the_teacher_stays() -> None:
    told: list[float] = []
    detector = Transformaly(settings(train={"epochs": 10, "batch": 8, "lr": 1e-3}), NoSettings())
    detector.fit(IMAGES, context(progress=lambda step, total, metrics: told.extend(metrics.values())))
    assert told[-1] < 0.7 * told[0]
    assert detector.teacher is not None
    fresh = Teacher(settings(), 0).state_dict()
    assert all(torch.equal(fresh[name], value) for name, value in detector.teacher.state_dict().items())


def test_faults_are_told() -> None:
    with pytest.raises(
        ValueError, match=r"skip = 4 leaves none of the 4 blocks of resnet18\.tv_in1k: lower it"
    ):
        Transformaly(settings(skip=4), NoSettings()).fit(IMAGES, context())
    with pytest.raises(ValueError, match="two at least"):
        Transformaly(settings(), NoSettings()).fit(IMAGES[:1], context())
    with pytest.raises(WeightsError, match=r"finds no blocks in densenet121: take a ViT"):
        Transformaly(settings("densenet121"), NoSettings()).fit(IMAGES, context())


def test_it_finds_coarse_lesions() -> None:
    test = lesions(20, 1)
    scores = fitted("transformaly", lesions(60, 0)).score(test, context())
    assert roc_auc_score([0] * 20 + [1] * 20, scores) > 0.65
