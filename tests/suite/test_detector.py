"""Seeds depend on what they are for and on nothing else; a context leaves the global random state alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.detector import Context, Interrupted, derive_seed

SEEDS = st.integers(0, 2**31)
GOLDEN = (8432303663033437212, 6062086203531407875)


def test_derived_seeds_stay_what_they_are() -> None:
    """Every random number of every finished run hangs on these."""
    assert derive_seed(0, "weights") == GOLDEN[0]
    assert derive_seed(2, "view", 3, 1) == GOLDEN[1]


@given(seed=SEEDS, names=st.lists(st.text(max_size=5) | st.integers(), max_size=3))
def test_a_derived_seed_is_one_that_torch_takes(seed: int, names: list[object]) -> None:
    value = derive_seed(seed, *names)
    assert 0 <= value < 2**63
    torch.Generator().manual_seed(value)


@given(seed=SEEDS)
def test_purposes_and_seeds_have_streams_of_their_own(seed: int) -> None:
    seeds = {
        derive_seed(seed, "a"),
        derive_seed(seed, "b"),
        derive_seed(seed, "a", "b"),
        derive_seed(seed + 1, "a"),
    }
    assert len(seeds) == 4


def test_a_generator_does_not_depend_on_the_order_of_asking() -> None:
    context = Context(device=torch.device("cpu"), seed=7)
    first, second = context.generator("first"), context.generator("second")
    again = Context(device=torch.device("cpu"), seed=7)
    late, early = again.generator("second"), again.generator("first")
    assert torch.equal(torch.rand(4, generator=first), torch.rand(4, generator=early))
    assert torch.equal(torch.rand(4, generator=second), torch.rand(4, generator=late))


def test_a_generator_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    torch.rand(4, generator=Context(device=torch.device("cpu"), seed=7).generator("views"))
    assert torch.equal(state, torch.get_rng_state())


def test_a_pulse_interrupts_once_asked_to() -> None:
    asked = False
    context = Context(device=torch.device("cpu"), seed=0, stop=lambda: asked)
    context.pulse()
    asked = True
    with pytest.raises(Interrupted):
        context.pulse()
