"""Which CUDA devices there are, asked of the driver's files and the environment, not of torch (which takes
seconds to import), and what runs on which. One answer for what runs where and for what profile ``auto`` means.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from suite.vocabulary import SpecErrors

CPU = "cpu"
_UNLISTED = ("dxg", "kfd")
"""Files of drivers (Windows' subsystem, AMD's) that do not tell how many devices there are."""


def devices(folder: Path = Path("/dev")) -> tuple[str, ...]:
    """``cuda:0``, ``cuda:1``, ... as this process may use them (CUDA_VISIBLE_DEVICES counts), else ``cpu``."""
    visible = _visible()
    if visible is not None:
        count = len(visible)
    else:
        count = len([path for path in folder.glob("nvidia[0-9]*") if path.name[6:].isdigit()])
    return tuple(f"cuda:{number}" for number in range(count)) or (CPU,)


def chosen(names: Sequence[str], folder: Path = Path("/dev")) -> tuple[str, ...]:
    """The devices that are asked for by these names (``cuda`` is ``cuda:0``), or all that are found.

    SpecErrors for a name that is none, or of a device that is not there.
    """
    found = devices(folder)
    wanted = tuple(dict.fromkeys("cuda:0" if name == "cuda" else name for name in names))
    listed = _visible() is not None or not any((folder / name).exists() for name in _UNLISTED)
    faults = [
        f"--devices: {name}: no such device; there is {', '.join(dict.fromkeys((CPU, *found)))}"
        for name in wanted
        if not re.fullmatch(r"cpu|cuda:\d+", name) or (listed and name not in (CPU, *found))
    ]
    if faults:
        raise SpecErrors(faults)
    return wanted or found


def slots(
    names: Sequence[str], jobs: int | None = None, per_device: int | None = None, threads: int = 1
) -> tuple[str, ...]:
    """The device of each place in which a run can be at a time; devices are dealt in turn.

    ``per_device`` places each; without it one on a CUDA device, and as many on the processor as it has cores
    for ``threads`` each. ``jobs``: so many in all, at most ``per_device`` each.
    """
    if jobs and per_device is None:
        return tuple(names[number % len(names)] for number in range(jobs))
    share = {name: per_device or (max(1, cores() // threads) if name == CPU else 1) for name in names}
    rounds = range(max(share.values()))
    return tuple(name for number in rounds for name in share if number < share[name])[:jobs]


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def alone(device: str) -> Mapping[str, str]:
    """The environment in which a process sees this CUDA device only, as ``cuda:0``; empty for the processor."""
    if device == CPU:
        return {}
    number, visible = int(device.partition(":")[2]), _visible()
    return {"CUDA_VISIBLE_DEVICES": visible[number] if visible is not None else str(number)}


def _visible() -> list[str] | None:
    """What the environment leaves of the devices; None when it says nothing."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if told is None else [one.strip() for one in told.split(",") if one.strip() not in ("", "-1")]


def device_name(device: str) -> str:
    """``cpu``, or a CUDA device's model: cells that mix them are marked, the number of the slot does not
    matter.
    """
    if not device.startswith("cuda"):
        return device
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})"
