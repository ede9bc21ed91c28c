"""Mean-Shifted Contrastive Loss: the loss, the views, what learns and what stays, and the score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from methods import context, fitted, lesions
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from baselines import meanshift
from baselines.info.meanshift import Meanshift, MeanshiftContrast, MeanshiftScoring

IMAGES = lesions(8, 0)


def settings(**more: Any) -> Meanshift:
    return Meanshift.parse({"backbone": "resnet18.tv_in1k", "weights": "none", "input_size": 32, **more})


def trained(images: np.ndarray = IMAGES, **more: Any) -> meanshift.Meanshift:
    detector = meanshift.Meanshift(settings(**more), MeanshiftScoring())
    detector.fit(images, context())
    return detector


@pytest.mark.parametrize("angular", [False, True])
def test_the_loss_by_hand(angular: bool) -> None:
    first, second = np.random.default_rng(0).normal(size=(2, 3, 4))
    terms = meanshift.contrast(
        torch.from_numpy(first), torch.from_numpy(second), MeanshiftContrast(tau=0.25, angular=angular)
    )
    rows = np.concatenate([first, second])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    losses = []
    for i in range(6):
        others = sum(np.exp(rows[i] @ rows[j] / 0.25) for j in range(6) if j != i)
        losses.append(-np.log(np.exp(rows[i] @ rows[(i + 3) % 6] / 0.25) / others))
    assert terms["contrast"].item() == pytest.approx(np.mean(losses))
    assert ("angular" in terms) == angular
    if angular:
        assert terms["angular"].item() == pytest.approx((first**2).sum() / 3 + (second**2).sum() / 3)


def test_a_batch_of_one_image_has_no_loss_and_no_gradient() -> None:
    first = torch.rand(1, 4, requires_grad=True)
    (loss,) = meanshift.contrast(first, torch.rand(1, 4), MeanshiftContrast()).values()
    loss.backward()
    assert loss.item() == 0
    assert not first.grad.any()


def test_views_are_of_the_images_own_size_and_repeat() -> None:
    x = torch.rand(6, 3, 40, 40)
    one, same, other = (meanshift.view(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert one.shape == x.shape
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert one.min() >= 0
    assert one.max() <= 1 + 1e-6


def test_half_of_the_views_are_blurred_by_a_width_that_scales_with_the_image() -> None:
    spread = {}
    for side in (56, 224):
        x = torch.zeros(200, 1, side, side)
        x[:, :, side // 2, side // 2] = 1
        soft = meanshift.blurred(x, torch.Generator().manual_seed(0))
        torch.testing.assert_close(soft.sum((1, 2, 3)), torch.ones(200))
        if side == 224:  # at 56 px the narrowest blurs are below what is seen
            assert 70 < (soft.amax((1, 2, 3)) < 1).sum() < 130
        at = torch.arange(side) - side // 2
        variance = (soft.sum((1, 2)) * at.square()).sum(1)
        spread[side] = variance.max().sqrt().item()
    assert spread[224] == pytest.approx(2.0, rel=0.05)
    assert spread[56] == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize(("freeze", "first"), [(0, "conv1."), (8, "layer3."), (16, "layer4.")])
def test_the_layers_behind_a_stride_learn(freeze: int, first: str) -> None:
    network = meanshift.Embedding(settings(train={"freeze": freeze}), 0)
    names = [name for name, weight in network.body.named_parameters() if weight.requires_grad]
    assert names == list(network.tuned)
    assert names[0].startswith(first)
    assert not any(name.startswith("fc.") for name in names)


def test_the_layers_of_lite0_that_learn() -> None:
    made = settings(backbone="tf_efficientnet_lite0")
    names = list(meanshift.Embedding(made, 0).tuned)
    assert names[0].startswith("blocks.3.")
    assert names[-1].startswith("bn2.")


def test_a_vision_transformer_learns_as_a_whole_and_takes_any_size() -> None:
    network = meanshift.Embedding(settings(backbone="vit_tiny_patch16_224.augreg_in21k"), 0)
    assert next(iter(network.tuned)) == "cls_token"
    features = network.of(torch.from_numpy(np.array(IMAGES[:2, :, :28, :30])))
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))


def test_training_moves_what_learns_and_nothing_else() -> None:
    more = {"train": {"epochs": 1, "batch": 8, "lr": 0.01}}
    fresh, tuned = meanshift.Embedding(settings(**more), 0), trained(**more).network
    state = tuned.body.state_dict()
    for name, before in fresh.body.state_dict().items():
        assert torch.equal(before, state[name]) == (name not in tuned.tuned), name
    assert all(weight.requires_grad for weight in tuned.tuned.values())


def test_norms_stay_under_the_statistics_that_they_came_with() -> None:
    network = meanshift.Embedding(settings(), 0).train()
    assert not any(module.training for module in network.modules())


def test_the_loss_brings_views_of_one_image_together_and_others_apart() -> None:
    views = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimiser = torch.optim.SGD([views], lr=1.0)
    for _ in range(100):
        optimiser.zero_grad()
        meanshift.contrast(*views, MeanshiftContrast())["contrast"].backward()
        optimiser.step()
    alike = torch.cosine_similarity(views[0][:, None], views[1][None], dim=2)
    assert alike.diagonal().min() > 0.9
    assert alike.fill_diagonal_(-1).max() < 0.2


@pytest.mark.parametrize("k", [1, 2])
def test_the_score_is_the_sum_of_the_squared_distances_to_the_nearest(k: int) -> None:
    detector = meanshift.Meanshift(settings(train={"epochs": 1}), MeanshiftScoring(k=k))
    detector.fit(IMAGES, context())
    test = lesions(4, 1)
    with torch.no_grad():
        bank, queries = (detector.network.of(torch.from_numpy(np.array(x))) for x in (IMAGES, test))
    torch.testing.assert_close(bank, detector.bank)
    distances, _ = NearestNeighbors(n_neighbors=k).fit(bank.double()).kneighbors(queries.double())
    np.testing.assert_allclose(detector.score(test, context()), (distances**2).sum(1), rtol=1e-4)


def test_a_file_of_other_first_weights_is_told(tmp_path: Any) -> None:
    detector = trained(train={"epochs": 1})
    detector.network.fingerprint = "0"
    detector.save(tmp_path / "weights.pt")
    with pytest.raises(
        ValueError, match=r"the weights of resnet18.tv_in1k are not those of the fit: --force"
    ):
        meanshift.Meanshift(settings(), MeanshiftScoring()).load(tmp_path / "weights.pt", torch.device("cpu"))


def test_it_finds_coarse_lesions() -> None:
    test = lesions(20, 1)
    scores = fitted("meanshift", lesions(40, 0)).score(test, context())
    assert roc_auc_score([0] * 20 + [1] * 20, scores) > 0.65
