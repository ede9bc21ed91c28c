"""What acts in a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from suite.resolve import CellFaults, Resolver, idle_exclusions, points, resolve

from .spec_files import SMALL, faults, load, plan

FLAT: dict[str, Any] = {"method": "dia", "dataset": "pneumonia_mnist", "selection": "last"}


def test_all_that_acts_is_resolved_and_nothing_else() -> None:
    acting = Resolver()({**FLAT, "train.batch": 8, "dissolve.kernel": 3, "score.views": 2, "score.k": 4})
    assert (acting.settings["train.batch"], acting.settings["train.epochs"]) == (8, 200)
    assert (acting.settings["score.views"], acting.settings["selection"]) == (2, "last")
    assert (acting.settings["data.size"], acting.settings["data.normal_class"]) == (28, [0])
    assert not {"dissolve.kernel", "score.k", "method", "dataset"} & set(acting.settings)
    assert acting.train["settings"]["train"]["batch"] == 8
    assert set(acting.train) == {"method", "version", "data", "settings"}
    assert acting.evaluation["split"] == "test"


def test_the_model_follows_the_dissolver() -> None:
    resolver = Resolver()
    blur = resolver({**FLAT, "dissolve.op": "median", "dissolve.kernel": 3, "diffusion.steps": 9})
    assert blur.settings["dissolve.kernel"] == 3
    assert not [name for name in blur.settings if name.startswith("diffusion")]
    assert "dissolve.kernel" not in resolver({**FLAT, "dissolve.op": "none", "dissolve.kernel": 3}).settings


def test_equal_cells_are_validated_once_faulty_ones_too() -> None:
    resolver = Resolver()
    assert resolver({**FLAT, "shift": "perm"}) is resolver({"shift": "perm", **FLAT})
    errors = []
    for _ in range(2):
        with pytest.raises(CellFaults) as caught:
            resolver({**FLAT, "dissolve.size": 20})
        errors.append(caught.value)
    assert errors[0] is errors[1]
    assert errors[0].faults == [("dissolve.size", "must be a multiple of 8, not 20")]


def test_a_cell_needs_a_method_and_a_data_set() -> None:
    with pytest.raises(CellFaults) as caught:
        Resolver()({"selection": "last"})
    assert [key for key, _ in caught.value.faults] == ["method", "dataset"]


def test_points_say_where_they_stand(tmp_path: Path) -> None:
    text = SMALL.replace("[grid]", "[grid]\n'dissolve.steps' = [[30, 130], [130, 230]]")
    spec = load(tmp_path, text.replace('rows = ["case"]\ncolumns = ["dataset"]', ""))
    found = list(points(spec))
    assert len(found) == 8
    assert str(found[0]) == "case CSI, dissolve.steps 30-130, dataset pneumonia_mnist"
    assert found[0].values["dissolve.steps"] == [30, 130]
    cells, faults = resolve(spec)
    assert [point for point, _ in cells] == found
    assert faults == []
    # CSI has no dissolver: its four cells stand.
    assert len(resolve(spec, sets={"dissolve.size": 20})[0]) == 4
    assert resolve(spec, sets={"dissolve.size": 20})[1] == [
        "dissolve.size: must be a multiple of 8, not 20 "
        "(in case DIA, dissolve.steps 30-130, dataset pneumonia_mnist and 3 more)"
    ]


RAGGED = (
    SMALL.replace("[table]", '[table]\naverage = ["data.normal_class"]')
    .replace('rows = ["case"]', 'rows = ["case", "data.normal_class"]')
    .replace('["pneumonia_mnist", "phantom"]', '["cifar10", "digits"]\n"data.normal_class" = [[0], [1], [9]]')
)
NINE = '\n[[exclude]]\nwhere = { dataset = "cifar10", "data.normal_class" = [[1], [9]] }\n'


def test_what_is_excluded_is_no_cell(tmp_path: Path) -> None:
    assert len(list(points(load(tmp_path, RAGGED)))) == 12
    found = plan(tmp_path, RAGGED + NINE)
    kept = [(cell.dataset, cell.values["data.normal_class"]) for cell in found.cells]
    assert kept == [("cifar10", [0]), ("digits", [0]), ("digits", [1]), ("digits", [9])] * 2
    assert not idle_exclusions(load(tmp_path, RAGGED + NINE))


def test_an_exclusion_may_name_a_case(tmp_path: Path) -> None:
    by_case = RAGGED + "\n[[exclude]]\nwhere = { case = 'CSI', dataset = 'digits' }\n"
    assert {cell.dataset for cell in plan(tmp_path, by_case).cells if cell.method == "csi"} == {"cifar10"}
    assert {cell.dataset for cell in plan(tmp_path, by_case).cells if cell.method == "dia"} == {
        "cifar10",
        "digits",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("where = { dataset = 'phantom' }", "exclude[1].where: matches no cell of this spec"),
        ("where = { dataset = ['cifar10', 'digits'] }", "exclude: leaves no cell"),
        ("where = {}", "exclude: leaves no cell"),
        ("where = { case = 'DIE' }", 'exclude[1].where.case: "DIE" is no case; did you mean "DIA"?'),
        (
            "where = { profile = 'cpu' }",
            "exclude[1].where.profile: is no axis of this spec; there are case, dataset, data.normal_class",
        ),
        (
            "where = { 'train.batch' = 8 }",
            "exclude[1].where.train.batch: is no axis of this spec; there are case, dataset, data.normal_class",
        ),
        ("were = {}", "exclude[1].where: missing"),
        ("where = 3", "exclude[1].where: must be a table, not 3"),
    ],
)
def test_exclusions_that_cannot_be_meant_are_told(tmp_path: Path, text: str, line: str) -> None:
    assert line in faults(tmp_path, f"{RAGGED}\n[[exclude]]\n{text}\n")


def test_a_class_that_the_set_has_not_is_told_before_anything_runs(tmp_path: Path) -> None:
    told = faults(tmp_path, RAGGED.replace("[9]", "[10]"))
    assert len(told) == 2
    assert told[0].startswith("data.normal_class: cifar10 has the classes 0 to 9, not 10 (in case CSI")
