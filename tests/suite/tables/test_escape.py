"""Text stays text in every format."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.tables import escape


@given(st.text())
def test_cleaned_text_is_one_line_without_controls(text: str) -> None:
    cleaned = escape.clean(text)
    assert cleaned == cleaned.strip()
    assert all(character.isprintable() for character in cleaned)
    assert len(cleaned.splitlines()) <= 1


def test_terminal_control_and_direction_marks_are_dropped() -> None:
    assert escape.clean("a\x1b[31mred\u202egnp.exe\nb") == "a [31mred gnp.exe b"


@given(st.text())
def test_markdown_has_no_bare_special(text: str) -> None:
    shown = escape.markdown(text)
    bare = re.sub(r"\\[\\`*_\[\]|~#$!]", "", shown)
    assert not re.search(r"[\\`*_\[\]|~#$!<>]", bare)
    assert re.sub(r"&(lt|gt|amp);", "", bare).count("&") == 0


def test_markdown() -> None:
    assert escape.markdown("a_b|c <script>") == r"a\_b\|c &lt;script&gt;"


@given(st.text())
def test_latex_is_balanced_and_within_the_fonts(text: str) -> None:
    shown = escape.latex(text)
    bare = re.sub(r"\\[{}$&#%_]", "", shown)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"[$&#%_~|<>\"±−]", bare)
    assert all(ord(character) <= 0x17F for character in shown)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("pneumonia_mnist 50 %", r"pneumonia\_mnist 50 \%"),
        ("0.9±0.1, −0.2", r"0.9\ensuremath{\pm}0.1, \ensuremath{-}0.2"),
        ("[a]*", "{[}a{]}{*}"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("é γ 中", r"é \ensuremath{\gamma} {[}U+4E2D{]}"),
    ],
)
def test_latex(text: str, shown: str) -> None:
    assert escape.latex(text) == shown
