"""Tables 6 and 14 as tables: our numbers in the printed unit, the published ones, what is not there yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fabric import reported

from suite.plan import Plan, expand
from suite.spec import load_spec
from suite.store import Store
from suite.tables import costs, render, report
from suite.tables.table import Table


def _made(plan: Plan, store: Store, number: int, **facts: Any) -> None:
    need = plan.goals[number]
    folder = store.artefact_folder(need.kind, need.key)
    folder.mkdir(parents=True)
    environment = {"device": "cpu", "torch": "2.11"}
    done = {"key": need.key, "facts": facts, "data": "", "environment": environment}
    (folder / "done.json").write_text(json.dumps(done))


@pytest.fixture
def macs(tmp_path: Path) -> tuple[Plan, Store]:
    plan, store = expand(load_spec("cost_macs")), Store(tmp_path)
    _made(plan, store, 0, parameters=11_176_512, macs=1_813_561_344)
    _made(plan, store, 1, parameters=20_375_875, macs=9_000_000_000)
    return plan, store


def _cells(table: Table) -> list[list[Any]]:
    """Ours and the published number of every cell."""
    return [
        [(one.mean, one.published.mean if one.published else None) for one in row.entries if one]
        for row in table.rows
    ]


def test_ours_beside_the_published(macs: tuple[Plan, Store]) -> None:
    table = costs.build(*macs)
    assert table.columns == (("MACs (G)",), ("parameters (M)",))
    assert [row.labels for row in table.rows] == [("without",), ("32 px",), ("64 px",), ("128 px",)]
    assert _cells(table)[0] == [pytest.approx((1.813561, 1.82)), pytest.approx((11.176512, 11.2))]
    assert _cells(table)[2] == [(None, 3.84), (None, 19.93)]
    assert table.missing == (("not measured yet", ("64 px", "128 px")),)


def test_the_verdict_is_by_a_share_of_the_published_number(macs: tuple[Plan, Store]) -> None:
    table = costs.build(*macs)
    assert table.verdicts.counts == {"reproduced": 3, "above": 1, "below": 0, "not run": 4}
    assert "within 3% of the published number" in table.verdicts.sentence


def test_every_format_takes_it(macs: tuple[Plan, Store], tmp_path: Path) -> None:
    written = reported([macs[0]], macs[1], tmp_path / "out", ["md", "tex", "csv", "html"])
    text = {path.suffix: path.read_text() for path in written}
    assert "| without | 1.814 (paper 1.820, −0.006: reproduced) |" in text[".md"]
    assert "1.814" in text[".tex"]
    assert text[".csv"].splitlines()[:2] == ["case,cost,value,published", "without,MACs (G),1.813561344,1.82"]
    assert "1.814" in text[".html"]
    render.terminal(report.tables(*macs)[0])


@pytest.mark.parametrize(
    ("facts", "environment", "told"),
    [
        ({"measure": "process"}, {}, "the process's peak of resident memory on cpu"),
        (
            {"measure": "cuda"},
            {"device": "cuda (NVIDIA H100)"},
            "allocator had at most in use on cuda (NVIDIA H100)",
        ),
    ],
)
def test_memory_says_what_was_measured(facts: dict[str, Any], environment: dict[str, Any], told: str) -> None:
    done = {"facts": facts, "environment": {"device": "cpu", "torch": "2.11"} | environment}
    assert told in costs._measured(done)


@pytest.mark.parametrize(("profile", "compared"), [("paper", 4), ("cpu", 0)])
def test_memory_is_compared_only_at_the_size_that_was_published(
    profile: str, compared: int, tmp_path: Path
) -> None:
    plan, store = expand(load_spec("cost_memory"), profile=profile), Store(tmp_path)
    for number in range(len(plan.goals)):
        _made(plan, store, number, peak_memory_mb=2048.0, rest_mb=512.0, measure="process")
    table = costs.build(plan, store)
    assert [entry.mean for entry in table.entries] == [2.0] * 4
    assert sum(entry.published is not None for entry in table.entries) == compared
    told = " ".join(table.caption)
    assert "in batches of 8, 16, 32, 64" in told
    assert "At most 0.50 GiB of it were there before the first step" in told


def test_reduced_profiles_measure_what_a_cpu_holds() -> None:
    """Each size and method, in smaller batches."""
    batches = {
        profile: {
            cell.settings["train.batch"]
            for cell in expand(load_spec("cost_memory_methods"), profile=profile).cells
        }
        for profile in ("paper", "cpu", "smoke")
    }
    assert batches == {"paper": {32}, "cpu": {4}, "smoke": {4}}
