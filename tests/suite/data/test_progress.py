"""Progress is heard by whoever listens, and only then."""

from __future__ import annotations

from suite.data import progress


def test_it_is_told_to_the_innermost_listener_and_to_nobody_outside() -> None:
    outer: list[tuple[str, int, int]] = []
    inner: list[tuple[str, int, int]] = []
    progress.report("unheard", 0, 1)
    with progress.told_to(lambda *told: outer.append(told)):
        progress.report("a", 1, 3)
        with progress.told_to(lambda *told: inner.append(told)):
            progress.report("b", 2, 3)
        progress.report("c", 3, 3)
    progress.report("unheard", 1, 1)
    assert (outer, inner) == ([("a", 1, 3), ("c", 3, 3)], [("b", 2, 3)])
