"""How a cell reads as plain text, the same in every format: ``0.912±0.013``, ``0.91±0.01 (2/3)``, ``0.91
(1/3)``, ``--``.
"""

from __future__ import annotations

from suite.tables.cells import Entry
from suite.tables.paired import Pair
from suite.tables.published import Value
from suite.tables.ranks import Ranks
from suite.tables.verdict import ABOVE, BELOW, NOT_RUN, REPRODUCED

ABSENT = "--"
MINUS = "−"
FAR = "¶"
"""Behind a difference of more than two combined spreads."""
SYMBOLS = {REPRODUCED: "≈", ABOVE: ">", BELOW: "<"}
"""A verdict where there is no room for the word."""


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
    if entry is None or entry.published is None:
        return ""
    return _sourced(entry.source, entry.published)


def also(entry: Entry | None) -> str:
    """What further sources say of the cell, ``README 0.919``; empty when none does."""
    told = [_sourced(source, value) for source, value in (entry.also if entry else ())]
    return ", ".join(filter(None, told))


def _sourced(source: str, value: Value) -> str:
    if value.mean is None:
        return ""
    return f"{'README' if 'README' in source else source} {as_printed(value.mean, value.std)}"


def as_printed(mean: float, std: float | None) -> str:
    """A published number with the paper's digits, ``0.903±0.01``."""
    return f"{mean:.3f}" + ("" if std is None else f"±{std:.2f}")


def difference(entry: Entry | None) -> str:
    """Ours minus the published mean with its sign, and a mark if it exceeds two combined spreads; empty without
    one of the two.
    """
    if entry is None or entry.difference is None:
        return ""
    return signed(entry.difference) + (FAR if entry.far else "")


def verdict(entry: Entry | None) -> str:
    """``reproduced``, ``above`` or ``below``; empty where that cannot be said."""
    word = entry.verdict if entry else None
    return "" if word is None or word == NOT_RUN else word


def signed(number: float) -> str:
    """Three digits with a sign, a true minus; zero has none."""
    text = f"{abs(number):.3f}"
    if float(text) == 0:
        return text
    return f"{MINUS if number < 0 else '+'}{text}"


def beside(entry: Entry | None, *, symbols: bool = False) -> str:
    """What stands beside a value: ``paper 0.944±0.01, −0.012: reproduced; README 0.919``. ``symbols``: for the
    verdict, where there is little room.
    """
    told = ", ".join(part for part in (published(entry), difference(entry)) if part)
    if word := verdict(entry):
        told = f"{told} {SYMBOLS[word]}" if symbols else f"{told}: {word}"
    return "; ".join(part for part in (told, also(entry)) if part)


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
    return (
        f"{pair.label} against {reference}{where}: {interval(pair)}; seeds {per_seed(pair)}; {effect(pair)}"
    )


def effect(pair: Pair) -> str:
    """The effect size of a comparison, ``Cliff's delta +0.78``."""
    return f"Cliff's delta {delta(pair)}"


def delta(pair: Pair) -> str:
    """Cliff's delta with a sign and two digits."""
    return f"{MINUS if pair.delta < 0 else '+'}{abs(pair.delta):.2f}" if pair.delta else "0.00"


def ranking(ranks: Ranks) -> str:
    """The average ranks and what they mean, in two sentences; empty when there is nothing to rank."""
    told = ", ".join(f"{name} {rank(place)}" for name, place in ranks.average)
    first = f"Average rank over {ranks.tasks} tasks (contenders complete on all): {told}. " if told else ""
    if ranks.critical is None:
        return f"{first}No critical difference: {ranks.why_not}." if ranks.why_not else first.strip()
    together = "; ".join(", ".join(group) for group in ranks.groups) or "none"
    return f"{first}Ranks further apart than {ranks.critical:.2f} differ (Nemenyi, 5 %); not told apart: {together}."
