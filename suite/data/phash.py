"""Near-duplicates: slices of one patient, frames of one video, an image that was saved twice with losses.

Exact duplicates are equal bytes (:mod:`suite.data.hashing`). Near ones are found by a perceptual hash: the
lowest 16 x 16 cosine frequencies of the image at 32 x 32 px, each above or below their median. It is computed
in whole numbers throughout, so an image has the same hash on every processor, and a split that keeps
near-duplicates together (``data.group = "phash"``) is the same everywhere.

The usual 64 bits are too few for medical images, which all look alike: on SARS-COV-2 CT (where neighbouring
file numbers are slices of one patient) 256 bits find twice as many neighbours at the same rate of chance
pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIDE, LOW = 32, 16
WORDS = LOW * LOW // 64
NEAR = 40
"""Bits of 255 that may differ. Far more, and chains of chance pairs join a set into one group (SARS-COV-2: at
56 the largest has 507 images, at 40 it has 18)."""
_LEVELS, _SCALE = 16, 2**12
_PIXELS, _PAIRS = 2**22, 2**21
"""Pixels hashed, and pairs compared, at a time."""


def hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The perceptual hash of each image, N x 4 words. ``images``: uint8, N x C x H x W, may be a memory map."""
    found = np.empty((len(images), WORDS), np.uint64)
    step = max(1, _PIXELS // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(images), step):
        found[start : start + step] = _hashes(np.asarray(images[start : start + step]))
    return found


def _hashes(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """All values are whole numbers below 2^53: doubles hold them exactly, in whatever order they are summed."""
    channels, height, width = images.shape[1:]
    gray = images.sum(axis=1, dtype=np.uint32).astype(np.float64)
    small = _overlaps(height) @ gray @ _overlaps(width).T
    small = np.floor(small * _LEVELS / (channels * height * width))
    waves = np.cos(np.pi * np.arange(LOW)[:, None] * (np.arange(SIDE) + 0.5) / SIDE)
    basis = np.rint(_SCALE * waves)
    frequencies = (basis @ small @ basis.T).reshape(len(images), -1)
    # The first is the mean brightness, which says nothing about the picture.
    ordered = np.sort(frequencies[:, 1:], axis=1)
    bits = frequencies > ordered[:, ordered.shape[1] // 2, None]
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(">u8").astype(np.uint64)


def _overlaps(size: int) -> NDArray[np.float64]:
    """SIDE x size: how much of each pixel lies in each of SIDE equal parts, in 1/SIDE of a pixel."""
    begin, end = np.arange(SIDE)[:, None] * size, np.arange(1, SIDE + 1)[:, None] * size
    first, last = np.arange(size) * SIDE, np.arange(1, size + 1) * SIDE
    overlaps = np.maximum(0, np.minimum(end, last) - np.maximum(begin, first))
    return np.asarray(overlaps, np.float64)


def groups(found: NDArray[np.uint64], exact: NDArray[np.int64], distance: int = NEAR) -> NDArray[np.int64]:
    """For each image the number of its group of near-duplicates (N,), closed: no near pair is ever parted.

    ``found``: hashes, N x 4. ``exact``: each image's group of equal images, numbered by content; a near group
    bears the lowest number in it, so that the order of the images has no say. Every pair of different hashes
    is compared, a bounded number at a time.
    """
    if not len(found):
        return np.zeros(0, np.int64)
    unique, inverse = np.unique(found, axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    part = np.arange(len(unique))
    words = np.ascontiguousarray(unique.T)
    step = max(1, _PAIRS // len(unique))
    for start in range(0, len(unique), step):
        one, other = _near(words, slice(start, min(start + step, len(unique))), part, distance)
        if len(one):
            part = _joined(part, part[one], part[other])
    part = part[inverse]
    # Equal images have equal hashes, so each group of them lies within one part.
    lowest = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(lowest, part, exact)
    return lowest[part]


def _near(
    words: NDArray[np.uint64], rows: slice, part: NDArray[np.int64], distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of one of ``rows`` and a later hash that are near and in different parts so far."""

    def differing(numbers: range, one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint16]:
        counts = [np.bitwise_count(one[n] ^ other[n]) for n in numbers]
        return np.asarray(np.sum(counts, axis=0, dtype=np.uint16))

    # Half of the words rule out nearly every pair; the rest are looked at for what remains.
    half = WORDS // 2
    close = differing(range(half), words[:, rows, None], words[:, None, rows.start :]) <= distance
    close &= part[rows, None] != part[None, rows.start :]
    one, other = (found + rows.start for found in np.nonzero(close))
    near = differing(range(WORDS), words[:, one], words[:, other]) <= distance
    return one[near], other[near]


def _joined(part: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The parts after these pairs of parts have become one each."""
    # Imported here: it takes long, and a plan reads packs without ever comparing images.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(part), len(part)))
    return np.asarray(connected_components(graph, directed=False)[1][part], np.int64)
