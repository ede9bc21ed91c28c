"""How a cell reads as plain text, the same in every format: ``0.912±0.013``, ``0.91±0.01 (2/3)``, ``0.91
(1/3)``, ``--``.
"""

from __future__ import annotations

from suite.tables.cells import Entry
from suite.tables.paired import Pair

ABSENT = "--"
MINUS = "−"


def value(entry: Entry | None) -> str:
    """The cell's own number. An incomplete cell has fewer digits and says how many of its seeds are done."""
    if entry is None:
        return ""
    if entry.mean is None:
        return ABSENT
    digits = 3 if entry.complete else 2
    spread = "" if entry.std is None else f"±{entry.std:.{digits}f}"
    return f"{entry.mean:.{digits}f}{spread}{'' if entry.complete else f' ({entry.n}/{len(entry.seeds)})'}"


def published(entry: Entry | None) -> str:
    """``paper 0.903±0.01``, with the digits that were printed; empty when nothing was."""
    if entry is None or entry.published is None or entry.published.mean is None:
        return ""
    spread = "" if entry.published.std is None else f"±{entry.published.std:.2f}"
    return f"{source(entry)} {entry.published.mean:.3f}{spread}"


def source(entry: Entry) -> str:
    """A word for where the published value stands."""
    return "README" if "README" in entry.source else entry.source


def difference(entry: Entry | None) -> str:
    """Ours minus the published mean with its sign; empty without one of the two."""
    if entry is None or entry.difference is None:
        return ""
    return signed(entry.difference)


def signed(number: float) -> str:
    """Three digits with a sign, a true minus; zero has none."""
    text = f"{abs(number):.3f}"
    if float(text) == 0:
        return text
    return f"{MINUS if number < 0 else '+'}{text}"


def beside(entry: Entry | None) -> str:
    """Published value and difference as they stand together: ``paper 0.903±0.01, −0.032``."""
    return ", ".join(part for part in (published(entry), difference(entry)) if part)


def marks(entry: Entry | None) -> str:
    return "".join(entry.marks) if entry else ""


def extra(number: float | None) -> str:
    """A cost or a further metric in four significant digits, without an exponent."""
    if number is None:
        return ABSENT
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def rank(number: float) -> str:
    """One digit: ranks are whole or halved, and averaged over a few tasks."""
    return f"{number:.1f}"


def interval(pair: Pair) -> str:
    """``+0.031 [+0.012, +0.049]``: the mean difference and its 95 % bootstrap interval."""
    return f"{signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}]"


def per_seed(pair: Pair) -> str:
    """The differences of the seeds, in the spec's order."""
    return ", ".join(signed(one) for one in pair.per_seed)


def sentence(pair: Pair, reference: str) -> str:
    """A paired comparison in one line of plain text."""
    where = f" on {' / '.join(pair.place)}" if pair.place else ""
    return f"{pair.label} against {reference}{where}: {interval(pair)}; seeds {per_seed(pair)}"
