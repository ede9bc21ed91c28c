"""A bench on which the engine carries out runs of a fake method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import engine
import pytest


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[engine.Bench]:
    """A folder with a small spec and an empty store."""
    with engine.registered(monkeypatch):
        made = engine.Bench(tmp_path)
        monkeypatch.setenv("FAKE_LOG", str(made.log))
        yield made
