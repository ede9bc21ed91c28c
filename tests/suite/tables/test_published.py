"""The published numbers: complete, addressable, and equal to what the paper prints."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from suite.data.identity import DataSettings
from suite.registry import dataset, method
from suite.settings import fields_of
from suite.tables import published

COUNTS = {
    "table1": 84,
    "table2": 20,
    "table3": 4,
    "table4": 8,
    "table5": 12,
    "table6": 4,
    "table7": 24,
    "table8": 32,
    "table9": 36,
    "table10": 9,
    "table11": 12,
    "table12": 12,
    "table13": 96,
    "table14": 4,
    "readme_transform": 24,
    "readme_resolution": 12,
}
TABLES = published.load()
DIFFUSION = {"dissolve.op": "diffusion", "data.contamination": 0.0}


def test_every_published_cell_is_there() -> None:
    assert {name: len(table.values) for name, table in TABLES.items()} == COUNTS
    assert sum(count for name, count in COUNTS.items() if name.startswith("table")) == 357


@pytest.mark.parametrize(
    ("table", "name", "data", "settings", "mean", "std"),
    [
        ("table1", "dia", "pneumonia_mnist", DIFFUSION, 0.903, 0.01),
        ("table1", "csi", "pneumonia_mnist", {}, 0.834, 0.03),
        ("table1", "ganomaly", "kvasir_polyp", {}, 0.604, 0.0),
        ("table1", "uniad", "breast_mnist", {"data.size": 128}, 0.624, 0.01),
        ("table1", "patchcore", "retinal_oct", {"data.max_train": 4500}, 0.758, 0.01),
        ("table2", "dia", "retinal_oct", {"dissolve.steps": (30, 130)}, 0.919, None),
        ("table3", "dia", "kvasir_polyp", {"diffusion.ratio": 0.1}, 0.679, None),
        ("table4", "dia", "kvasir_polyp", {**DIFFUSION, "shift": "perm"}, 0.86, 0.01),
        ("table5", "dia", "aptos_2019", {**DIFFUSION, "dissolve.size": 64}, 0.937, None),
        ("table7", "dia", "breast_mnist", {"dissolve.op": "gaussian", "dissolve.kernel": 11}, 0.749, 0.05),
        ("table8", "dia", "retinal_oct", {"dissolve.op": "resize", "shift": "rotate"}, 0.873, 0.01),
        ("table9", "dia", "kvasir_polyp", {"dissolve.op": "median", "dissolve.size": 128}, 0.564, 0.02),
        ("table10", "dia", "kvasir_polyp", {**DIFFUSION, "data.contamination": 0.2}, 0.88, 0.01),
        ("table11", "csi", "kvasir_polyp", {"train.batch": 32}, 0.609, None),
        ("table11", "csi", "kvasir_polyp", {"train.batch": 48}, 0.679, None),
        ("table12", "dia", "sars_cov_2", {**DIFFUSION, "contrast.design": "b"}, 0.85, None),
        ("table13", "csi", "cifar10", {"data.normal_class": [5]}, 0.932, None),
        ("readme_transform", "dia", "kvasir_polyp", {**DIFFUSION, "shift": "perm"}, 0.84, None),
    ],
)
def test_cells_are_found_by_settings(
    table: str, name: str, data: str, settings: dict[str, Any], mean: float, std: float | None
) -> None:
    found = TABLES[table].find(name, data, settings)
    assert found is not None
    assert (found.mean, found.std) == (pytest.approx(mean), std)


def test_what_was_not_published_is_not_found() -> None:
    assert TABLES["table1"].find("dia", "pneumonia_mnist", {"dissolve.op": "gaussian"}) is None
    assert TABLES["table1"].find("uniad", "breast_mnist", {"data.size": 28}) is None
    assert TABLES["table11"].find("csi", "pneumonia_mnist", {"train.batch": 64}) is None
    assert TABLES["table10"].find("dia", "aptos_2019", {**DIFFUSION, "data.contamination": 0.3}) is None


def test_averages_and_costs() -> None:
    average = TABLES["table13"].find_average(
        "data.normal_class", "dia", "cifar100", {**DIFFUSION, "contrast.design": "a"}
    )
    assert average is not None
    assert average.mean == pytest.approx(0.883)
    assert TABLES["table13"].find("csi", "cifar10", {}) is None
    cost = TABLES["table6"].find("dia", "sars_cov_2", {"dissolve.op": "diffusion", "dissolve.size": 128})
    assert cost is not None
    assert cost.costs == {"parameters_m": 19.93, "macs_g": 9.9}


def test_no_two_values_are_the_same_cell() -> None:
    for table in TABLES.values():
        for value in table.values:
            where = dict(value.where)
            data = where.pop("dataset", "any")
            if axis := where.pop("average", None):
                assert table.find_average(axis, where.pop("method"), data, where) is value
            else:
                assert table.find(where.pop("method"), data, where) is value


def test_two_claims_on_one_cell_are_a_fault() -> None:
    first, second = (
        published.Value({"method": "dia", name: 1}, 0.5, None, {}) for name in ("train.batch", "score.views")
    )
    table = published.Published("made_up", "", "paper", "auroc", 1.0, "", (first, second))
    with pytest.raises(published.AmbiguousError, match=r"made_up.*same cell"):
        table.find("dia", "phantom", {"train.batch": 1, "score.views": 1})
    closer = published.Value({"method": "dia", "train.batch": 1, "score.views": 1}, 0.6, None, {})
    more = published.Published("made_up", "", "paper", "auroc", 1.0, "", (first, second, closer))
    assert more.find("dia", "phantom", {"train.batch": 1, "score.views": 1}) is closer


def test_names_are_settings_that_exist() -> None:
    """Names and values of dia and csi are legal; other methods' rows name only data settings so far."""
    own = {
        name
        for info in (method("csi"), method("dia"))
        for model in info.models
        for name, _ in fields_of(model)
    }
    known = own | {f"data.{name}" for name, _ in fields_of(DataSettings)}
    used = {name for table in TABLES.values() for value in table.values for name in value.where}
    assert used - known <= {"method", "dataset", "average"}
    for table in TABLES.values():
        for value in table.values:
            if str(value.where.get("dataset", "")).endswith("_mnist"):
                assert dataset(value.where["dataset"]).name == value.where["dataset"]


def test_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no published table 'table0'; there are table1, "):
        published.table("table0")


def test_numbers_are_those_of_the_transcription() -> None:
    path = Path(__file__).resolve().parents[4] / "shared" / "paper" / "tables.toml"
    if not path.is_file():
        pytest.skip(f"the transcription of the paper's tables is not at hand: {path}")
    costs = {"params_m", "macs_g", "gpu_mem_gb"}
    given = {
        table["id"]: Counter(
            (cell.get("mean"), cell.get("std"), *sorted(cell[name] for name in costs & set(cell)))
            for cell in table["cell"]
        )
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["table"]
    }
    for name, table in TABLES.items():
        held = Counter(
            (
                None if value.mean is None else round(value.mean * table.scale, 6),
                None if value.std is None else round(value.std * table.scale, 6),
                *sorted(value.costs.values()),
            )
            for value in table.values
        )
        assert held == given[name], name
