"""Whether a value reproduces a published one, by a rule that stood in the spec before anything was computed.

Two questions are kept apart. The *verdict* is about the number: our mean lies within the tolerance of the
published mean (``reproduced``), or beyond it on one side. Whether a difference is *far* is about the noise:
it exceeds two combined spreads, the root of the sum of both squared standard deviations over seeds. With
three seeds neither is a test of significance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suite.spec import Tolerance
    from suite.tables.cells import Entry

REPRODUCED, ABOVE, BELOW, NOT_RUN = "reproduced", "above", "below", "not run"
VERDICTS = (REPRODUCED, ABOVE, BELOW, NOT_RUN)
FAR_SPREADS = 2.0


def reach(rule: Tolerance, published_std: float | None) -> float:
    """The largest difference that counts as reproduced; a spread that was not printed adds nothing."""
    return max(rule.absolute, rule.spreads * (published_std or 0.0))


def judge(difference: float | None, within: float) -> str:
    """The verdict on a difference, ours minus the published mean; None: there is no complete value yet."""
    if difference is None:
        return NOT_RUN
    # Differences of printed numbers: what is equal to the tolerance on paper must not fail by a rounding error.
    if abs(difference) <= within + 1e-9:
        return REPRODUCED
    return ABOVE if difference > 0 else BELOW


def combined(ours: float | None, theirs: float | None) -> float | None:
    """Both standard deviations as one, sqrt(ours^2 + theirs^2); None when either is not known."""
    return None if ours is None or theirs is None else math.hypot(ours, theirs)


def is_far(difference: float | None, spread: float | None) -> bool:
    """Whether a difference exceeds two combined spreads."""
    return difference is not None and spread is not None and abs(difference) > FAR_SPREADS * spread + 1e-9


@dataclass(frozen=True)
class Tally:
    """The verdicts of a table. ``departures``: how its cells differ from the paper's protocol, in words."""

    counts: Mapping[str, int] = field(default_factory=dict)
    rule: str = ""
    departures: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def sentence(self) -> str:
        """``Verdict on 12 published values: 5 reproduced, ...``; empty for a table without published values."""
        if not self.total:
            return ""
        told = ", ".join(f"{self.counts.get(word, 0)} {word}" for word in VERDICTS)
        values = f"{self.total} published value{'s' * (self.total != 1)}"
        warning = f" NOT the paper's protocol: {'; '.join(self.departures)}." if self.departures else ""
        return f"Verdict on {values}: {told} (reproduced: {self.rule}).{warning}"


def tally(entries: Iterable[Entry], rule: Tolerance, departures: Iterable[str] = ()) -> Tally:
    """Count the verdicts of all cells for which something was published."""
    counts = Counter(entry.verdict for entry in entries if entry.verdict is not None)
    return Tally({word: counts[word] for word in VERDICTS}, words(rule), tuple(departures))


def words(rule: Tolerance) -> str:
    """The rule as a reader is told it."""
    return f"within max({rule.absolute:g}, {rule.spreads:g} published standard deviations)"
