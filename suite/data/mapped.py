"""Images behind a memory map, read without keeping them: what a process has touched of a mapped file counts as
its memory, however large the file, until the pages are let go.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD = 2**24
"""Bytes that are read before the pages are let go."""


class Reader:
    """An array, of which parts are copied out. ``held``: bytes that may be read before the pages are let go."""

    def __init__(self, images: NDArray[Any], held: int = HELD) -> None:
        self.images, self.held = images, held
        self.read = 0

    def __getitem__(self, chosen: Any) -> NDArray[Any]:
        """A contiguous copy of ``images[chosen]``: indices or a slice."""
        found = self.images[chosen]
        # Indices copy by themselves, a slice of an array does not. (Of what is none, numpy would make an array to see.)
        shared = isinstance(self.images, np.ndarray) and np.may_share_memory(found, self.images)
        taken: NDArray[Any] = np.array(found, order="C", subok=False, copy=True if shared else None)
        self.read += taken.nbytes
        if self.read >= self.held:
            let_go(self.images)
            self.read = 0
        return taken

    def blocks(self, length: int) -> Iterator[NDArray[Any]]:
        """Everything in its order, ``length`` images at a time."""
        for start in range(0, len(self.images), length):
            yield self[start : start + length]


def let_go(images: NDArray[Any]) -> None:
    """Hand the pages of the mapped file behind an array back to the system, which reads them again when they are
    touched. Nothing for an array in memory, nor for a map whose changes are its own.
    """
    base: Any = images
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode == "c":
            return
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
