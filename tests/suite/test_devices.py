"""Devices by the driver's files, by what the environment leaves of them and by name, and how places are dealt."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.devices import alone, chosen, devices, slots
from suite.vocabulary import SpecErrors


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", ("cpu",)), ("-1", ("cpu",)), ("3", ("cuda:0",)), ("0,2", ("cuda:0", "cuda:1"))],
)
def test_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert devices() == expected


def _driver(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def test_the_drivers_files_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices(tmp_path) == ("cpu",)
    _driver(tmp_path, "nvidia0", "nvidia1", "nvidiactl", "nvidia-modeset")
    assert devices(tmp_path) == ("cuda:0", "cuda:1")


def test_devices_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    _driver(tmp_path, "nvidia0", "nvidia1")
    assert chosen((), tmp_path) == ("cuda:0", "cuda:1")
    assert chosen(("cuda", "cpu", "cuda:1", "cuda:0"), tmp_path) == ("cuda:0", "cpu", "cuda:1")
    with pytest.raises(SpecErrors) as caught:
        chosen(("cuda:2", "gpu"), tmp_path)
    there = "no such device; there is cpu, cuda:0, cuda:1"
    assert caught.value.messages == (f"--devices: cuda:2: {there}", f"--devices: gpu: {there}")


def test_a_driver_that_lists_no_devices_is_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert chosen(("cuda:1",), _driver(tmp_path, "kfd")) == ("cuda:1",)
    with pytest.raises(SpecErrors, match="no such device"):
        chosen(("tpu:0",), tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(SpecErrors, match="there is cpu, cuda:0"):
        chosen(("cuda:1",), tmp_path)


TWO = ("cuda:0", "cuda:1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, TWO),
        ({"per_device": 2}, (*TWO, *TWO)),
        ({"jobs": 3}, (*TWO, "cuda:0")),
        ({"jobs": 3, "per_device": 2}, (*TWO, "cuda:0")),
        ({"jobs": 9, "per_device": 2}, (*TWO, *TWO)),
    ],
)
def test_places_on_two_gpus(given: dict[str, int], expected: tuple[str, ...]) -> None:
    assert slots(TWO, **given) == expected


def test_places_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("suite.devices.cores", lambda: 8)
    assert len(slots(("cpu",))) == 8
    assert len(slots(("cpu",), threads=4)) == 2
    assert len(slots(("cpu",), threads=99)) == 1
    assert len(slots(("cpu",), per_device=3)) == 3
    assert slots(("cuda:0", "cpu"), threads=4) == ("cuda:0", "cpu", "cpu")


names = st.lists(st.sampled_from(["cpu", "cuda:0", "cuda:1", "cuda:2"]), min_size=1, unique=True)


@given(names, st.none() | st.integers(1, 9), st.integers(1, 4))
def test_no_device_gets_a_second_run_before_each_has_one(
    names: list[str], jobs: int | None, per_device: int
) -> None:
    dealt = slots(names, jobs, per_device)
    assert len(dealt) == min(jobs or 99, per_device * len(names))
    counts = [dealt.count(name) for name in names]
    assert max(counts) <= per_device
    assert max(counts) - min(counts) <= 1


def test_a_worker_sees_its_own_device_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert alone("cpu") == {}
    assert alone("cuda:1") == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8a, 5")
    assert alone("cuda:0") == {"CUDA_VISIBLE_DEVICES": "GPU-8a"}
    assert alone("cuda:1") == {"CUDA_VISIBLE_DEVICES": "5"}
