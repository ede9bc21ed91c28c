"""A row for each example, a column for each place, what is missing in words, and the chart of the signs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest

from suite.plan import Plan, expand
from suite.registry import Need
from suite.spec import load_spec
from suite.store import Store
from suite.tables.figures import figures, strips

SPEC = """
title = "Strips"
[figure]
kind = "dissolving"
steps = [100, 500]
images = 2
{line}
[settings]
method = "dia"
[[case]]
label = "narrow $x$"
set = {{ "diffusion.dim" = 16 }}
[[case]]
label = "wide"
set = {{ "diffusion.dim" = 32 }}
[grid]
dataset = ["phantom", "phantom_coarse"]
"""


def _plan(folder: Path, line: str = "") -> Plan:
    path = folder / "strips.toml"
    path.write_text(SPEC.format(line=line))
    return expand(load_spec(path))


def _make(store: Store, need: Need, colour: int = 7, **facts: Any) -> None:
    folder = store.artefact_folder(need.kind, need.key)
    folder.mkdir(parents=True)
    images = np.full((2, 3, 1, 16, 16), colour, np.uint8)
    np.savez(folder / "strip.npz", images=images, ids=np.array(["a", "b"]), labels=np.array([0, 1]))
    told = {"along": {"t": [100, 500]}, "variance": [0.5, 0.25, 0.05], "compared": 64, "loss": 0.123, **facts}
    (folder / "done.json").write_text(json.dumps({"key": need.key, "facts": told, "data": ""}))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[matplotlib.figure.Figure]:
    """The drawings that become files."""
    from suite.tables.figures import draw

    seen: list[matplotlib.figure.Figure] = []
    formats = draw.formats

    def watch(canvas: matplotlib.figure.Figure) -> tuple[bytes, bytes]:
        seen.append(canvas)
        return formats(canvas)

    monkeypatch.setattr(draw, "formats", watch)
    return seen


def test_rows_columns_and_what_is_missing(tmp_path: Path, drawn: list[Any]) -> None:
    plan, store = _plan(tmp_path), Store(tmp_path / "runs")
    _make(store, plan.goals[0])
    (figure,) = figures(plan, store)
    mosaic, chart = drawn[0].axes
    assert len(mosaic.images) == 2
    assert mosaic.get_ylim() == (5, 0)  # two examples, and a row for each of the three that are missing
    texts = [text.get_text() for text in mosaic.texts]
    assert texts[:3] == ["input", "t = 100", "t = 500"]
    assert "Phantom (fine)\nnarrow $x$" in texts
    assert texts.count("not made yet") == 3
    (line,) = [line for line in chart.lines if len(line.get_xdata()) == 3]
    assert line.get_xdata().tolist() == [0, 100, 500]
    assert line.get_ydata().tolist() == pytest.approx([1, 0.5, 0.1])
    assert line.get_label() == "Phantom (fine), narrow $x$ (loss 0.123)"
    assert figure.missing.endswith("Phantom (coarse), wide: not made yet")
    assert "64 dissolved test images" in figure.caption
    assert figure.pdf.startswith(b"%PDF-")


def test_pages(tmp_path: Path, drawn: list[Any]) -> None:
    plan, store = _plan(tmp_path, 'pages = "dataset"'), Store(tmp_path / "runs")
    for colour, need in enumerate(plan.goals[:2]):
        _make(store, need, 100 * colour)
    first, second = figures(plan, store)
    assert (first.name, second.name) == ("strips-phantom", "strips-phantom_coarse")
    assert first.title == "Strips: phantom"
    assert len({first.png, second.png}) == 2


def test_a_row_shows_the_images_themselves(tmp_path: Path) -> None:
    axes = matplotlib.figure.Figure().subplots()
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 28, 28), np.uint8)
    strips._row(axes, images, 4)
    (shown,) = axes.images
    pixels = np.asarray(shown.get_array())
    assert pixels.shape == (30, 90, 3)
    assert np.array_equal(pixels[1:29, 31:59], images[1].transpose(1, 2, 0))
    assert shown.get_extent() == [0, 3, 5, 4]


def test_a_reduced_profile_is_said(tmp_path: Path) -> None:
    path = tmp_path / "strips.toml"
    path.write_text(SPEC.format(line=""))
    (figure,) = figures(expand(load_spec(path), profile="paper_half"), Store(tmp_path / "runs"))
    assert figure.caption.endswith("Profile paper_half.")
    assert figure.name == "strips-paper_half"
