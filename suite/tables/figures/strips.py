"""Strips of dissolved images, a row for each example, along t (Figures 1, 4, 7 to 11) or along the kernel of a
blur (Figure 5); beside them, label-free, how alike different images have become.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from suite import registry
from suite.tables.figures.draw import COLOURS, FAINT, MARKERS, Figure, finished, new, style, wrapped

if TYPE_CHECKING:
    from suite.plan import Cell, Plan
    from suite.store import Store

TILE = 0.68
"""Inches of an image's side."""
LABEL, CHART, GAP, HEAD = 1.35, 2.1, 0.5, 0.4
"""Inches of the labels on the left, the chart on the right, the space before it, the header."""
LEAST, BELOW, KEY = 2.1, 0.5, 0.14
"""Inches of the chart, of what stands below its axis, and of each line of its key."""


@dataclass(frozen=True)
class _Strip:
    """A cell: its labels, and either its images (examples x places x C x H x W) and facts, or why it has
    none.
    """

    label: str
    examples: int
    images: NDArray[np.uint8] | None = None
    facts: Mapping[str, Any] | None = None
    why: str = ""


def draw(plan: Plan, cells: Sequence[Cell], store: Store, why: Mapping[str, str]) -> Figure:
    """A row for each example image of each cell."""
    shape = plan.spec.figure
    assert shape is not None
    name, values = ("kernel", shape.kernels) if shape.kind == "kernels" else ("t", shape.steps)
    strips = [_strip(plan, cell, store, why) for cell in cells]
    missing = {strip.label.replace("\n", ", "): strip.why for strip in strips if strip.images is None}
    done = [strip for strip in strips if strip.facts is not None]
    caption = _caption(name, done)
    if not done:
        return finished(plan, caption, missing)
    tiles = TILE * (len(values) + 1)
    column = TILE * sum(strip.examples for strip in strips)
    width = LABEL + tiles + GAP + CHART + 0.25
    height = HEAD + max(column, LEAST + KEY * len(done)) + 0.1
    with style():
        canvas = new(width, height)
        canvas.set_layout_engine("none")

        def place(left: float, across: float, down: float) -> Any:
            """Axes of so many inches below the header."""
            box = (left / width, 1 - (HEAD + down) / height, across / width, down / height)
            return canvas.add_axes(box)

        short = "k" if name == "kernel" else name
        _mosaic(place(LABEL, tiles, column), strips, ["input", *(f"{short} = {value}" for value in values)])
        _chart(place(LABEL + tiles + GAP, CHART, LEAST - BELOW), done, name)
    return finished(plan, caption, missing, canvas)


def _strip(plan: Plan, cell: Cell, store: Store, why: Mapping[str, str]) -> _Strip:
    assert plan.spec.figure is not None
    (need,) = cell.goals
    label = _label(plan, cell)
    done = store.artefact(need)
    if done is None:
        return _Strip(label, 1, why=why.get(need.key, "not made yet"))
    with np.load(store.artefact_folder(*need.place) / "strip.npz", allow_pickle=False) as kept:
        images = kept["images"]
    return _Strip(label, len(images), images, done["facts"])


def _label(plan: Plan, cell: Cell) -> str:
    """The cell's labels but the page's, a line each; data sets by their titles."""
    pages = plan.spec.figure.pages if plan.spec.figure else None
    lines: list[str] = []
    for axis, label in cell.labels.items():
        if axis == pages:
            continue
        if axis == "dataset":
            lines.insert(0, registry.dataset(cell.dataset).title)
        else:
            lines.append(label if axis == "case" else f"{axis} {label}")
    return "\n".join(wrapped(line, 24) for line in lines) or registry.dataset(cell.dataset).title


def _mosaic(axes: Any, strips: Sequence[_Strip], heads: Sequence[str]) -> None:
    rows = sum(strip.examples for strip in strips)
    axes.set(xlim=(0, len(heads)), ylim=(rows, 0))
    axes.axis("off")
    for number, head in enumerate(heads):
        axes.text(number + 0.5, -0.08, head, ha="center", va="bottom")
    at = 0
    for strip in strips:
        middle = at + strip.examples / 2
        axes.text(-0.08, middle, strip.label, ha="right", va="center")
        if strip.images is None:
            # What is missing; how to get it stands in the text beside the figure.
            told = wrapped(strip.why.removeprefix("missing: ").partition(": ")[0], 13 * len(heads))
            axes.text(len(heads) / 2, middle, told, ha="center", va="center", color=FAINT, fontsize=6)
        else:
            for number, images in enumerate(strip.images):
                _row(axes, images, at + number)
        at += strip.examples


def _row(axes: Any, images: NDArray[np.uint8], at: int) -> None:
    """One example: places x C x H x W side by side, with a white gap around each."""
    side = images.shape[-1]
    gap = max(1, side // 28)
    padded = np.pad(images, ((0, 0), (0, 0), (gap, gap), (gap, gap)), constant_values=255)
    line = np.concatenate(list(padded.transpose(0, 2, 3, 1)), axis=1)
    line = np.repeat(line, 3, axis=2) if line.shape[2] == 1 else line
    axes.imshow(line, extent=(0, len(images), at + 1, at), aspect="auto", interpolation_stage="rgba")
    # A frame, so that an image that has dissolved into white is still seen to be one.
    edge = gap / (side + 2 * gap)
    corners = np.array([[edge, edge], [1 - edge, edge], [1 - edge, 1 - edge], [edge, 1 - edge], [edge, edge]])
    for number in range(len(images)):
        axes.plot(number + corners[:, 0], at + corners[:, 1], color="0.75", linewidth=0.4)


def _chart(axes: Any, done: Sequence[_Strip], name: str) -> None:
    """The variance between dissolved images, as a share of that between the images themselves."""
    for number, strip in enumerate(done):
        facts = strip.facts or {}
        places, variance = facts["along"][name], np.array(facts["variance"])
        loss = f" (loss {facts['loss']:.3f})" if "loss" in facts else ""
        axes.plot(
            [0, *places],
            variance / max(variance[0], 1e-12),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=3,
            linewidth=1,
            label=strip.label.replace("\n", ", ") + loss,
        )
    axes.axhline(1, color=FAINT, linewidth=0.5, linestyle=":")
    axes.set(ylim=(0, None), xlim=(0, None))
    axes.set_xlabel("t" if name == "t" else "kernel (pixels)")
    axes.set_title("variance between images\n(undissolved = 1)")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.33), borderaxespad=0, fontsize=6)


def _caption(name: str, done: Sequence[_Strip]) -> str:
    along = (
        "the diffusion step t" if name == "t" else "the blur's kernel in pixels at the dissolving resolution"
    )
    compared = sorted({int((strip.facts or {})["compared"]) for strip in done})
    turns = "" if all(strip.examples == 1 for strip in done) else ", in turn normal and anomalous"
    text = f"Test images{turns} along {along}."
    if compared:
        text += (
            f" Right: the mean variance of a pixel between {' or '.join(map(str, compared))} dissolved test images, "
            "as a share of that before dissolving; it falls where different images become alike."
        )
    if any("loss" in (strip.facts or {}) for strip in done):
        text += (
            " In brackets the last training loss of the diffusion model (the L1 of the noise as published)."
        )
    return text
