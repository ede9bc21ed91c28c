"""Pixel hashes: the order-free digest of a data set, and the faults that equal images are.

Two images are equal when their packed pixels are, byte by byte.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 32


def pixel_hashes(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """SHA-256 of each image's shape and pixels: N x 32. Streams, so a memory map of any length may come
    in.
    """
    head = "x".join(map(str, images.shape[1:])).encode()
    joined = b"".join(hashlib.sha256(head + image.tobytes()).digest() for image in images)
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
    count = int(group.max(initial=-1)) + 1
    found = []
    per_split = {s: np.bincount(group[splits == s], minlength=count) for s in ("train", "val", "test")}
    for name, sizes in per_split.items():
        if more := int(np.maximum(sizes - 1, 0).sum()):
            examples = _examples(np.flatnonzero(sizes > 1), group, ids, (splits == name), shown)
            found.append(f"{more} image(s) of {name} repeat another one there: {examples}")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        both = np.flatnonzero((per_split[one] > 0) & (per_split[other] > 0))
        if len(both):
            examples = _examples(both, group, ids, np.isin(splits, (one, other)), shown)
            found.append(f"{len(both)} image(s) stand in both {one} and {other}: {examples}")
    low = np.full(count, np.iinfo(np.int64).max)
    high = np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(low, group, classes)
    np.maximum.at(high, group, classes)
    conflicting = np.flatnonzero(low != high)
    if len(conflicting):
        labelled = np.char.add(np.char.add(ids, " = class "), classes.astype(str))
        examples = _examples(conflicting, group, labelled, np.ones(len(ids), bool), shown)
        found.append(f"{len(conflicting)} image(s) have conflicting labels: {examples}")
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
