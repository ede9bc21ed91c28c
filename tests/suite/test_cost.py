"""Seconds, memory and parameters are those that were spent."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from suite.cost import Meter, count, count_parameters, peaks, plain_environment, reset_peak_memory


def test_a_sleep_takes_time_but_no_processor() -> None:
    meter = Meter()
    time.sleep(0.2)
    assert 0.2 <= meter.seconds < 5
    assert meter.cpu_seconds < 0.15


def test_work_takes_processor_time() -> None:
    meter = Meter()
    start = time.process_time()
    while time.process_time() - start < 0.1:
        sum(range(1000))
    assert 0.1 <= meter.cpu_seconds < 0.5


def test_a_run_that_goes_on_counts_what_it_spent_before() -> None:
    meter = Meter(wall=100.0, cpu=50.0)
    assert 100 <= meter.seconds < 105
    assert 50 <= meter.cpu_seconds < 55


def test_the_peak_remembers_what_was_let_go() -> None:
    """In a process of its own: the peak of this one may be high already, and cannot be reset everywhere."""
    code = (
        "from suite.cost import peak_memory_mb, reset_peak_memory; reset_peak_memory(); before = peak_memory_mb();"
        f"block = bytearray(b'x') * {64 * 2**20}; del block; print(peak_memory_mb() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 60 <= float(done.stdout) <= 140


class Holder:
    """Holds a network, another, and the first once more."""

    def __init__(self) -> None:
        self.network = torch.nn.Linear(3, 4)
        self.head = torch.nn.Linear(4, 1, bias=False)
        self.alias = self.network
        self.bank = np.zeros((100, 100))


class Teller:
    """Knows its own number."""

    def __init__(self) -> None:
        self.network = torch.nn.Linear(3, 4)

    def parameters(self) -> int:
        return 7


def test_parameters_are_counted_once() -> None:
    assert count_parameters(Holder()) == 3 * 4 + 4 + 4
    assert count_parameters(Holder().network) == 3 * 4 + 4
    assert count_parameters(Teller()) == 7
    assert count_parameters(object()) == 0


def test_macs_are_counted_by_hand() -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.Flatten(), torch.nn.Linear(8 * 16, 10)
    )
    assert count(network, (3, 8, 8)) == ((3 * 8 * 9 + 8) + (128 * 10 + 10), 16 * 8 * 3 * 9 + 128 * 10)


def test_a_measuring_process_has_a_plain_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "0")
    found = plain_environment()
    assert "MALLOC_MMAP_MAX_" not in found
    assert found["PATH"]


def test_on_a_cuda_device_the_peak_of_its_tensors_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**20)
    reset_peak_memory("cuda:1")
    assert asked == ["cuda:1"]
    assert peaks("cuda:1")["peak_device_memory_mb"] == 3.0
    assert set(peaks("cpu")) == {"peak_memory_mb"}
