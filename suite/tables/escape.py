"""Making any text safe where it is shown: a label is only ever text, never markup, in Markdown, LaTeX or a
terminal.
"""

from __future__ import annotations

import unicodedata

_GREEK = ("alpha", "beta", "gamma", "lambda", "mu", "sigma", "tau")
_MARKDOWN = {
    **{character: f"\\{character}" for character in "\\`*_[]|~#$!"},
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
}
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    # After the end of a row a star or a bracket would be taken as an option of the line break.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"\ensuremath{\pm}",
    "−": r"\ensuremath{-}",
    "×": r"\ensuremath{\times}",
    "≤": r"\ensuremath{\le}",
    "≥": r"\ensuremath{\ge}",
    "†": r"\ensuremath{^\dagger}",
    "‡": r"\ensuremath{^\ddagger}",
    "§": r"\textsuperscript{\S}",
    "¶": r"\textsuperscript{\P}",
    "◇": r"\ensuremath{^\diamond}",
    "≈": r"\ensuremath{\approx}",
    "·": r"\ensuremath{\cdot}",
    "–": "--",
    "—": "---",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "…": r"\ldots{}",
    **{letter: rf"\ensuremath{{\{name}}}" for letter, name in zip("αβγλμστ", _GREEK, strict=True)},
}


def clean(text: object) -> str:
    """One line without control characters (a terminal would obey them) or direction marks; runs of spaces are
    one.
    """
    kept = str(text)
    if not (kept.isascii() and kept.isprintable()):
        kept = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in kept)
    return " ".join(kept.split())


def markdown(text: object) -> str:
    """Text for any place in Markdown, a table's cell included; HTML in it is shown, not obeyed."""
    return "".join(_MARKDOWN.get(character, character) for character in clean(text))


def latex(text: object) -> str:
    """Text for LaTeX with any engine. A character that the standard fonts lack stands as its number,
    ``[U+4E2D]``.
    """
    return "".join(_latex(character) for character in unicodedata.normalize("NFC", clean(text)))


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    # Latin letters up to Extended-A are what every engine's default fonts and encodings have.
    known = ord(character) < 0x80 or (0xC0 <= ord(character) <= 0x17F and character.isalpha())
    return character if known else f"{{[}}U+{ord(character):04X}{{]}}"
