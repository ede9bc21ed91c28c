"""PatchCore: patches as the official code makes them, exact distances, and the paper's weight by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from methods import build, context, fitted
from scipy.spatial.distance import cdist
from scipy.special import softmax
from torch.nn import functional as F

from suite.data import phantom
from suite.metrics import auroc

TRAIN = phantom.generate(60, 0, 32, 0, "coarse").images
TEST = phantom.generate(10, 10, 32, 1, "coarse").images


@pytest.fixture(scope="module")
def known() -> Any:
    return fitted("patchcore", TRAIN)


def patches(detector: Any, images: np.ndarray) -> np.ndarray:
    """As the official code makes them: every neighbourhood cut out, the coarse ones brought to the fine grid one
    value after the other, each averaged to 1,024, both stacked and averaged again.
    """
    with torch.no_grad():
        maps = detector.network(detector.network.inputs(torch.from_numpy(np.array(images))))
    fine, coarse = (_neighbourhoods(one.numpy()) for one in maps)
    count, side = fine.shape[:2]
    assert coarse.shape[:3] == (count, side // 2, side // 2)
    spread = F.interpolate(torch.from_numpy(coarse).permute(0, 3, 1, 2), (side, side), mode="bilinear")
    stages = [_bins(one.reshape(-1, one.shape[-1])) for one in (fine, spread.permute(0, 2, 3, 1).numpy())]
    return _bins(np.stack(stages, 1).reshape(count * side * side, -1)).reshape(count, side * side, 1024)


def _neighbourhoods(maps: np.ndarray) -> np.ndarray:
    padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = maps.shape[2:]
    return np.stack(
        [
            np.stack([padded[:, :, i : i + 3, j : j + 3].reshape(len(maps), -1) for j in range(width)], 1)
            for i in range(height)
        ],
        1,
    )


def _bins(rows: np.ndarray, to: int = 1024) -> np.ndarray:
    """Adaptive average pooling: bin i is the mean from floor(i n / to) to ceil((i + 1) n / to)."""
    n = rows.shape[1]
    edges = [(i * n // to, -(-(i + 1) * n // to)) for i in range(to)]
    return np.stack([rows[:, start:end].mean(1) for start, end in edges], 1)


def test_patches_are_the_official_ones(known: Any) -> None:
    with torch.no_grad():
        made = known._patches(torch.from_numpy(TEST[:3])).numpy()
    np.testing.assert_allclose(made, patches(known, TEST[:3]), rtol=1e-4, atol=1e-5)


def test_the_bank_is_a_part_of_the_patches(known: Any) -> None:
    rows = patches(known, TRAIN).reshape(-1, 1024)
    assert known.bank.shape == (60 * 16 // 4, 1024)
    assert cdist(known.bank.numpy(), rows).min(1).max() < 1e-3


@pytest.mark.parametrize("k", [1, 3])
def test_the_score_is_the_distance_of_the_worst_patch(known: Any, tmp_path, k: int) -> None:
    known.save(tmp_path / "weights")
    detector = build("patchcore", f'"score.k" = {k}')
    detector.load(tmp_path / "weights", context().device)
    apart = cdist(patches(known, TEST).reshape(-1, 1024), known.bank.numpy())
    expected = np.sort(apart, 1)[:, :k].mean(1).reshape(20, 16).max(1)
    np.testing.assert_allclose(detector.score(TEST, context()), expected, rtol=1e-4)


def test_the_papers_weight_by_hand(known: Any, tmp_path) -> None:
    """Eq. 7: less weight where the neighbours of the nearest patch are nearly as near."""
    known.save(tmp_path / "weights")
    detector = build("patchcore", '"score.reweight" = 5')
    detector.load(tmp_path / "weights", context().device)
    bank, expected = known.bank.double().numpy(), []
    for one in patches(known, TEST).astype(float):
        apart = cdist(one, bank)
        worst = apart.min(1).argmax()
        nearest = apart[worst].argmin()
        around = cdist(bank[nearest : nearest + 1], bank)[0].argsort(kind="stable")[:5]
        assert nearest in around
        weights = softmax(apart[worst][around])
        expected.append((1 - weights[list(around).index(nearest)]) * apart[worst, nearest])
    np.testing.assert_allclose(detector.score(TEST, context()), expected, rtol=1e-4)


def test_lesions_are_found(known: Any) -> None:
    assert auroc(np.repeat([0, 1], 10), known.score(TEST, context())) > 0.8


def test_a_large_set_says_how_it_was_thinned_out() -> None:
    where = context()
    build("patchcore", '"coreset.bank" = 50\n"coreset.chunk" = 400').fit(TRAIN, where)
    assert where.notes == [
        "coreset taken in 3 chunks of at most 400 patches",
        "bank capped at 50 patches, 0.25 is 240",
    ]


def test_more_neighbours_than_patches_is_an_error() -> None:
    detector = build("patchcore", '"score.reweight" = 9\n"coreset.bank" = 8')
    detector.fit(TRAIN[:5], context())
    with pytest.raises(ValueError, match=r"8 patches in the bank: lower score\.reweight"):
        detector.score(TEST, context())
