"""Epochs, batches and what becomes of the rest."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.training.sampling import Sampler, steps_in


def sampler(count: int, batch: int, epoch: int, last: str, seed: int = 0) -> Sampler:
    return Sampler(count, batch, epoch, last, torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


def test_steps_of_the_papers_training():
    assert steps_in(200, 200, 32, "carry") == 1250
    assert steps_in(200, 200, 32, "partial") == 1400
    assert steps_in(200, 200, 32, "drop") == 1200
    assert steps_in(200, 200, 48, "carry") == 833  # CSI-1.5 with equal samples
    assert steps_in(200, 300, 48, "carry") == 1250  # with equal steps


def test_the_rest_makes_a_smaller_batch_or_is_dropped_or_carried():
    sizes = {last: [len(sampler(500, 32, 72, last).next()) for _ in range(1)] for last in ("carry",)}
    assert sizes == {"carry": [32]}
    partial = sampler(500, 32, 72, "partial")
    assert [len(partial.next()) for _ in range(6)] == [32, 32, 8, 32, 32, 8]
    drop = sampler(500, 32, 72, "drop")
    assert [len(drop.next()) for _ in range(4)] == [32, 32, 32, 32]


@given(st.integers(1, 60), st.integers(2, 20), st.integers(1, 80))
def test_an_epoch_draws_without_replacement(count, batch, epoch):
    s = sampler(count, batch, epoch, "carry")
    drawn = torch.cat([s.next() for _ in range(-(-2 * epoch // batch))])
    first = drawn[: min(epoch, len(drawn))]
    rounds = -(-epoch // count)
    assert torch.bincount(first, minlength=count).max() <= rounds
    assert first.max() < count
    if epoch <= count:
        assert len(first.unique()) == len(first)


def test_carried_samples_come_first_in_the_next_epoch():
    s = sampler(100, 32, 40, "carry")
    drawn = torch.cat([s.next() for _ in range(5)])
    for start in range(0, 160, 40):
        part = drawn[start : start + 40]
        assert len(part.unique()) == len(part)


def test_the_state_goes_on_where_it_stopped():
    one = sampler(50, 8, 20, "carry")
    for _ in range(4):
        one.next()
    other = sampler(50, 8, 20, "carry", seed=9)
    other.restore(one.state())
    for _ in range(5):
        assert torch.equal(one.next(), other.next())


def test_faults_are_named():
    with pytest.raises(ValueError, match="no training image"):
        sampler(0, 8, 20, "carry")
    with pytest.raises(ValueError, match="nothing is left"):
        sampler(50, 32, 20, "drop")
