"""Where files at hand are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.data.source import default_data_root


def test_the_variable_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SUITE_DATA", str(tmp_path))
    assert default_data_root() == tmp_path


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SUITE_DATA", "~/images")
    assert default_data_root() == tmp_path / "images"


@pytest.mark.parametrize("empty", [None, ""])
def test_without_it_the_cache_of_the_user_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, empty: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if empty is not None:
        monkeypatch.setenv("SUITE_DATA", empty)
    assert default_data_root() == tmp_path / ".cache" / "dissolving-suite" / "data"
