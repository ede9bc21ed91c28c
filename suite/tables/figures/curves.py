"""Scores of ordinary runs along a setting: a panel for each value of another one, a line for each case (the
phantom's own figure: AUROC against the size of its lesions, by their contrast).

The mean over the seeds, with the sample standard deviation as a bar. The table of the same cells stands beneath.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from suite.tables.cells import METRICS, Entry, entry_of
from suite.tables.figures.draw import COLOURS, FAINT, MARKERS, Figure, finished, new, style
from suite.tables.frame import collect

if TYPE_CHECKING:
    from suite.plan import Cell, Plan
    from suite.store import Store

PANEL, HEIGHT, KEY = 2.1, 2.3, 1.5
"""Inches of a panel's width and height, and of the key's width."""
CHANCE = 0.5
NEAR_CHANCE = 0.2
"""How near a mean must come to chance for its line to be drawn; it would only press the curves together."""
WIDE = 20
"""From this ratio between the ends of an axis on it is logarithmic."""
ABREAST = 16
"""Characters that the numbers below an axis may have in all, or they stand upright."""


def draw(plan: Plan, cells: Sequence[Cell], store: Store, why: Mapping[str, str]) -> Figure:
    """A line for each case over the values of the axis ``along``, in a panel for each value of ``panels``."""
    shape = plan.spec.figure
    assert shape is not None
    assert shape.along is not None
    wanted = set(map(id, cells))
    rows = collect(plan, store, assessments=())
    entries = [
        entry_of(plan, cell, [row for row in rows if row.cell == number])
        for number, cell in enumerate(plan.cells)
        if id(cell) in wanted
    ]
    panels: dict[str, list[Entry]] = {}
    for entry in entries:
        panels.setdefault(entry.cell.labels.get(shape.panels or "", ""), []).append(entry)
    absent = [entry for entry in entries if entry.mean is None]
    missing = {", ".join(entry.cell.labels.values()): "not computed yet" for entry in absent}
    caption = _caption(plan, entries)
    if len(absent) == len(entries):
        return finished(plan, caption, {"everything": "not computed yet"})
    chance = _shows_chance(plan, entries)
    with style():
        canvas = new(PANEL * len(panels) + KEY, HEIGHT)
        axes = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for one, (label, members) in zip(axes, panels.items(), strict=True):
            _panel(one, plan, members)
            if chance:
                one.axhline(CHANCE, color=FAINT, linewidth=0.5, linestyle=":")
            one.set_title(f"{_words(shape.panels)} {label}" if shape.panels else "")
        axes[0].set_ylabel(METRICS[plan.spec.table.metric][0])
        handles, names = axes[0].get_legend_handles_labels()
        canvas.legend(handles, names, loc="outside right center")
    return finished(plan, caption, missing, canvas)


def _panel(axes: Any, plan: Plan, entries: Sequence[Entry]) -> None:
    shape = plan.spec.figure
    assert shape is not None
    assert shape.along is not None
    lines: dict[str, list[Entry]] = {}
    for entry in entries:
        lines.setdefault(entry.cell.labels.get("case", entry.cell.method), []).append(entry)
    for number, (label, members) in enumerate(lines.items()):
        done = [entry for entry in members if entry.mean is not None]
        axes.errorbar(
            [float(entry.cell.values[shape.along]) for entry in done],
            [entry.mean for entry in done],
            yerr=[entry.std or 0.0 for entry in done],
            label=label,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=3,
            linewidth=1,
            elinewidth=0.7,
            capsize=2,
        )
    ticks = sorted({float(entry.cell.values[shape.along]) for entry in entries})
    if ticks[0] > 0 and ticks[-1] >= WIDE * ticks[0]:
        axes.set_xscale("log")
        axes.minorticks_off()
    labels = [f"{tick:g}" for tick in ticks]
    axes.set_xticks(ticks, labels=labels, rotation=90 if sum(map(len, labels)) > ABREAST else 0)
    axes.set_xlabel(_words(shape.along))


def _shows_chance(plan: Plan, entries: Sequence[Entry]) -> bool:
    """Whether chance belongs into the picture: it is a place on this metric, and some mean comes near it."""
    means = [entry.mean for entry in entries if entry.mean is not None]
    return plan.spec.table.metric == "auroc" and min(means, default=1.0) <= CHANCE + NEAR_CHANCE


def _words(axis: str | None) -> str:
    """The last part of a setting's name, as words."""
    return (axis or "").rpartition(".")[2].replace("_", " ")


def _caption(plan: Plan, entries: Sequence[Entry]) -> str:
    shape = plan.spec.figure
    assert shape is not None
    seeds = max((len(entry.seeds) for entry in entries), default=0)
    return (
        f"{METRICS[plan.spec.table.metric][0]} against the {_words(shape.along)}: mean over {seeds} seeds, bars "
        "their sample standard deviation."
        + (" Dotted: chance." if _shows_chance(plan, entries) else "")
        + " The table of the same cells stands beneath."
    )
