"""How far long work on data has come, told to whoever wants to show it; nobody has to.

The functions of data sets have signatures that other packages implement, so the listener is not handed through
them: it is set around the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is (0: not known)."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def told_to(listener: Listener) -> Iterator[None]:
    """Tell ``listener`` of all that is reported within."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(what: str, done: int, total: int) -> None:
    """Say how far it has come; costs nothing when nobody listens."""
    if (listener := _listener.get()) is not None:
        listener(what, done, total)
