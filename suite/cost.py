"""What a run costs: wall and processor seconds, peak memory, parameters, multiply-accumulates."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass
class Meter:
    """Measures from its creation on; ``wall`` and ``cpu`` are seconds spent before (by a run that goes on)."""

    wall: float = 0.0
    cpu: float = 0.0
    _wall_start: float = field(default_factory=time.monotonic, init=False)
    _cpu_start: float = field(default_factory=time.process_time, init=False)

    @property
    def seconds(self) -> float:
        """Wall seconds so far."""
        return self.wall + time.monotonic() - self._wall_start

    @property
    def cpu_seconds(self) -> float:
        """Seconds of all processor threads of this process so far."""
        return self.cpu + time.process_time() - self._cpu_start


def reset_peak_memory(device: str = "cpu") -> None:
    """Start the measurement of this process's peak memory anew, where the system can (Linux), and of a CUDA
    device's.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peaks(device: str = "cpu") -> dict[str, float]:
    """Peaks since the last reset in MiB: ``peak_memory_mb`` of the process and, on a CUDA device,
    ``peak_device_memory_mb`` of its tensors.
    """
    found = {"peak_memory_mb": peak_memory_mb()}
    if device.startswith("cuda"):
        import torch

        found["peak_device_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return found


def peak_memory_mb() -> float:
    """The peak resident memory of this process in MiB, since the last reset where that works."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)


def count_parameters(detector: Any) -> int:
    """What a detector's ``parameters()`` says, if it returns a number; else the parameters of the networks it
    holds.
    """
    import torch

    own = getattr(detector, "parameters", None)
    if callable(own) and isinstance(told := own(), int):
        return told
    holders: Iterable[Any] = (
        [detector, *vars(detector).values()] if hasattr(detector, "__dict__") else [detector]
    )
    networks = {id(one): one for one in holders if isinstance(one, torch.nn.Module)}
    parameters = {id(p): p.numel() for network in networks.values() for p in network.parameters()}
    return sum(parameters.values())


def count(network: torch.nn.Module, shape: tuple[int, ...], *, steps: bool = False) -> tuple[int, int]:
    """Parameters of a network, and the multiply-accumulates of one input of this shape (C x H x W) through
    it; ``steps``: it also takes a step t. Nothing is computed, and the network is of no use afterwards.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network.to("meta").eval()
    inputs = [torch.empty(1, *shape, device="meta")]
    inputs += [torch.zeros(1, dtype=torch.long, device="meta")] * steps
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(*inputs)
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2


def plain_environment() -> dict[str, str]:
    """The environment for a measuring process: it finds what this one finds, and its allocator gives memory
    back (a worker's is told to keep it).
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return {**plain, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
