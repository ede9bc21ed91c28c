"""Optuna's own pictures of a search, for print: its course, how the settings matter, and where it looked."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import optuna
from matplotlib.figure import Figure
from optuna.trial import TrialState

from suite import files

MARKS = ("png", "pdf")


def write(study: optuna.Study, stem: str, out: Path) -> list[Path]:
    """``<stem>-<kind>.png`` and ``.pdf``: history, slice, and (from two settings and eight trials on) importance and
    contour. None while no trial is complete.
    """
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from optuna.visualization import matplotlib as draw

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return []
    kinds: dict[str, Callable[[optuna.Study], Any]] = {
        "history": draw.plot_optimization_history,
        "slice": draw.plot_slice,
    }
    if len(complete) >= 8 and len({name for one in complete for name in one.params}) > 1:
        kinds |= {"importance": draw.plot_param_importances, "contour": draw.plot_contour}
    written = []
    for kind, plot in kinds.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls these plots experimental.
            plot(study)
        written += [_save(plt.gcf(), out / f"{stem}-{kind}.{mark}", mark) for mark in MARKS]
        plt.close("all")
    return written


def _save(figure: Figure, path: Path, mark: str) -> Path:
    drawn = io.BytesIO()
    figure.savefig(drawn, format=mark, dpi=150)
    files.write(path, lambda stream: stream.write(drawn.getvalue()))
    return path
