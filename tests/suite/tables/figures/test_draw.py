"""Names of pages are safe file names, drawings are the same bytes each time, the look is left behind."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.tables.figures.draw import Figure, formats, new, style, wrapped


@given(st.text(max_size=40))
def test_a_page_is_a_file_in_its_folder(label: str) -> None:
    page = Figure("figure", "Title", "").page(label)
    assert "/" not in page.name
    assert page.name.startswith("figure-")
    assert page.title == f"Title: {label}"


def test_a_drawing_is_the_same_bytes_each_time() -> None:
    made = []
    for _ in range(2):
        with style():
            canvas = new(1, 1)
            canvas.subplots().set_title("50 $ and _")
        made.append(formats(canvas))
    assert made[0] == made[1]


def test_the_look_ends_with_the_drawing() -> None:
    before = dict(mpl.rcParams)
    with style():
        assert mpl.rcParams["font.size"] == 8
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("width", [5, 20])
def test_lines_are_no_longer_than_asked(width: int) -> None:
    assert max(map(len, wrapped("one two three four five", width).splitlines())) <= width
