"""Average ranks over data sets, and how far apart they must be to mean something (Demsar, JMLR 7, 2006).

Methods are ranked on each task by their means, ties sharing a rank. Two average ranks are told apart when they
differ by Nemenyi's critical difference. What is compared are tasks, not seeds, so few seeds do not forbid it;
few tasks do, and then the reason is given instead of a number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from suite.data.identity import LESIONS
from suite.tables.cells import GENERATED, Entry, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.05
FEWEST_CONTENDERS, FEWEST_TASKS = 3, 5
TASK_AXES = ("dataset", "data.normal_class")
"""The axes that name a task; the other labels of a cell name the contender."""


@dataclass(frozen=True)
class Ranks:
    """``average``: contender and average rank over ``tasks`` tasks, the best first; empty with fewer than two of
    either. ``critical``: Nemenyi's critical difference at the 5 % level, None for the reason ``why_not``.
    ``groups``: contenders, side by side in ``average``, that it does not tell apart.
    """

    average: tuple[tuple[str, float], ...] = ()
    tasks: int = 0
    critical: float | None = None
    why_not: str = ""
    groups: tuple[tuple[str, ...], ...] = ()


def rank(entries: Sequence[Entry], *, higher: bool = True) -> Ranks:
    """Rank those contenders that are complete on every task, among themselves. ``higher``: is better. What was
    computed on stand-in data is no task, and the phantom's lesions are conditions of one set, not tasks of
    their own.
    """
    entries = [entry for entry in entries if GENERATED not in entry.marks and not _is_condition(entry)]
    tasks = {entry.compared for entry in entries}
    every = dict.fromkeys(map(contender, entries))
    if len(tasks) < 2 or len(every) < 2:
        return Ranks(tasks=len(tasks))
    done = Counter(contender(entry) for entry in entries if entry.complete)
    full = {name for name in every if done[name] == len(tasks)}
    placed: dict[str, list[float]] = {}
    for entry in ranked([entry for entry in entries if contender(entry) in full], higher):
        placed.setdefault(contender(entry), []).append(entry.rank or 0.0)
    means = {name: sum(one) / len(one) for name, one in placed.items()}
    average = tuple(sorted(means.items(), key=lambda pair: pair[1])) if len(full) > 1 else ()
    if reason := _too_few(len(full), len(every), len(tasks)):
        return Ranks(average, len(tasks), None, reason)
    critical = critical_difference(len(full), len(tasks))
    return Ranks(average, len(tasks), critical, "", _groups(average, critical))


def _is_condition(entry: Entry) -> bool:
    return any(entry.cell.settings.get(f"data.{name}") is not None for name in LESIONS)


def contender(entry: Entry) -> str:
    """The cell's labels without the axes that name the task."""
    return ", ".join(text for axis, text in entry.cell.labels.items() if axis not in TASK_AXES)


def critical_difference(contenders: int, tasks: int) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / 6 N), q the studentised range over root 2 at the 5 % level."""
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - LEVEL, contenders, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(contenders * (contenders + 1) / (6 * tasks))


def _too_few(complete: int, contenders: int, tasks: int) -> str:
    """Why there is no critical difference; empty when there is one."""
    if contenders < FEWEST_CONTENDERS:
        return f"it takes {FEWEST_CONTENDERS} contenders, the table has {contenders}"
    if tasks < FEWEST_TASKS:
        return f"it takes {FEWEST_TASKS} tasks, the table has {tasks}"
    if complete < FEWEST_CONTENDERS:
        return (
            f"it takes {FEWEST_CONTENDERS} contenders with complete cells on all {tasks} tasks, "
            f"so far {complete} of {contenders} are"
        )
    return ""


def _groups(average: Sequence[tuple[str, float]], critical: float) -> tuple[tuple[str, ...], ...]:
    """The longest stretches of contenders whose ends are no further apart than the critical difference."""
    stretches: list[tuple[int, int]] = []
    for start, (_, first) in enumerate(average):
        end = max(place for place, (_, last) in enumerate(average) if last - first <= critical)
        if end > start and not (stretches and end <= stretches[-1][1]):
            stretches.append((start, end))
    return tuple(tuple(name for name, _ in average[start : end + 1]) for start, end in stretches)


def diagram(ranks: Ranks, title: str = "") -> Figure:
    """The critical-difference diagram: ranks on a line, the best on the left, and a bar over each group.

    ValueError when there is no critical difference to draw.
    """
    from matplotlib.figure import Figure

    if ranks.critical is None:
        raise ValueError(f"no critical difference: {ranks.why_not or 'nothing is ranked'}")
    places = dict(ranks.average)
    highest = len(places)
    left = (len(places) + 1) // 2
    bars = len(ranks.groups)
    depth = 1.0 + 0.35 * bars
    height = 1.2 + 0.35 * bars + 0.28 * left
    figure = Figure(figsize=(7.0, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0.2, highest + 0.8), ylim=(-depth - left, 1.6), yticks=[])
    axes.axis("off")
    axes.plot([1, highest], [0, 0], color="black", linewidth=1)
    for tick in range(1, highest + 1):
        axes.plot([tick, tick], [0, 0.18], color="black", linewidth=1)
        axes.text(tick, 0.25, str(tick), ha="center", va="bottom", fontsize=8)
    axes.plot([1, 1 + ranks.critical], [1.15, 1.15], color="black", linewidth=2)
    axes.text(1 + ranks.critical / 2, 1.2, f"CD {ranks.critical:.2f}", ha="center", va="bottom", fontsize=8)
    for number, (name, place) in enumerate(ranks.average):
        first_half = number < left
        row = number if first_half else len(places) - 1 - number
        y, edge = -depth - row, 0.9 if first_half else highest + 0.1
        axes.plot([place, place, edge], [0, y, y], color="black", linewidth=0.8)
        label = f"{name} {place:.2f}" if first_half else f"{place:.2f} {name}"
        axes.text(
            edge, y, label, ha="right" if first_half else "left", va="center", fontsize=8, parse_math=False
        )
    for number, group in enumerate(ranks.groups):
        y, ends = -0.35 * (number + 1), (places[group[0]] - 0.05, places[group[-1]] + 0.05)
        axes.plot(ends, [y, y], color="tab:blue", linewidth=3, solid_capstyle="butt")
    if title:
        axes.set_title(title, fontsize=9, parse_math=False)
    return figure
