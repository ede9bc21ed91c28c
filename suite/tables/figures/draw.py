"""What all figures share: their look (light, for print), the two formats, and the texts around them."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from suite.plan import Plan

DPI = 160
FAINT, INK = "0.55", "0.15"
COLOURS = ("#2f5d9e", "#c05a2b", "#3d8a5a", "#8a5aa6", "#a88414", "#4d4d4d")
"""Told apart in print by their darkness too, and by those who see no red or green."""
MARKERS = "osD^vx"


@dataclass(frozen=True)
class Figure:
    """A drawn figure. ``name`` is that of its files; texts are plain and unescaped; ``png`` and ``pdf`` are
    empty when there is nothing to draw yet; ``missing`` says in a line what is not drawn, empty if all is.
    """

    name: str
    title: str
    caption: str
    png: bytes = b""
    pdf: bytes = b""
    missing: str = ""

    def page(self, label: str) -> Figure:
        """The same as one of several pages of a spec."""
        ending = re.sub(r"[^A-Za-z0-9.,=_]+", "_", label)
        return replace(self, name=f"{self.name}-{ending}", title=f"{self.title}: {label}")


def finished(plan: Plan, caption: str, missing: Mapping[str, str], canvas: Canvas | None = None) -> Figure:
    """A figure of a plan from its drawing. ``missing``: what is not drawn, and why."""
    from suite.tables.report import stem

    png, pdf = formats(canvas) if canvas is not None else (b"", b"")
    reasons: dict[str, list[str]] = {}
    for name, reason in missing.items():
        reasons.setdefault(reason, []).append(name)
    told = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    text = f"{caption} Profile {plan.profile}." if plan.profile != "paper" else caption
    return Figure(stem(plan), plan.spec.title, text, png, pdf, told)


def formats(canvas: Canvas) -> tuple[bytes, bytes]:
    """The drawing as PNG and as PDF, the same bytes each time."""
    png, pdf = io.BytesIO(), io.BytesIO()
    with style():
        canvas.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        canvas.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return png.getvalue(), pdf.getvalue()


@contextmanager
def style() -> Iterator[None]:
    """The look: white ground, thin grey axes, fonts that a PDF carries as text."""
    import matplotlib as mpl

    look: dict[str, Any] = {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.edgecolor": FAINT,
        "axes.linewidth": 0.6,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": FAINT,
        "ytick.color": FAINT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.fontsize": 7,
        "figure.facecolor": "white",
        "pdf.fonttype": 42,
        # Labels of data sets and cases are texts of the user: a dollar sign in them starts no formula.
        "text.parse_math": False,
    }
    with mpl.rc_context(look):  # type: ignore[arg-type]
        yield


def new(width: float, height: float) -> Canvas:
    """An empty drawing of so many inches."""
    from matplotlib.figure import Figure as Canvas

    return Canvas(figsize=(width, height), layout="constrained")


def wrapped(text: str, width: int) -> str:
    """A text in lines of at most so many characters."""
    return "\n".join(textwrap.wrap(text, width))
