"""By when a command is to be over (``--max-time``), so that a job of a batch system ends itself, with all its
runs at a checkpoint, before the system ends it.

Times are those of :func:`time.monotonic`: a clock that is set meanwhile moves nothing.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from suite.vocabulary import SpecErrors

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_TIME = re.compile(r"(?=.*\d)" + "".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in _UNITS))
_SHARE = 0.1
"""Share of the time that is left for checkpoints and an orderly end..."""
_MARGIN = 120.0
"""...but at most so many seconds."""


def parse(text: str) -> float:
    """Seconds that ``3h``, ``90m``, ``45s``, ``1h30m`` or ``5400`` mean. SpecErrors when it is none of these,
    or no time at all.
    """
    bare = text.strip().lower()
    if re.fullmatch(r"\d+(?:\.\d+)?", bare):
        bare += "s"
    match = _TIME.fullmatch(bare)
    seconds = sum(_UNITS[unit] * float(count) for unit, count in match.groupdict("0").items()) if match else 0
    if not 0 < seconds < float("inf"):
        raise SpecErrors([f"--max-time: {text}: write a time such as 3h, 90m, 1h30m, or seconds"])
    return seconds


@dataclass(frozen=True)
class Deadline:
    """``seconds`` from ``began`` on."""

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @property
    def margin(self) -> float:
        """Seconds between being asked to stop and the end."""
        return min(_MARGIN, _SHARE * self.seconds)

    @property
    def near(self) -> bool:
        """Nothing more is begun, and what runs is asked for a checkpoint."""
        return time.monotonic() >= self.began + self.seconds - self.margin

    @property
    def here(self) -> bool:
        """What has not stopped by now is ended, a little before the end itself."""
        return time.monotonic() >= self.began + self.seconds - self.margin / 4
