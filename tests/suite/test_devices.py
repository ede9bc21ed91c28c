"""Devices by the driver's files, and by what the environment leaves of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite.devices import devices


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", ("cpu",)), ("-1", ("cpu",)), ("3", ("cuda:0",)), ("0,2", ("cuda:0", "cuda:1"))],
)
def test_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices() == expected


def test_the_drivers_files_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(tmp_path) == ("cpu",)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-modeset"):
        (tmp_path / name).touch()
    assert devices(tmp_path) == ("cuda:0", "cuda:1")
