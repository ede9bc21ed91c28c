"""Average ranks and the critical difference: Demsar's own numbers, and silence where there are too few."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fabric import fill, plan_of

from suite.store import Store
from suite.tables import ranks, text
from suite.tables.ranks import Ranks
from suite.tables.table import build

SETS = ("pneumonia_mnist", "breast_mnist", "derma_mnist", "blood_mnist", "path_mnist")


def spec(cases: int, tasks: int) -> str:
    made = "".join(
        f'[[case]]\nlabel = "M{n}"\nset = {{ method = "csi", "train.batch" = {8 + n} }}\n'
        for n in range(cases)
    )
    sets = ", ".join(f'"{name}"' for name in SETS[:tasks])
    head = 'title = "Ranks"\nseeds = [0, 1]\n[table]\nrows = ["case"]\ncolumns = ["dataset"]\n'
    return f"{head}{made}[grid]\ndataset = [{sets}]\n"


def ranked(tmp_path: Path, cases: int, tasks: int, *, leave_out: str = "") -> Ranks:
    """Method n is the n-th best everywhere."""
    plan = plan_of(tmp_path, spec(cases, tasks), "ranks")
    store = Store(tmp_path / "runs")
    cells = [" ".join(cell.labels.values()) for cell in plan.cells]
    fill(store, plan, {name: (0.9 - 0.05 * int(name[1]),) * 2 for name in cells if name != leave_out})
    return build(plan, store, assessments=()).ranks


def test_the_critical_difference_is_demsars() -> None:
    # Table 5 (a) of the article: q at 5 % is 2.343, 2.569, 2.728 and 3.164 for 2 + 1, 4, 5 and 10 classifiers.
    for contenders, quantile in ((3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        expected = quantile * (contenders * (contenders + 1) / (6 * 14)) ** 0.5
        assert ranks.critical_difference(contenders, 14) == pytest.approx(expected, abs=2e-3)


def test_ranks_are_over_tasks_and_the_best_is_first(tmp_path: Path) -> None:
    found = ranked(tmp_path, 4, 5)
    assert found.average == (("M0", 1), ("M1", 2), ("M2", 3), ("M3", 4))
    assert (found.tasks, found.why_not) == (5, "")
    assert found.critical == pytest.approx(ranks.critical_difference(4, 5))
    assert found.groups == (("M0", "M1", "M2"), ("M1", "M2", "M3"))
    told = text.ranking(found)
    assert told.startswith("Average rank over 5 tasks (contenders complete on all): M0 1.0, M1 2.0")
    assert "further apart than 2.10 differ (Nemenyi, 5 %); not told apart: M0, M1, M2; M1, M2, M3." in told


def test_who_misses_a_task_is_left_out_and_moves_nobody(tmp_path: Path) -> None:
    found = ranked(tmp_path, 4, 5, leave_out="M0 blood_mnist")
    assert found.average == (("M1", 1), ("M2", 2), ("M3", 3))


@pytest.mark.parametrize(
    ("cases", "tasks", "leave_out", "reason"),
    [
        (2, 5, "", "it takes 3 contenders, the table has 2"),
        (4, 4, "", "it takes 5 tasks, the table has 4"),
        (3, 5, "M1 path_mnist", "so far 2 of 3 are"),
    ],
)
def test_too_few_are_told_not_tested(
    tmp_path: Path, cases: int, tasks: int, leave_out: str, reason: str
) -> None:
    found = ranked(tmp_path, cases, tasks, leave_out=leave_out)
    assert found.critical is None
    assert reason in text.ranking(found)
    with pytest.raises(ValueError, match="no critical difference"):
        ranks.diagram(found)


def test_one_task_or_one_contender_is_not_ranked(tmp_path: Path) -> None:
    assert text.ranking(ranked(tmp_path / "task", 3, 1)) == ""
    assert text.ranking(ranked(tmp_path / "contender", 1, 5)) == ""


def test_the_diagram_shows_every_contender_and_obeys_no_text() -> None:
    critical = ranks.critical_difference(3, 6)
    average = (("DIA $x_1$", 1.2), (r"\frac{", 1.9), ("<CSI>", 2.9))
    figure = ranks.diagram(Ranks(average, 6, critical, "", (("DIA $x_1$", r"\frac{"),)), "Table $1")
    shown = [one.get_text() for one in figure.axes[0].texts]
    assert all(any(name in one for one in shown) for name, _ in average)
    assert f"CD {critical:.2f}" in shown
    for kind in ("png", "pdf", "svg"):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind)
        assert buffer.tell() > 1000
