"""The contradictions that are known are found by key, and no made-up one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fabric import BATCHES, plan_of

from suite.resources import names
from suite.spec import load_spec
from suite.tables import audit as module
from suite.tables.audit import MEANS, README, SPREADS, THIRD, Audit, Experiment, Printed, audit
from suite.tables.claims import Claim
from suite.verbs import audit as verb


@pytest.fixture(scope="module")
def found() -> Audit:
    return audit([load_spec(name) for name in names("specs")])


def tables(one: Experiment, mean: float) -> set[str]:
    return {printed.table for printed in one.printed if printed.mean == mean}


def only(found: Audit, dataset: str, words: str) -> Experiment:
    chosen = [one for one in found.contradictions if one.dataset == dataset and one.name.endswith(words)]
    assert len(chosen) == 1, [one.name for one in found.contradictions]
    return chosen[0]


def test_oct_has_two_means_and_two_spreads(found: Audit) -> None:
    one = only(found, "retinal_oct", "DIA, Retinal OCT")
    assert one.disagrees == (MEANS, SPREADS)
    agreeing = {"table1", "table4", "table5", "table8", "table9", "table10", "table12"}
    assert tables(one, 0.944) == agreeing
    assert tables(one, 0.919) == {"table2", "readme_transform", "readme_resolution"}
    assert {printed.table for printed in one.printed if printed.std == 0.0} == {"table1"}


def test_kvasir_disagrees_in_spread_and_with_the_readme(found: Audit) -> None:
    one = only(found, "kvasir_polyp", "shift perm, dissolve.steps 100-200")
    assert one.disagrees == (SPREADS, THIRD, README)
    assert {p.table for p in one.printed if p.std == 0.04} == {"table1", "table9", "table10"}
    assert {p.table for p in one.printed if p.std == 0.01} == {"table4", "table8"}
    assert tables(one, 0.84) == {"readme_transform"}
    rotate = only(found, "kvasir_polyp", "Kvasir-polyp, dissolve.steps 100-200")
    assert rotate.disagrees == (THIRD,)
    assert (tables(rotate, 0.813), tables(rotate, 0.86)) == ({"table4", "table8"}, {"readme_transform"})


def test_kvasirs_blurs_have_three_values(found: Audit) -> None:
    gaussian = only(found, "kvasir_polyp", "dissolve.op gaussian")
    assert {p.table: p.mean for p in gaussian.printed if p.source == "paper"} == {
        "table7": 0.586,
        "table8": 0.712,
        "table9": 0.629,
    }
    median = only(found, "kvasir_polyp", "dissolve.op median, dissolve.kernel 3")
    assert {p.mean for p in median.printed} == {0.526, 0.663}


def test_kvasirs_best_number_stands_for_two_step_ranges(found: Audit) -> None:
    (one,) = [c for c in found.coincidences if c.dataset == "kvasir_polyp" and c.mean == 0.86]
    assert any("130-230 (table2)" in part for part in one.told.split("; "))
    assert any("100-200 (table1" in part for part in one.told.split("; "))


def test_sars_is_not_accused(found: Audit) -> None:
    """Its values agree wherever they were printed, once kernels 7 and 3 are taken for Tables 8 and 9."""
    assert not [one for one in found.contradictions if one.dataset == "sars_cov_2"]


def test_one_printed_value_cannot_contradict(tmp_path: Path) -> None:
    spec = plan_of(tmp_path, BATCHES).spec
    assert audit([spec]).shared == 0
    assert not audit([]).contradictions
    paper = (Printed("table1", "paper", 0.9, 0.01), Printed("table3", "paper", 0.9, None))
    assert Experiment("", "", "", "", paper).disagrees == ()


def test_every_format_says_the_same(
    found: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "claims", lambda tables: (Claim("9", "a | b <i>", "50 % of $x$", False),))
    monkeypatch.setattr(verb.common, "load_specs", lambda given: [load_spec("batch_control")])
    assert verb.audit(verb.Ask(), tmp_path / "out") == 0
    text = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert r"| 9 | a \| b &lt;i&gt; | 50 % of \$x\$ | does not hold |" in text
    told = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert told["claims"] == [
        {"where": "9", "claimed": "a | b <i>", "recomputed": "50 % of $x$", "holds": False}
    ]
    assert "does not hold" in capsys.readouterr().out
    for one in found.contradictions:
        shown = verb.markdown(found)
        assert one.printed[0].table in shown
