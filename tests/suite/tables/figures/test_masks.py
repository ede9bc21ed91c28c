"""Figures 3 and 6 show the cells of the loss's own matrix, in the colours that the legend names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure as Canvas

from suite.detector import Context
from suite.dia.contrast import EXCLUDED, NEGATIVE, POSITIVE
from suite.job import Conditions
from suite.plan import Plan, expand
from suite.run import make_artefact
from suite.spec import load_spec
from suite.store import Store
from suite.tables.figures import figures, masks


@pytest.fixture
def made(tmp_path: Path) -> tuple[Plan, Store]:
    plan, store = expand(load_spec("figure6")), Store(tmp_path)
    for need in plan.goals:
        make_artefact(need, store, Conditions())
    return plan, store


def test_nothing_is_drawn_of_what_is_not_made(tmp_path: Path) -> None:
    (figure,) = figures(expand(load_spec("figure3")), Store(tmp_path))
    assert (figure.png, figure.pdf) == (b"", b"")
    assert figure.missing == "DIA: not made yet"
    assert figure.name == "figure3"


def test_both_formats_and_the_same_each_time(made: tuple[Plan, Store]) -> None:
    (figure,) = figures(*made)
    assert figure.png.startswith(b"\x89PNG\r\n\x1a\n")
    assert figure.pdf.startswith(b"%PDF-")
    assert not figure.missing
    assert figures(*made) == [figure]


def test_a_panel_has_the_cells_of_the_matrix(made: tuple[Plan, Store]) -> None:
    from matplotlib.colors import to_hex

    plan, store = made
    axes = Canvas().subplots()
    masks._panel(axes, plan.cells[2], store)
    (mesh,) = axes.collections
    colours = np.array([to_hex(colour) for colour in mesh.to_rgba(mesh.get_array().ravel())]).reshape(12, 12)
    expected = {
        EXCLUDED: to_hex("white"),
        POSITIVE: masks.CLASSES["positive"],
        NEGATIVE: masks.CLASSES["negative"],
    }
    from suite.dia.contrast import target

    cells = target("b", 2, 2).cells.numpy()
    assert all(colours[place] == expected[int(cell)] for place, cell in np.ndenumerate(cells))
    # An image and its own dissolved copy: left out in (b).
    assert colours[0, 8] == expected[EXCLUDED]
    assert len(axes.patches) == 2


def test_what_is_there_is_drawn_beside_what_is_not(tmp_path: Path) -> None:
    plan, store = expand(load_spec("figure6")), Store(tmp_path)
    make_artefact(plan.goals[0], store, Conditions())
    (figure,) = figures(plan, store)
    assert figure.png
    assert figure.missing == "(a), (b): not made yet"


def test_the_maker_needs_a_folder() -> None:
    from suite.dia.contrast import make

    with pytest.raises(ValueError, match="folder"):
        make({"design": "a", "shifts": 2, "batch": 2}, None, Context(device=torch.device("cpu"), seed=0))
