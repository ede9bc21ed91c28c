"""Every shipped spec expands under every profile, quickly, and its keys stand where they stood."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from suite import registry
from suite.plan import Plan, expand
from suite.resources import names
from suite.spec import load_spec
from suite.store import Store
from suite.tables import published, render, report
from suite.tables.table import build
from suite.tables.text import as_printed

GOLDEN = Path(__file__).with_name("golden_keys.json")
SPECS, PROFILES = names("specs"), names("specs/profiles")


def golden(found: Plan) -> dict[str, dict[str, str]]:
    """The keys of a handful of cells, spread over the plan (with many cases, of the first cell of each, so that
    a further case adds to them), at the first seed; of those of a figure or a cost table the keys of what they
    show.
    """
    keys: dict[str, dict[str, str]] = {}
    cells = found.cells[:: max(1, len(found.cells) // 4)]
    if len(found.spec.cases) >= 4:
        cells = tuple({cell.labels["case"]: cell for cell in reversed(found.cells)}.values())[::-1]
    for cell in cells:
        name = " / ".join(cell.labels.values())
        if cell.goals:
            keys[name] = {need.kind: need.key for need in cell.goals}
        else:
            run = cell.runs[0]
            keys[f"{name} / seed {run.seed}"] = {"train": run.train_key, "eval": run.eval_key}
    return keys


def test_golden_keys() -> None:
    """A key that moves makes every outcome of that run worthless: that is a deliberate act.

    ``UPDATE_GOLDEN=1 pytest tests/suite/test_shipped_specs.py`` writes the file anew; say in the commit why.
    """
    now = {name: golden(expand(load_spec(name), profile="paper")) for name in SPECS}
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    assert now == json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SPECS)
def test_every_spec_expands_under_every_profile(name: str) -> None:
    spec = load_spec(name)
    plans = [expand(spec, profile=profile) for profile in PROFILES]
    assert len({(len(plan.runs), len(plan.goals)) for plan in plans}) == 1
    assert plans[0].runs or plans[0].goals
    assert len(spec.seeds) == (3 if spec.search is None else 2)
    assert spec.title != spec.name


@pytest.mark.parametrize("name", SPECS)
def test_every_spec_opens_with_what_it_shows_and_what_was_found(name: str) -> None:
    text = load_spec(name).path.read_text(encoding="utf-8")
    comment = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("#")]
    assert len(comment) >= 3
    assert all(len(line) <= 110 for line in text.splitlines())


def found_in(name: str, tmp_path: Path) -> dict[str, list[published.Value]]:
    """Published table -> the values that stand in the spec's own table at the paper profile."""
    plan = expand(load_spec(name), profile="paper")
    entries = build(plan, Store(tmp_path), assessments=()).entries
    told = [value for one in entries for value in (one.published, *(value for _, value in one.also)) if value]
    return {
        source: [value for value in told if any(value is other for other in published.table(source).values)]
        for source in plan.spec.table.published
    }


def specs_of(source: str) -> list[str]:
    """The spec that is about a published table; of a third source (the README) all that show it beside another."""
    about = [name for name in SPECS if load_spec(name).table.published[:1] == (source,)]
    return about or [name for name in SPECS if source in load_spec(name).table.published]


@pytest.mark.parametrize(
    "source", sorted(name for name, one in published.load().items() if one.metric != "cost")
)
def test_every_published_value_has_its_cell(source: str, tmp_path: Path) -> None:
    """Each value stands in one cell of the spec that is about its table, or there is a reason. (In Table 1 in two
    where a method may have started from random or from ImageNet weights.)
    """
    shown = {name: found_in(name, tmp_path)[source] for name in specs_of(source)}
    assert shown, f"no spec shows {source}"
    for name, found in shown.items():
        most = max(Counter(map(id, found)).values(), default=1)
        assert most <= 1 + (source == "table1"), f"{name}: a value of {source} in {most} cells"
    for value in published.table(source).values:
        if not any(value is one for found in shown.values() for one in found):
            assert _why_absent(value.where["method"]), f"{shown}: no cell of {source} is {dict(value.where)}"


