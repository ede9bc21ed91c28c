"""Images in a plain file, written and read piece by piece: a set larger than the memory is packed in little of
it.

A memory map would do the same for the data but not for the process: its pages count as the process's own until
the system takes them back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BLOCK = 8 * 2**20


class ImageFile:
    """uint8 images, N x C x H x W, in a file of nothing else. It is indexed, iterated and measured as an array
    is.

    ``rows``: the images of the file that belong to it, in their order (default: all). ``channels``: how many of
    the stored channels are read, from the first.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        path: Path,
        stored: tuple[int, int, int, int],
        *,
        rows: NDArray[np.int64] | None = None,
        channels: int | None = None,
    ) -> None:
        self.path, self.stored = path, stored
        self._rows = np.arange(stored[0]) if rows is None else rows
        self._each = int(np.prod(stored[1:]))
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self.shape = (len(self._rows), channels or stored[1], *stored[2:])

    def __del__(self) -> None:
        if (handle := getattr(self, "_handle", None)) is not None:
            os.close(handle)

    def view(self, rows: NDArray[np.int64], channels: int | None = None) -> ImageFile:
        """Some of the images, with fewer of their channels if asked for."""
        return ImageFile(self.path, self.stored, rows=self._rows[rows], channels=channels or self.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, row: int, image: NDArray[np.uint8]) -> None:
        """Store the image (C x H x W) at a row of the file; safe from several threads."""
        os.pwrite(self._handle, np.ascontiguousarray(image).tobytes(), row * self._each)

    def sync(self) -> None:
        """Bring what was written to the disk."""
        os.fsync(self._handle)

    def __getitem__(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        chosen = self._rows[index]
        wanted = int(np.prod(self.shape[1:]))
        taken = np.zeros((len(chosen), *self.shape[1:]), np.uint8)
        for image, row in zip(taken, chosen.tolist(), strict=True):
            pixels = os.pread(self._handle, wanted, row * self._each)
            image[...] = np.frombuffer(pixels, np.uint8).reshape(image.shape)
        return taken

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        step = max(1, _BLOCK // self._each)
        for start in range(0, len(self), step):
            yield from self[start : start + step]

    def mapped(self) -> NDArray[np.uint8]:
        """All images as one memory map, for those who need an array; ValueError for a view of some rows."""
        if len(self) != self.stored[0]:
            raise ValueError("only a whole file can be mapped")
        whole = np.memmap(self.path, np.uint8, "r", shape=self.stored)
        return whole[:, : self.shape[1]]
