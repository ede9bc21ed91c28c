"""Lines of cases in panels, from runs; what is not computed is said."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from fabric import fill, plan_of, reported

from suite.store import Store
from suite.tables import figures, report
from suite.tables.figures import draw

SPEC = """
title = "Curves"
seeds = [0, 1]
[figure]
kind = "curves"
along = "data.lesion_radius"
panels = "data.lesion_contrast"
[table]
rows = ["case"]
columns = ["data.lesion_contrast", "data.lesion_radius"]
[settings]
dataset = "phantom"
[[case]]
label = "DIA"
set = { method = "dia" }
[[case]]
label = "Pixel kNN"
set = { method = "pixel_knn" }
[grid]
"data.lesion_contrast" = [0.2, 0.4]
"data.lesion_radius" = [0.03, 0.09]
"""


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    """The drawings that become files."""
    seen: list[matplotlib.figure.Figure] = []
    formats = draw.formats

    def watch(canvas: matplotlib.figure.Figure) -> tuple[bytes, bytes]:
        seen.append(canvas)
        return formats(canvas)

    monkeypatch.setattr(draw, "formats", watch)
    return seen


def test_a_line_for_each_case_in_each_panel(tmp_path: Path, drawn: list[Any]) -> None:
    plan, store = plan_of(tmp_path, SPEC, "curves"), Store(tmp_path / "runs")
    done = {f"DIA {c} {r}": (c + r, c + r + 0.02) for c in (0.2, 0.4) for r in (0.03, 0.09)}
    fill(store, plan, {**done, "Pixel kNN 0.2 0.03": (0.6, 0.7)})
    (figure,) = figures.figures(plan, store)
    first, second = drawn[0].axes
    assert [axes.get_title() for axes in (first, second)] == ["lesion contrast 0.2", "lesion contrast 0.4"]
    assert first.get_xlabel() == "lesion radius"
    assert [bars.get_label() for bars in first.containers] == ["DIA", "Pixel kNN"]
    line, _, (bars,) = second.containers[0]
    assert line.get_xdata().tolist() == [0.03, 0.09]
    assert line.get_ydata().tolist() == pytest.approx([0.44, 0.5])
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert lengths == pytest.approx([2 * 0.02 / 2**0.5] * 2)
    assert "Pixel kNN, 0.2, 0.09, Pixel kNN, 0.4, 0.03" in figure.missing
    assert "over 2 seeds" in figure.caption


@pytest.mark.parametrize(("radii", "scale"), [("[0.01, 0.19]", "linear"), ("[0.01, 0.2]", "log")])
def test_a_wide_axis_is_logarithmic(tmp_path: Path, drawn: list[Any], radii: str, scale: str) -> None:
    plan = plan_of(tmp_path, SPEC.replace("[0.03, 0.09]", radii), "curves")
    store = Store(tmp_path / "runs")
    fill(store, plan, {"DIA 0.2 0.01": (0.6, 0.7)})
    figures.figures(plan, store)
    axes = drawn[0].axes[0]
    assert axes.get_xscale() == scale
    assert [text.get_text() for text in axes.get_xticklabels()] == radii.strip("[]").split(", ")


@pytest.mark.parametrize("radii", ["[0.03, 0.09]", "[0.001, 0.0125, 0.0255, 0.0515, 0.105, 0.205]"])
def test_numbers_below_an_axis_do_not_touch(tmp_path: Path, drawn: list[Any], radii: str) -> None:
    plan = plan_of(tmp_path, SPEC.replace("[0.03, 0.09]", radii), "curves")
    store = Store(tmp_path / "runs")
    first = radii.strip("[]").split(", ")[0]
    fill(store, plan, {f"DIA 0.2 {first}": (0.6, 0.7)})
    figures.figures(plan, store)
    boxes = [text.get_window_extent() for text in drawn[0].axes[0].get_xticklabels()]
    assert len(boxes) == len(radii.split(", "))
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


@pytest.mark.parametrize(("low", "chance"), [(0.69, True), (0.72, False)])
def test_chance_is_drawn_where_something_comes_near_it(
    tmp_path: Path, drawn: list[Any], low: float, chance: bool
) -> None:
    plan, store = plan_of(tmp_path, SPEC, "curves"), Store(tmp_path / "runs")
    fill(store, plan, {"DIA 0.2 0.03": (low, low), "Pixel kNN 0.2 0.03": (0.9, 0.9)})
    (figure,) = figures.figures(plan, store)
    levels = {float(line.get_ydata()[0]) for line in drawn[0].axes[0].lines if len(line.get_ydata()) == 2}
    assert ((0.5 in levels), ("chance" in figure.caption)) == (chance, chance)


def test_nothing_yet_is_said_in_a_line(tmp_path: Path) -> None:
    plan, store = plan_of(tmp_path, SPEC, "curves"), Store(tmp_path / "runs")
    (figure,) = figures.figures(plan, store)
    assert (figure.png, figure.missing) == (b"", "everything: not computed yet")


def test_the_table_stands_beneath(tmp_path: Path) -> None:
    plan, store = plan_of(tmp_path, SPEC, "curves"), Store(tmp_path / "runs")
    ours = {"DIA 0.2 0.03": (0.6, 0.7), "DIA 0.4 0.09": (0.8, 0.8)}
    fill(store, plan, {**ours, "Pixel kNN 0.2 0.03": (0.5, 0.5), "Pixel kNN 0.4 0.09": (0.9, 0.9)})
    written = reported([plan], store, tmp_path / "out", ["md", "png"])
    assert [path.name for path in written] == ["curves.md", "curves.png"]
    assert "0.650" in written[0].read_text()
    (table,) = report.tables(plan, store)
    best = {" ".join(entry.cell.labels.values()) for entry in table.entries if entry.best}
    assert best == {"DIA 0.2 0.03", "Pixel kNN 0.4 0.09"}, "other lesions are another comparison"
    assert (table.ranks.tasks, table.ranks.why_not) == (0, ""), "and conditions, not tasks to rank over"
