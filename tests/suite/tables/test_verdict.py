"""The rule of the spec decides, at its edges too, and the counts open every report."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabric import BATCHES, fill, plan_of
from hypothesis import given
from hypothesis import strategies as st

from suite.plan import Plan
from suite.spec import Tolerance
from suite.store import Store
from suite.tables import render, verdict
from suite.tables.table import Table, build
from suite.vocabulary import SpecErrors

SHARE = st.floats(0, 1, allow_nan=False)


@pytest.mark.parametrize(
    ("difference", "std", "word"),
    [
        (0.03, None, "reproduced"),
        (0.031, None, "above"),
        (-0.031, 0.01, "below"),
        (-0.031, 0.02, "reproduced"),
        (0.08, 0.04, "reproduced"),
        (0.0, 0.0, "reproduced"),
        (None, 0.01, "not run"),
    ],
)
def test_within_three_hundredths_or_two_published_spreads(
    difference: float | None, std: float | None, word: str
) -> None:
    assert verdict.judge(difference, verdict.reach(Tolerance(), std)) == word


@given(SHARE, SHARE, SHARE, st.floats(0, 3))
def test_verdicts_are_one_of_three_and_fair_to_both_sides(
    ours: float, theirs: float, std: float, spreads: float
) -> None:
    reach = verdict.reach(Tolerance(spreads=spreads), std)
    word, mirrored = verdict.judge(ours - theirs, reach), verdict.judge(theirs - ours, reach)
    swapped = {"reproduced": "reproduced", "above": "below", "below": "above"}
    assert swapped[word] == mirrored
    # A laxer rule never takes a reproduction back.
    if word == "reproduced":
        laxer = verdict.reach(Tolerance(spreads=spreads + 1), std)
        assert verdict.judge(ours - theirs, laxer) == "reproduced"


def test_far_needs_both_spreads_and_more_than_two_of_them() -> None:
    assert verdict.combined(0.03, 0.04) == pytest.approx(0.05)
    assert verdict.combined(None, 0.04) is verdict.combined(0.03, None) is None
    assert not verdict.is_far(0.1, 0.05)
    assert verdict.is_far(-0.101, 0.05)
    assert not verdict.is_far(0.5, None)
    assert verdict.is_far(0.001, 0.0)


def made(tmp_path: Path, text: str = BATCHES, **options: str) -> Table:
    plan: Plan = plan_of(tmp_path, text, **options)
    store = Store(tmp_path / "runs")
    values = {
        "CSI pneumonia_mnist": (0.83, 0.84, 0.85),
        "DIA pneumonia_mnist": (0.95, 0.96, 0.97),
        "CSI breast_mnist": (0.4, 0.4, 0.4),
        "DIA breast_mnist": (0.75, 0.75),
    }
    fill(store, plan, values, profile=plan.profile)
    return build(plan, store, assessments=())


def test_every_cell_is_judged_and_the_report_opens_with_the_counts(tmp_path: Path) -> None:
    table = made(tmp_path)
    assert {" ".join(entry.cell.labels.values()): entry.verdict for entry in table.entries} == {
        "CSI pneumonia_mnist": "reproduced",
        "CSI-1.5 pneumonia_mnist": "not run",
        "DIA pneumonia_mnist": "above",
        "CSI breast_mnist": "below",
        "CSI-1.5 breast_mnist": "not run",
        "DIA breast_mnist": "not run",
    }
    assert table.verdicts.counts == {"reproduced": 1, "above": 1, "below": 1, "not run": 3}
    opening = "Verdict on 6 published values: 1 reproduced, 1 above, 1 below, 3 not run"
    assert table.verdicts.sentence.startswith(opening)
    lines = [line for line in render.markdown(table).splitlines() if line]
    assert lines[1].startswith(opening)
    assert opening in render.latex(table).split(r"\caption{")[1].split(r"\label")[0]


def test_a_rule_of_the_spec_is_obeyed_and_told(tmp_path: Path) -> None:
    strict = BATCHES.replace("[table]\n", "[table]\ntolerance = { absolute = 0.001, spreads = 1 }\n")
    table = made(tmp_path, strict)
    assert table.verdicts.counts["reproduced"] == 0
    assert "within max(0.001, 1 published standard deviations)" in table.verdicts.sentence
    assert "within max(0.001, 1 published standard deviations)" in " ".join(table.caption)


@pytest.mark.parametrize("wrong", ["0.05", "{ absolute = -1 }", "{ spreads = inf }", "{ relative = 0.1 }"])
def test_a_rule_that_is_none_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(SpecErrors, match=r"table\.tolerance"):
        plan_of(tmp_path, BATCHES.replace("[table]\n", f"[table]\ntolerance = {wrong}\n"))


def test_what_departs_from_the_papers_protocol_is_said(tmp_path: Path) -> None:
    assert "scored at the end of training" in made(tmp_path).verdicts.sentence
    oracle = BATCHES.replace("[table]\n", '[table]\nselection = "best_test"\n')
    assert "NOT the paper's protocol" not in made(tmp_path / "oracle", oracle).verdicts.sentence
    small = made(tmp_path / "small", profile="cpu").verdicts.sentence
    assert "NOT the paper's protocol: profile cpu is reduced" in small


def test_a_table_without_published_values_has_no_verdict(tmp_path: Path) -> None:
    table = made(tmp_path, BATCHES.replace('published = "table11"\n', ""))
    assert table.verdicts.sentence == ""
    assert "Verdict" not in render.markdown(table)
