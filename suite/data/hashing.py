"""Pixel hashes: the order-free digest of a data set, and the faults that equal images are.

Two images are equal when their packed pixels are, byte by byte.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from suite.data.mapped import Reader
from suite.data.source import SPLITS

HASH_BYTES = 32
BLOCK = 64
"""Images read at once."""


def pixel_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """SHA-256 of each image's shape and pixels: N x 32. Streams, so a memory map of any length may come
    in.
    """
    head = "x".join(map(str, images.shape[1:])).encode()
    blocks = Reader(images).blocks(BLOCK)
    joined = b"".join(hashlib.sha256(head + image.tobytes()).digest() for block in blocks for image in block)
    return np.frombuffer(joined, np.uint8).reshape(len(images), HASH_BYTES)


def groups(hashes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """For each image the number of its group of equal images; groups are numbered in the order of their
    hashes (N,).
    """
    if not len(hashes):
        return np.zeros(0, np.int64)
    _, inverse = np.unique(np.ascontiguousarray(hashes).view(">u8"), axis=0, return_inverse=True)
    return inverse.reshape(-1).astype(np.int64)


def digest(
    images: NDArray[np.uint8], classes: NDArray[np.int64], splits: NDArray[np.str_] | None = None
) -> str:
    """64 hex digits that name the content whatever its order: pixels, class and split of every image."""
    return digest_of(pixel_hashes(images), classes, splits)


def digest_of(
    hashes: NDArray[np.uint8], classes: NDArray[np.int64], splits: NDArray[np.str_] | None = None
) -> str:
    """:func:`digest` from pixel hashes that are already known."""
    names = splits if splits is not None else np.full(len(classes), "")
    lines = sorted(
        f"{bytes(h).hex()} {c} {s}" for h, c, s in zip(hashes, classes.tolist(), names.tolist(), strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True)
class Repeats:
    """Groups of more than one image, by number: ``inside`` each split, ``across`` two, and with ``conflicting``
    classes.
    """

    sizes: dict[str, NDArray[np.int64]]
    inside: dict[str, NDArray[np.int64]]
    across: dict[tuple[str, str], NDArray[np.int64]]
    conflicting: NDArray[np.int64]

    def extra(self, split: str) -> int:
        """How many images of a split repeat another one there."""
        return int(np.maximum(self.sizes[split] - 1, 0).sum())


def repeats(group: NDArray[np.int64], classes: NDArray[np.int64], splits: NDArray[np.str_]) -> Repeats:
    """Where images of one group stand. ``group``: (N,) the number of each image's group of equal (or nearly
    equal) images.
    """
    count = int(group.max(initial=-1)) + 1
    sizes = {s: np.bincount(group[splits == s], minlength=count) for s in SPLITS}
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(low, group, classes)
    np.maximum.at(high, group, classes)
    return Repeats(
        sizes,
        {s: np.flatnonzero(n > 1) for s, n in sizes.items()},
        {(a, b): np.flatnonzero((sizes[a] > 0) & (sizes[b] > 0)) for a, b in combinations(SPLITS, 2)},
        np.flatnonzero(high > low),
    )


def faults(
    hashes: NDArray[np.uint8],
    classes: NDArray[np.int64],
    splits: NDArray[np.str_],
    ids: NDArray[np.str_],
    shown: int = 4,
) -> tuple[str, ...]:
    """One line for each kind of fault that equal images are: inside a split, across splits, with
    conflicting classes.
    """
    group = groups(hashes)
    there = repeats(group, classes, splits)
    found = []
    for name, at in there.inside.items():
        if more := there.extra(name):
            examples = _examples(at, group, ids, (splits == name), shown)
            found.append(f"{more} image(s) of {name} repeat another one there: {examples}")
    for (one, other), at in there.across.items():
        if len(at):
            examples = _examples(at, group, ids, np.isin(splits, (one, other)), shown)
            found.append(f"{len(at)} image(s) stand in both {one} and {other}: {examples}")
    if len(there.conflicting):
        labelled = np.char.add(np.char.add(ids, " = class "), classes.astype(str))
        examples = _examples(there.conflicting, group, labelled, np.ones(len(ids), bool), shown)
        found.append(f"{len(there.conflicting)} image(s) have conflicting labels: {examples}")
    return tuple(found)


def _examples(
    wanted: NDArray[np.int64],
    group: NDArray[np.int64],
    ids: NDArray[np.str_],
    within: NDArray[np.bool_],
    shown: int,
) -> str:
    parts = [" and ".join(sorted(ids[(group == g) & within].tolist())) for g in wanted[:shown]]
    return "; ".join(parts) + ("; ..." if len(wanted) > shown else "")
