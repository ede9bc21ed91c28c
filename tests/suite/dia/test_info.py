"""The settings of CSI and DIA: the paper's defaults, a union by dissolver, and what names a diffusion model."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from suite.dia.info import CSI, DIA, CsiTraining, DiaBlur, DiaDiffusion, DiaNone, DiaResize, Diffusion
from suite.registry import Need
from suite.settings import Settings, fields_of

DATA = {"name": "toy", "size": 28}


def _need(nested: dict[str, Any], *, data: dict[str, Any] = DATA, seed: int = 0) -> Need:
    (need,) = DIA.needs(DiaDiffusion.parse(nested), data, seed)
    return need


@pytest.mark.parametrize(
    ("op", "model"),
    [
        ("diffusion", DiaDiffusion),
        ("gaussian", DiaBlur),
        ("median", DiaBlur),
        ("resize", DiaResize),
        ("none", DiaNone),
    ],
)
def test_the_dissolver_chooses_the_settings(op: str, model: type[Settings]) -> None:
    nested = {"dissolve": {"op": op}}
    assert DIA.training(nested) is model
    parsed = model.parse(nested)
    assert isinstance(parsed, DiaDiffusion | DiaBlur | DiaResize | DiaNone)
    assert parsed.dissolve.op == op


@pytest.mark.parametrize(
    "nested", [{}, {"dissolve": {}}, {"dissolve": {"op": "smudge"}}, {"dissolve": {"op": 3}}, {"dissolve": 1}]
)
def test_without_a_known_dissolver_it_is_that_of_the_paper(nested: dict[str, Any]) -> None:
    """An unknown one is refused when the settings are checked, where its name can be told."""
    assert DIA.training(nested) is DiaDiffusion


def test_what_cannot_act_has_no_place() -> None:
    names = {model: {name for name, _ in fields_of(model)} for model in (*CSI.models, *DIA.models)}
    assert not {name for name in names[CsiTraining] if name.startswith(("dissolve", "diffusion"))}
    assert "contrast.design" not in names[CsiTraining]
    assert not {
        name for model in (DiaBlur, DiaResize, DiaNone) for name in names[model] if "diffusion" in name
    }
    assert {"dissolve.steps", "diffusion.steps", "contrast.design"} <= names[DiaDiffusion]


def test_the_defaults_are_those_of_the_paper() -> None:
    dia = DiaDiffusion()
    assert dia.dissolve.steps == (30, 130)
    assert (dia.contrast.design, dia.contrast.tau, dia.contrast.gamma) == ("a", 0.5, 1.0)
    assert (dia.train.batch, dia.train.epochs, dia.train.epoch_size) == (32, 200, 200)
    assert (dia.diffusion.dim, dia.diffusion.steps, dia.diffusion.lr) == (32, 25_000, 8e-5)
    assert (dia.diffusion.accumulate, dia.diffusion.ema, dia.diffusion.loss) == (2, 0.995, "l1")


@pytest.mark.parametrize("steps", [[130, 30], [0, 30], [30, 1000], [30], [30.5, 40]])
def test_a_step_range_is_within_the_schedule_and_ordered(steps: list[float]) -> None:
    with pytest.raises(ValidationError, match="steps"):
        DiaDiffusion.parse({"dissolve": {"steps": steps}})
    assert DiaDiffusion.parse({"dissolve": {"steps": [100, 100.0]}}).dissolve.steps == (100, 100)


def test_only_dissolving_by_diffusion_needs_a_model() -> None:
    assert not CSI.needs(CsiTraining(), DATA, 0)
    assert not DIA.needs(DiaBlur(), DATA, 0)
    assert _need({}).kind == "diffusion"


@pytest.mark.parametrize(
    "same",
    [
        {"dissolve": {"steps": [1, 50]}},
        {"dissolve": {"draw": "per_shift_batch", "range": "unit"}},
        {"train": {"batch": 64}, "shift": "perm"},
    ],
)
def test_one_model_serves_all_that_dissolve_by_it(same: dict[str, Any]) -> None:
    assert _need(same).key == _need({}).key
    assert _need({}, data={**DATA, "contamination": 0.1}).key == _need({}).key


@pytest.mark.parametrize(
    "other", [{"dissolve": {"size": 64}}, {"diffusion": {"ratio": 0.5}}, {"diffusion": {"dim": 64}}]
)
def test_what_it_is_trained_by_names_it(other: dict[str, Any]) -> None:
    assert _need(other).key != _need({}).key
    assert _need({}, data={**DATA, "size": 64}).key != _need({}).key


def test_the_seeds_of_the_runs_share_it_unless_told_otherwise() -> None:
    assert _need({}, seed=1).key == _need({}, seed=2).key
    own = {"diffusion": {"seed": "per_run"}}
    assert _need(own, seed=1).key != _need(own, seed=2).key
    assert Diffusion().seed == "shared"


def test_a_model_that_sees_the_contamination_is_named_by_it_and_by_the_run_that_draws_it() -> None:
    sees, tenth = {"diffusion": {"data": "train"}}, {**DATA, "contamination": 0.1}
    keys = {
        _need(sees, seed=1).key,
        _need(sees, data=tenth, seed=1).key,
        _need(sees, data=tenth, seed=2).key,
        _need(sees, data={**DATA, "contamination": 0.2}, seed=1).key,
    }
    assert len(keys) == 4
    assert _need(sees, seed=1).key == _need(sees, seed=2).key
    for other in ("normal", "all"):
        blind = {"diffusion": {"data": other}}
        assert _need(blind, data=tenth, seed=1).key == _need(blind, seed=2).key


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "stand_in:cifar10"])
def test_one_model_of_all_classes_serves_each_one_class_problem(name: str) -> None:
    """Where the training images are the same whichever class is normal, and only there (Table 13)."""
    sees, ship, cat = {"diffusion": {"data": "train"}}, *(_problem(name, one) for one in (8, 3))
    assert _need(sees, data=ship).key == _need(sees, data=cat).key
    assert _need({}, data=ship).key != _need({}, data=cat).key, "the normal class alone"
    for own in ({"contamination": 0.1}, {"max_train": 50}, {"split": "clean"}, {"validation": "cut"}):
        assert _need(sees, data={**ship, **own}).key != _need(sees, data={**cat, **own}).key
    dealt = [_need(sees, data=_problem("kvasir_polyp", one)).key for one in (8, 3)]
    assert dealt[0] != dealt[1], "a split of ours hangs on the normal class"


def _problem(name: str, normal: int) -> dict[str, Any]:
    return {"name": name, "size": 32, "split": "paper", "normal_class": [normal]}


@pytest.mark.parametrize("width", [4, 12, 0])
def test_widths_that_torch_computes_wrongly_are_refused(width: int) -> None:
    with pytest.raises(ValidationError, match=r"network\.width"):
        CsiTraining.parse({"network": {"width": width}})


def test_dissolving_stays_where_the_diffusion_model_is_trained() -> None:
    with pytest.raises(ValidationError, match=r"widen diffusion\.times"):
        DiaDiffusion.parse({"dissolve": {"steps": [330, 430]}, "diffusion": {"times": [0, 400]}})
    DiaDiffusion.parse({"dissolve": {"steps": [330, 430]}, "diffusion": {"times": [0, 600]}})


def test_a_foreign_model_is_the_other_sets_own() -> None:
    foreign = _need({"dissolve": {"source": "pneumonia_mnist"}}, data={**DATA, "split": "paper"})
    assert foreign.dataset == "pneumonia_mnist"
    assert foreign.data is not None
    assert foreign.data["size"] == 28
    own = _need({}, data=dict(foreign.data))
    assert foreign.key == own.key
    assert own.data is None


def test_a_source_that_is_the_set_itself_is_none() -> None:
    data = {"name": "pneumonia_mnist", "size": 28, "split": "paper"}
    same = _need({"dissolve": {"source": "pneumonia_mnist"}}, data=data)
    assert (same.key, same.data) == (_need({}, data=data).key, None)


def test_a_source_is_in_the_key_only_where_it_is_set() -> None:
    from suite.settings import canonical

    assert "source" not in canonical(DiaDiffusion())["dissolve"]
    with pytest.raises(ValidationError, match="unknown data set 'cifar11'"):
        DiaDiffusion.parse({"dissolve": {"source": "cifar11"}})
    with pytest.raises(ValidationError, match="a folder has no place in a key"):
        DiaDiffusion.parse({"dissolve": {"source": "folder:/some/where"}})
