"""Which CUDA devices there are, asked of the driver's files and the environment, not of torch (which takes
seconds to import). One answer for what runs where and for what profile ``auto`` means.
"""

from __future__ import annotations

import os
from pathlib import Path

CPU = "cpu"


def devices(folder: Path = Path("/dev")) -> tuple[str, ...]:
    """``cuda:0``, ``cuda:1``, ... as this process may use them (CUDA_VISIBLE_DEVICES counts), else ``cpu``."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = len([part for part in visible.split(",") if part.strip() and part.strip() != "-1"])
    else:
        count = len([path for path in folder.glob("nvidia[0-9]*") if path.name[6:].isdigit()])
    return tuple(f"cuda:{number}" for number in range(count)) or (CPU,)


def device_name(device: str) -> str:
    """``cpu``, or a CUDA device's model: cells that mix them are marked, the number of the slot does not
    matter.
    """
    if not device.startswith("cuda"):
        return device
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})"
