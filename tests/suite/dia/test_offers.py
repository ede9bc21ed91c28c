"""What names a strip, a matrix, a cost: all that acts on it and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from suite.dia import offers
from suite.dia.info import CSI, DIA
from suite.registry import Need
from suite.settings import Settings

DATA = {"name": "toy", "size": 224, "normal_class": [0], "split": "paper"}
STEPS = {"kind": "dissolving", "steps": [1, 100], "images": 2}
KERNELS = {"kind": "kernels", "kernels": [3, 7], "images": 2}


def _settings(nested: dict[str, Any]) -> Settings:
    return DIA.training(nested).parse(nested)


def _strip(nested: dict[str, Any], data: dict[str, Any] = DATA, options: dict[str, Any] = STEPS) -> Need:
    return offers.strip(_settings(nested), data, options)


@pytest.mark.parametrize(
    "nested",
    [
        {"dissolve": {"steps": [100, 200]}},
        {"dissolve": {"draw": "per_image"}},
        {"train": {"batch": 8, "epochs": 3}, "shift": "perm", "contrast": {"design": "b"}},
    ],
)
def test_a_strip_does_not_hang_on_how_the_network_is_trained(nested: dict[str, Any]) -> None:
    assert _strip(nested).key == _strip({}).key
    assert _strip({}, {**DATA, "contamination": 0.1}).key == _strip({}).key


@pytest.mark.parametrize(
    "nested",
    [
        {"dissolve": {"size": 64}},
        {"dissolve": {"range": "symmetric"}},
        {"dissolve": {"weights": "raw"}},
        {"diffusion": {"dim": 16}},
    ],
)
def test_a_strip_hangs_on_its_dissolver_and_the_model(nested: dict[str, Any]) -> None:
    assert _strip(nested).key != _strip({}).key
    assert _strip({}, {**DATA, "size": 64}).key != _strip({}).key
    assert _strip({}, options={**STEPS, "steps": [1, 101]}).key != _strip({}).key


def test_a_strip_needs_the_model_that_the_runs_use() -> None:
    nested = {"dissolve": {"steps": [30, 130]}}
    assert _strip(nested).needs == DIA.needs(_settings(nested), DATA, 0)


def test_blurs_go_along_kernels_and_need_no_model() -> None:
    need = _strip({"dissolve": {"op": "median", "kernel": 11}}, options=KERNELS)
    assert need.identity["along"] == {"kernel": [3, 7]}
    assert not need.needs
    assert need.key == _strip({"dissolve": {"op": "median", "kernel": 3}}, options=KERNELS).key


@pytest.mark.parametrize(
    ("nested", "options", "told"),
    [
        ({}, KERNELS, "has no kernel"),
        ({"dissolve": {"op": "resize"}}, STEPS, "has no step t"),
        ({"dissolve": {"op": "gaussian"}}, {**KERNELS, "kernels": [4]}, "odd number of pixels, not 4"),
        ({"diffusion": {"times": [0, 99]}, "dissolve": {"steps": [1, 9]}}, STEPS, r"widen diffusion\.times"),
    ],
)
def test_what_cannot_be_shown(nested: dict[str, Any], options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        _strip(nested, options=options)


def test_csi_dissolves_nothing() -> None:
    with pytest.raises(ValueError, match="dissolves nothing"):
        offers.strip(CSI.training({})(), DATA, STEPS)
    assert "strip" not in CSI.offers


def test_a_matrix_is_named_by_its_design_alone() -> None:
    options = {"shifts": 2, "batch": 2}
    made = [offers.mask(_settings({"contrast": {"design": d}}), DATA, options) for d in ("a", "b")]
    made.append(offers.mask(CSI.training({})(), DATA, options))
    assert [need.identity["design"] for need in made] == ["a", "b", "csi"]
    assert all(need.data == {} for need in made)


def test_a_cost_is_named_by_the_networks() -> None:
    def key(nested: dict[str, Any], offer: Any = offers.cost) -> str:
        found: str = offer(_settings(nested), DATA, {"channels": 3}).key
        return found

    same = {"train": {"batch": 8}, "diffusion": {"steps": 10}, "dissolve": {"steps": [1, 2]}}
    assert key(same) == key({})
    for other in ({"diffusion": {"dim": 64}}, {"dissolve": {"size": 64}}, {"network": {"width": 32}}):
        assert key(other) != key({})
    assert key({"train": {"batch": 8}}, offers.memory) != key({}, offers.memory)
    assert key({"train": {"epochs": 8}}, offers.memory) == key({}, offers.memory)
    told = offers.memory(_settings({"train": {"batch": 8}}), DATA, {"channels": 3})
    assert str(told) == "memory of training, diffusion, 224 px, batch 8"
