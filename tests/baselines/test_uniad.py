"""UniAD: attention that sees no neighbour, noise, initial weights and scores by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from methods import build, context, fitted
from torch.nn import functional as F

from baselines.info.uniad import Transformer
from baselines.uniad import Layer, Rebuilder, _rate, aligned, jittered, masked
from suite.data import phantom
from suite.metrics import auroc

TRAIN = phantom.generate(60, 0, 32, 0, "coarse").images
TEST = phantom.generate(10, 10, 32, 1, "coarse").images
SLIM = Transformer(width=8, heads=2, hidden=16, layers=2)


def rebuilder(grid: tuple[int, int] = (4, 4), neighbours: int = 1) -> Rebuilder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Rebuilder(6, grid, neighbours, SLIM).eval()


def test_the_mask_by_hand() -> None:
    assert masked((1, 4), 3).int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    square = masked((3, 4), 3)
    assert square.diagonal().all()
    assert square[5].view(3, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]]
    assert square[0].view(3, 4).int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_attention_by_hand() -> None:
    """An encoder: queries and keys with their place, values without; masked softmax; norm after each sum."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = Layer(Transformer(width=4, heads=1, hidden=8), 1).eval()
        x, places = torch.randn(1, 5, 4), torch.randn(5, 4)
    mask = masked((1, 5), 3)
    attention = layer.attentions[0]
    query, key, value = attention.in_proj_weight.split(4)
    weights = ((x + places) @ query.T) @ ((x + places) @ key.T).transpose(1, 2) / 2
    seen = weights.masked_fill(mask, -torch.inf).softmax(2) @ (x @ value.T)
    expected = F.layer_norm(x + attention.out_proj(seen), [4])
    first, last = layer.perceptron[0], layer.perceptron[3]
    expected = F.layer_norm(expected + last(F.relu(first(expected))), [4])
    torch.testing.assert_close(layer(x, [x], places, mask), expected, rtol=1e-4, atol=1e-5)


def test_one_attention_passes_nothing_of_a_token_to_its_neighbours() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = Layer(SLIM, 2).eval()
        memory = torch.randn(1, 16, 8, requires_grad=True)
        queries, places = torch.randn(1, 16, 8), torch.randn(16, 8)
    mask = masked((4, 4), 3)
    for token in range(16):
        (moved,) = torch.autograd.grad(layer(queries, [memory, memory], places, mask)[0, token, 0], memory)
        assert ((moved[0].abs().sum(1) > 0) == ~mask[token]).all()


def test_it_starts_as_officially() -> None:
    made = rebuilder()
    assert made.places().shape == (16, 8)
    grid = made.places().view(4, 4, 8)
    assert (grid[:, :, :4] == grid[:1, :, :4]).all(), "the first half hangs on the column"
    assert (grid[:, :, 4:] == grid[:, :1, 4:]).all(), "the second on the row"
    assert 0 <= float(grid.min()) < float(grid.max()) <= 1
    first, second = made.decoders
    assert torch.equal(made.queries[0], made.queries[1])
    assert torch.equal(first.attentions[0].in_proj_weight, second.attentions[0].in_proj_weight)
    assert not torch.equal(first.perceptron[0].weight, second.perceptron[0].weight)
    assert not first.perceptron[0].bias.any()
    assert float(made.inward.weight.detach().abs().max()) <= (6 / (6 + 8)) ** 0.5


@pytest.mark.parametrize("grid", [(2, 2), (3, 2), (7, 7), (8, 8)])
def test_small_grids_give_numbers(grid: tuple[int, int]) -> None:
    """With the published 7 x 7 unshrunk, every token of a grid below 8 x 8 can be blind."""
    found = rebuilder(grid, 7)(torch.randn(2, grid[0] * grid[1], 6))
    assert torch.isfinite(found).all()


def test_the_noise_is_that_part_of_a_tokens_length() -> None:
    tokens = torch.full((400, 50, 4), 3.0)
    tokens[:200] *= 10
    noise = jittered(tokens, 20.0, torch.Generator().manual_seed(0)) - tokens
    assert float(noise[200:].std()) == pytest.approx(20 * 6 / 4, rel=0.02)
    assert float(noise[:200].std()) == pytest.approx(20 * 60 / 4, rel=0.02)
    assert torch.equal(jittered(tokens, 0.0, torch.Generator()), tokens)


def test_the_rate_falls_to_a_tenth_at_epoch_800_of_1000() -> None:
    assert [_rate(epoch / 1000) for epoch in (0, 799.9, 800, 999)] == [1.0, 1.0, 0.1, 0.1]


def test_maps_come_to_one_grid_with_corners_upon_corners() -> None:
    ramp = torch.arange(5.0).expand(1, 1, 5, 5)
    found = aligned([ramp, torch.ones(1, 2, 2, 2)], (3, 3))
    assert found.shape == (1, 3, 3, 3)
    assert found[0, 0, 0].tolist() == [0.0, 2.0, 4.0]


@pytest.fixture(scope="module")
def known() -> Any:
    return fitted("uniad", TRAIN)


@pytest.mark.parametrize("pool", ["max", "mean", "std"])
def test_the_score_by_hand(known: Any, tmp_path: Any, pool: str) -> None:
    known.save(tmp_path / "weights")
    detector = build("uniad", f'"score.pool" = "{pool}"')
    detector.load(tmp_path / "weights", context().device)
    with torch.no_grad():
        x = known.network.inputs(torch.from_numpy(TEST.copy()))
        given = aligned(known.network(x), (4, 4))
        rebuilt = known.rebuilder.eval()(given.flatten(2).transpose(1, 2)).transpose(1, 2)
    apart = np.sqrt(((rebuilt.unflatten(2, (4, 4)) - given).numpy() ** 2).sum(1))
    large = F.interpolate(
        torch.from_numpy(apart)[:, None], (32, 32), mode="bilinear", align_corners=True
    ).numpy()[:, 0]
    if pool == "max":
        windows = np.lib.stride_tricks.sliding_window_view(large, (8, 8), axis=(1, 2))
        expected = windows.mean((3, 4)).max((1, 2))
    else:
        expected = getattr(large.reshape(20, -1), pool)(axis=1)
    np.testing.assert_allclose(detector.score(TEST, context()), expected, rtol=1e-3)


def test_it_learns_to_rebuild_and_finds_lesions() -> None:
    told: list[float] = []
    detector = build("uniad", '"train.epochs" = 25')
    detector.fit(TRAIN, context(progress=lambda done, total, m: told.extend(m.values())))
    assert told[-1] < 0.8 * told[0]
    assert auroc(np.repeat([0, 1], 10), detector.score(TEST, context())) > 0.7
