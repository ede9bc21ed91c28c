"""Specs that share experiments share runs, trainings and diffusion models; the counts say how many."""

from __future__ import annotations

from pathlib import Path

from fabric import BATCHES, plan_of

from suite.overlap import overlap
from suite.plan import expand
from suite.resources import names
from suite.spec import load_spec


def test_a_spec_alone_shares_nothing(tmp_path: Path) -> None:
    found = overlap([plan_of(tmp_path)])
    assert (found.asked_runs, found.distinct_runs) == (18, 18)
    assert (found.distinct_trainings, found.distinct_artefacts) == (18, 2)
    assert found.sentence == ""


def test_the_same_cells_in_two_specs_are_one_set_of_runs(tmp_path: Path) -> None:
    both = [plan_of(tmp_path), plan_of(tmp_path, BATCHES, "again")]
    found = overlap(both)
    assert (found.asked_runs, found.distinct_runs) == (36, 18)
    assert (found.asked_artefacts, found.distinct_artefacts) == (4, 2)
    assert found.sentence.startswith("2 specs ask for 36 runs (36 trainings) and 4 diffusion models; ")
    assert found.sentence.endswith("distinct are 18 runs (18 trainings) and 2 diffusion models")


def test_another_checkpoint_is_another_run_of_the_same_training(tmp_path: Path) -> None:
    both = [plan_of(tmp_path), plan_of(tmp_path, sets={"selection": "best_test"})]
    found = overlap(both)
    assert (found.distinct_runs, found.distinct_trainings) == (36, 18)


def test_nothing_is_nothing() -> None:
    assert overlap([]).sentence == ""


def test_the_papers_tables_share_much() -> None:
    """Figures and cost tables have no runs; the six models of Table 1 serve every table of the same sets."""
    plans = [expand(load_spec(name), profile="paper") for name in names("specs")]
    tables = [plan for plan in plans if plan.spec.table.published]
    assert len(tables) == 14
    found = overlap(tables)
    assert found.asked_artefacts > found.asked_diffusion_models > 2 * found.distinct_diffusion_models
    assert found.asked_runs - found.distinct_runs > 150
