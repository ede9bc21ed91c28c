"""The split of a set that comes without one (supplement A.2): 7:3, from the images themselves and the split
seed.

Equal images go to one side, and neither the order nor the names of the files have a say: the groups of equal
images (or of near-duplicates: slices of one patient) are put in the order of their hashes, shuffled by the
seed, and dealt out until the training side is full.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from suite.detector import derive_seed

TRAIN_SHARE = 0.7
Rule = Literal["normals", "classes"]


def deal(groups: NDArray[np.int64], share: float, seed: int, *names: object) -> NDArray[np.bool_]:
    """True for about ``share`` of the images (never more, unless that were none): whole groups, drawn by the
    seed.

    ``groups``: (N,) group of each image, numbered in an order that does not depend on the source. A group
    that no longer fits is left out, and the next ones are tried; if none fits, one of the smallest is taken.
    """
    unique, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if not len(unique):
        return np.zeros(0, bool)
    order = np.random.default_rng(derive_seed(seed, *names)).permutation(len(unique))
    room = int(share * len(groups) + 1e-9)
    taken = np.zeros(len(unique), bool)
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= room:
            taken[group] = True
            room -= size
    if not taken.any():
        taken[order[np.argmin(sizes[order])]] = True
    return taken[inverse.reshape(-1)]


def fill(
    splits: NDArray[np.str_],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    normal: tuple[int, ...],
    rule: Rule,
    seed: int,
) -> NDArray[np.str_]:
    """The splits with every empty entry decided: ``normals`` deals the normal images 7:3 and tests on all
    others, ``classes`` deals every class 7:3. No group is parted: one that has an image whose split is given
    follows it (the test split before the validation split before training), and one with images on both sides
    of the deal, because they are of different classes, is tested on.
    """
    filled = splits.astype("<U5")
    given, count = filled.copy(), int(groups.max(initial=-1)) + 1
    for name in ("train", "val", "test"):
        filled[(given == "") & _having(groups, given == name, count)] = name
    empty = filled == ""
    normals = np.isin(classes, normal)
    dealt = [normals] if rule == "normals" else [classes == c for c in np.unique(classes)]
    filled[empty & ~normals] = "test"
    for number, members in enumerate(dealt):
        at = np.flatnonzero(empty & members)
        train = deal(groups[at], TRAIN_SHARE, seed, "split", number)
        filled[at] = np.where(train, "train", "test")
    filled[empty & _having(groups, empty & (filled == "test"), count)] = "test"
    return filled


def _having(groups: NDArray[np.int64], wanted: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
    """True for the images whose group has a wanted one (N,)."""
    there = np.zeros(count, bool)
    there[groups[wanted]] = True
    return there[groups]
