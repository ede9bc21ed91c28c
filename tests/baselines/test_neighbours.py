"""The blocked search is exact, whatever the blocks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baselines import neighbours
from baselines.neighbours import nearest


@given(
    st.integers(1, 20),
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(0, 9),
)
def test_it_is_the_brute_force_answer_in_any_blocks(
    n: int, m: int, k: int, queries: int, bank: int, seed: int
) -> None:
    k = min(k, m)
    generator = torch.Generator().manual_seed(seed)
    q, b = (torch.randint(0, 256, (rows, 6), dtype=torch.uint8, generator=generator) for rows in (n, m))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "QUERIES", queries)
        patch.setattr(neighbours, "BANK", bank)
        squared, at = nearest(q, b, k)
    brute = (q.long()[:, None] - b.long()[None]).square().sum(-1)
    assert (squared == brute.sort(dim=1).values[:, :k]).all(), "whole numbers: exactly"
    assert (brute.gather(1, at) == squared).all()
    assert all(len(set(row.tolist())) == k for row in at)


def test_real_numbers_to_the_last_digits() -> None:
    generator = torch.Generator().manual_seed(0)
    q, b = (torch.randn(rows, 64, generator=generator) + 100 for rows in (30, 50))
    squared, _ = nearest(q, b, 1)
    brute = (q.double()[:, None] - b.double()[None]).square().sum(-1).min(1).values
    torch.testing.assert_close(squared[:, 0], brute, rtol=1e-9, atol=0)


def test_errors_name_the_setting() -> None:
    with pytest.raises(ValueError, match=r"k = 3 .* 2 training images: lower score\.k"):
        nearest(torch.zeros(1, 4), torch.zeros(2, 4), 3)
    with pytest.raises(ValueError, match="images have 4 values, those of training 5"):
        nearest(torch.zeros(1, 4), torch.zeros(2, 5))
