"""What the machine can do at this moment: matrix products and copies of memory, by one thread."""

from __future__ import annotations

import time

import torch

CUBE = 1024
COPIED = 2**28
"""Bytes of a copy: more than a processor's caches hold."""
SAMPLES = 10


class Machine:
    """Times float32 products and copies between the works that they are compared with: a slow day slows both."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.a, self.b = (torch.randn(CUBE, CUBE, generator=generator) for _ in range(2))
        self.source, self.target = (torch.ones(COPIED // 4) for _ in range(2))
        self.sample(2)

    def sample(self, count: int) -> list[tuple[float, float]]:
        """So many pairs of a product's GFLOP/s and a copy's GB/s (read and written)."""
        return [(self._product(), self._copy()) for _ in range(count)]

    def _product(self) -> float:
        start = time.process_time()
        torch.mm(self.a, self.b)
        return 2 * CUBE**3 / (time.process_time() - start) / 1e9

    def _copy(self) -> float:
        start = time.process_time()
        self.target.copy_(self.source)
        return 2 * COPIED / (time.process_time() - start) / 1e9


def shares(gaps: int) -> list[int]:
    """How many of the samples fall into each gap between repeats."""
    return [SAMPLES * (gap + 1) // gaps - SAMPLES * gap // gaps for gap in range(gaps)]
