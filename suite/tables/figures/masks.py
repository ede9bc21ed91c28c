"""The target similarity matrices (Figures 3 and 6), drawn from the cells that the loss really uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.tables.figures.draw import FAINT, Figure, finished, new, style, wrapped

if TYPE_CHECKING:
    from suite.plan import Cell, Plan
    from suite.store import Store

BRANCHES = ("O", "O'", "A")
CLASSES = {"excluded": "white", "positive": "#3f6fb5", "negative": "#dcd6ef"}
NEW = "#c0392b"
"""Outlines what DIA adds to CSI's matrix."""


def draw(plan: Plan, cells: Sequence[Cell], store: Store, why: Mapping[str, str]) -> Figure:
    """One panel a cell, as the paper draws them: excluded white, positive blue, negative lavender."""
    shape = plan.spec.figure
    assert shape is not None
    caption = (
        f"Target similarity matrices for K = {shape.shifts} shifts of {shape.batch} images, as the loss uses them. "
        "Rows and columns: the branches O, O' and A (dissolved), within a branch shift by shift. White: excluded; "
        "blue: positive pairs; lavender: negative pairs; outlined in red: the pairs that dissolving adds."
    )
    missing = {_name(cell): why[need.key] for cell in cells for need in cell.goals if need.key in why}
    if len(missing) == len(cells):
        return finished(plan, caption, missing)
    with style():
        canvas = new(2.4 * len(cells) + 0.4, 3.0)
        for axes, cell in zip(canvas.subplots(1, len(cells), squeeze=False)[0], cells, strict=True):
            axes.set_title(_name(cell))
            if _name(cell) in missing:
                axes.axis("off")
                axes.text(0.5, 0.5, wrapped(missing[_name(cell)], 28), ha="center", va="center", color=FAINT)
            else:
                _panel(axes, cell, store)
        _legend(canvas)
    return finished(plan, caption, missing, canvas)


def _panel(axes: Any, cell: Cell, store: Store) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Rectangle

    (need,) = cell.goals
    facts = (store.artefact(need) or {})["facts"]
    matrix = np.load(store.artefact_folder(*need.place) / "cells.npy", allow_pickle=False)
    colours = [""] * len(CLASSES)
    for name, colour in CLASSES.items():
        colours[facts[name]] = colour
    side, block = len(matrix), facts["block"]
    axes.pcolormesh(
        matrix, cmap=ListedColormap(colours), vmin=-0.5, vmax=2.5, edgecolors="0.8", linewidth=0.4
    )
    axes.set(aspect="equal", xlim=(0, side), ylim=(side, 0))
    middles = [block * (number + 0.5) for number in range(side // block)]
    axes.set_xticks(middles, BRANCHES[: len(middles)])
    axes.set_yticks(middles, BRANCHES[: len(middles)])
    axes.tick_params(length=0)
    for edge in range(block, side, block):
        axes.axhline(edge, color="0.35", linewidth=0.8)
        axes.axvline(edge, color="0.35", linewidth=0.8)
    if side > 2 * block:
        for corner, width, height in (((2 * block, 0), block, side), ((0, 2 * block), 2 * block, block)):
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=NEW, linewidth=1.4))


def _legend(canvas: Any) -> None:
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=colour, edgecolor="0.6", label=name) for name, colour in CLASSES.items()]
    canvas.legend(handles=patches, loc="outside lower center", ncols=len(patches))


def _name(cell: Cell) -> str:
    return " / ".join(cell.labels.values()) or cell.method