def _why_absent(method: str) -> str:
    """Why no cell can show a value of this method yet; empty when one should."""
    return "" if method in registry.methods() else "its method is not registered yet"


TRANSCRIPTION = Path(__file__).resolve().parents[3] / "shared" / "paper" / "tables.toml"
COSTS = ("params_m", "macs_g", "gpu_mem_gb")


def test_each_table_of_the_paper_shows_its_printed_numbers(tmp_path: Path) -> None:
    """All 357 cells of Tables 1 to 14, counted in the Markdown that a user gets; a cell may be missing only
    where its method is.
    """
    if not TRANSCRIPTION.is_file():
        pytest.skip(f"the transcription of the paper's tables is not at hand: {TRANSCRIPTION}")
    tables = {one["id"]: one for one in tomllib.loads(TRANSCRIPTION.read_text(encoding="utf-8"))["table"]}
    cells = {name: tables[name]["cell"] for name in (f"table{number}" for number in range(1, 15))}
    missing: list[str] = []
    for name, printed in cells.items():
        (spec,) = specs_of(name)
        made = report.tables(expand(load_spec(spec), profile="paper"), Store(tmp_path))
        found = Counter(re.findall(r"paper ([\d.]+(?:±[\d.]+)?)", render.markdown(made[0])))
        wanted: Counter[str] = Counter()
        for cell in printed:
            if why := _why_absent(re.split("[-_]", cell.get("method", "dia"))[0]):
                missing.append(f"{name} {cell}: {why}")
            else:
                wanted.update(_as_printed(cell, tables[name]["metric"]))
        if name == "table1":  # where both readings of a cell stand, its value is shown twice
            assert set(found) == set(wanted)
            assert found <= wanted + wanted
            continue
        assert found == wanted, f"{name}: not shown {wanted - found}, shown and not printed {found - wanted}"
    assert sum(map(len, cells.values())) == 357
    assert all(one.startswith("table1 ") for one in missing), missing


def _as_printed(cell: Mapping[str, Any], metric: str) -> list[str]:
    """The numbers of a transcribed cell as the suite writes them (a share of 1, never of 100)."""
    if "mean" not in cell:
        return [as_printed(cell[name], None) for name in COSTS if name in cell]
    return [as_printed(cell["mean"] / (100 if metric.endswith("x100") else 1), cell.get("std"))]


def test_all_specs_are_validated_within_two_seconds() -> None:
    start = time.process_time()
    for name in SPECS:
        load_spec(name)
    assert time.process_time() - start < 2


def test_kvasir_is_shifted_by_permutation_and_dissolved_further() -> None:
    for cell in expand(load_spec("main_results"), profile="paper").cells:
        if cell.method == "dia":
            kvasir = cell.dataset == "kvasir_polyp"
            assert cell.settings["shift"] == ("perm" if kvasir else "rotate")
            assert cell.settings["dissolve.steps"] == ([100, 200] if kvasir else [30, 130])


def test_tables_share_the_runs_that_are_the_same_experiment() -> None:
    """DIA's row of Table 1, its column of Table 11 and (a) of Table 12 are one set of fits."""
    main, batch, designs = (
        {
            (cell.dataset, cell.labels["case"]): cell.runs
            for cell in expand(load_spec(name), profile="paper").cells
        }
        for name in ("main_results", "batch_control", "matrix_designs")
    )
    for dataset in ("sars_cov_2", "kvasir_polyp"):
        assert main[dataset, "DIA"] == batch[dataset, "DIA"] == designs[dataset, "(a)"]
        assert main[dataset, "CSI"] == batch[dataset, "CSI"] == designs[dataset, "CSI"]
