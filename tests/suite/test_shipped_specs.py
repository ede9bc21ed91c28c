"""Every shipped spec expands under every profile, quickly, and its keys stand where they stood."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from suite.plan import Plan, expand
from suite.resources import names
from suite.spec import load_spec
from suite.tables import published

GOLDEN = Path(__file__).with_name("golden_keys.json")
SPECS, PROFILES = names("specs"), names("specs/profiles")


def golden(found: Plan) -> dict[str, dict[str, str]]:
    """The keys of a handful of cells, spread over the plan, at the first seed."""
    step = max(1, len(found.cells) // 4)
    return {
        f"{' / '.join(cell.labels.values())} / seed {cell.runs[0].seed}": {
            "train": cell.runs[0].train_key,
            "eval": cell.runs[0].eval_key,
        }
        for cell in found.cells[::step]
    }


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
    sizes = {len(expand(spec, profile=profile).runs) for profile in PROFILES}
    assert sizes == {len(expand(spec).runs)}
    assert len(spec.seeds) == 3
    assert spec.title != spec.name


@pytest.mark.parametrize("name", SPECS)
def test_every_spec_opens_with_what_it_shows_and_what_was_found(name: str) -> None:
    text = load_spec(name).path.read_text(encoding="utf-8")
    comment = [line for line in text.split("\n\n")[0].splitlines() if line.startswith("#")]
    assert len(comment) >= 3
    assert all(len(line) <= 110 for line in text.splitlines())


@pytest.mark.parametrize("name", SPECS)
def test_every_published_table_that_a_spec_names_has_values_for_its_cells(name: str) -> None:
    spec = load_spec(name)
    if spec.table.published is None:
        pytest.skip("this spec has no published counterpart")
    source = published.table(spec.table.published)
    cells = expand(spec, profile="paper").cells
    found = [source.find(cell.method, cell.dataset, cell.settings) for cell in cells]
    learnt = [value for cell, value in zip(cells, found, strict=True) if not cell.method.endswith("_knn")]
    missing = learnt.count(None)
    # Table 3 prints the ends of its range only; Table 2 has every cell.
    assert missing == (8 if name == "ablation_diffusion_data" else 0)


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
