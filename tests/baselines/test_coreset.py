"""The coreset is the greedy one, chunk by chunk, in memory that does not grow with the number of images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from methods import context
from scipy.spatial.distance import cdist
from torch import Tensor

from baselines.coreset import MemoryBank, Patches, _projection, greedy
from baselines.info.patchcore import Coreset
from suite.detector import Context, Interrupted


def lacking(features: Tensor, chosen: list[int], drawn: Tensor) -> float:
    """By how much a choice falls short of the greedy one, at the worst pick, with the whole matrix of distances.
    (Rows may be equally far, so that there may be several greedy choices.)
    """
    apart = cdist(features.numpy(), features.numpy())
    nearest, worst = apart[:, drawn.numpy()].mean(1), 0.0
    for one in chosen:
        worst = max(worst, float(nearest.max() - nearest[one]))
        nearest = np.minimum(nearest, apart[:, one])
        nearest[one] = -1
    return worst


@given(st.integers(2, 60), st.integers(1, 9), st.floats(0.01, 0.99), st.integers(1, 12), st.integers(0, 999))
def test_it_is_the_naive_greedy_choice(n: int, width: int, share: float, starts: int, seed: int) -> None:
    drawing = torch.Generator().manual_seed(seed)
    features = 5 + torch.randn(n, width, generator=drawing, dtype=torch.float64)
    count = max(1, int(share * n))
    found = greedy(features, count, starts, torch.Generator().manual_seed(seed))
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:starts]
    assert len(set(found.tolist())) == count
    assert lacking(features, found.tolist(), drawn) < 1e-6


def test_a_choice_at_random_is_not_taken_for_the_greedy_one() -> None:
    features = torch.randn(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert lacking(features, list(range(10)), torch.arange(10, 20)) > 0.1


def test_no_row_is_chosen_twice_among_equals() -> None:
    found = greedy(torch.ones(50, 3), 20, 10, torch.Generator().manual_seed(0))
    assert len(set(found.tolist())) == 20
    assert greedy(torch.ones(4, 3), 4, 10, torch.Generator()).tolist() == [0, 1, 2, 3]


def test_clusters_are_all_found() -> None:
    """What the coreset is for: a rare kind of patch is kept, which a random choice would miss."""
    drawing = torch.Generator().manual_seed(0)
    centres = 100 * torch.randn(20, 16, generator=drawing)
    sizes = [1000] * 10 + [2] * 10
    features = torch.cat(
        [c + torch.randn(n, 16, generator=drawing) for c, n in zip(centres, sizes, strict=True)]
    )
    found = greedy(features, 40, 10, torch.Generator().manual_seed(1))
    nearest = torch.cdist(centres, features[found]).min(1).values
    assert (nearest < 15).all()


def test_the_projection_is_that_of_a_linear_layer() -> None:
    drawn = _projection(1024, 128, context())
    assert drawn is not None
    assert drawn.shape == (1024, 128)
    assert float(drawn.abs().max()) == pytest.approx(1 / 32, rel=1e-3)
    assert float(drawn.std()) == pytest.approx(1 / 32 / 3**0.5, rel=1e-2)
    assert _projection(128, 128, context()) is None


def source(features: Tensor) -> Patches:
    """``features`` (images x rows x width), read by twos."""

    def patches(order: Tensor, reading: Context) -> Iterator[Tensor]:
        for some in order.split(2):
            reading.pulse()
            yield features[some].flatten(0, 1)

    return patches


FEATURES = torch.randn(30, 4, 8, generator=torch.Generator().manual_seed(0))


def bank(where: Context, **settings: float) -> MemoryBank:
    made = MemoryBank(30, 4, 8, Coreset.parse({"share": 0.2, **settings}), where, source(FEATURES))
    made.fill()
    return made


def test_a_small_set_is_thinned_out_as_a_whole() -> None:
    where = context()
    found = bank(where).features
    chosen = greedy(FEATURES.flatten(0, 1), 24, 10, where.generator("coreset", "starts", 0))
    assert torch.equal(found, FEATURES.flatten(0, 1)[chosen])
    assert where.notes == []
    assert torch.equal(bank(context(), share=1.0).features, FEATURES.flatten(0, 1))


def test_each_chunk_gives_its_part() -> None:
    where = context()
    made = bank(where, chunk=48)
    assert made.edges == [0, 10, 20, 30]
    place = {tuple(row.tolist()): image for image in range(30) for row in FEATURES[image]}
    chunk_of = {image: number // 10 for number, image in enumerate(made.order.tolist())}
    assert [chunk_of[place[tuple(row.tolist())]] for row in made.features] == [0] * 8 + [1] * 8 + [2] * 8
    assert where.notes == ["coreset taken in 3 chunks of at most 48 patches"]


def test_the_cap_is_kept_and_told() -> None:
    where = context()
    assert len(bank(where, bank=7, chunk=20).features) == 7
    assert where.notes[1] == "bank capped at 7 patches, 0.2 is 24"


def test_fewer_patches_than_chunks_leave_some_without_any() -> None:
    made = bank(context(), bank=2, chunk=1)
    rows = {tuple(row.tolist()) for row in FEATURES.flatten(0, 1)}
    assert {tuple(row.tolist()) for row in made.features} < rows


def test_the_seed_moves_the_choice() -> None:
    first, again, other = (bank(context(seed), chunk=48).features for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_stopped_search_goes_on_with_the_next_chunk(tmp_path: Path) -> None:
    whole = bank(context(), chunk=48).features
    asked = iter(range(1000))
    with pytest.raises(Interrupted):
        bank(context(folder=tmp_path, checkpoint_every=0, stop=lambda: next(asked) > 12), chunk=48)
    read: list[int] = []

    def patches(order: Tensor, reading: Context) -> Iterator[Tensor]:
        read.extend(order.tolist())
        return source(FEATURES)(order, reading)  # type: ignore[return-value]

    settings = Coreset(share=0.2, chunk=48)
    made = MemoryBank(30, 4, 8, settings, context(folder=tmp_path), patches)
    made.fill()
    assert torch.equal(made.features, whole)
    assert 0 < len(read) < 30


MEASURED = """
import sys, torch
from baselines.coreset import MemoryBank
from baselines.info.patchcore import Coreset
from suite.detector import Context

ROWS, WIDTH, CHUNK, BANK = 196, 64, 20_000, 4_000

def patches(order, reading):
    for some in order.split(16):
        yield torch.randn(len(some) * ROWS, WIDTH)

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def fill(count):
    where = Context(device=torch.device("cpu"), seed=0)
    MemoryBank(count, ROWS, WIDTH, Coreset(bank=BANK, chunk=CHUNK), where, patches).fill()

torch.set_num_threads(1)
fill(20)
before = peak()
fill(int(sys.argv[1]))
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_images() -> None:
    """The peak of a process of its own, over that of a small set: 3,000 images are 588,000 patches or 150 MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "3000"], capture_output=True, text=True, check=True
    )
    chunk, bank = 4 * 64 * 20_000, 4 * 64 * 4_000
    assert int(done.stdout) < 4 * chunk + bank + 8 * 2**20
