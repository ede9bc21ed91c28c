"""The split of a set that comes without one (supplement A.2): 7:3, from the images themselves and the split
seed.

Equal images go to one side, and neither the order nor the names of the files have a say: the groups of equal
images are put in the order of their hashes, shuffled by the seed, and dealt out until the training side is
full.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from suite.detector import derive_seed

TRAIN_SHARE = 0.7


def deal(groups: NDArray[np.int64], share: float, seed: int, *names: object) -> NDArray[np.bool_]:
    """True for about ``share`` of the images (never more, unless that were none): whole groups, drawn by the
    seed.

    ``groups``: (N,) group of each image, numbered in an order that does not depend on the source. Another
    grouping (near-duplicates, slices of one patient) may be handed in just so.
    """
    unique, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if not len(unique):
        return np.zeros(0, bool)
    order = np.random.default_rng(derive_seed(seed, *names)).permutation(len(unique))
    filled = np.cumsum(sizes[order]) <= max(1.0, share * len(groups) + 1e-9)
    filled[0] = True
    taken = np.zeros(len(unique), bool)
    taken[order[filled]] = True
    return taken[inverse.reshape(-1)]


def fill(
    splits: NDArray[np.str_],
    classes: NDArray[np.int64],
    groups: NDArray[np.int64],
    normal: tuple[int, ...],
    rule: Literal["normals", "classes"],
    seed: int,
) -> NDArray[np.str_]:
    """The splits with every empty entry decided: ``normals`` deals the normal images 7:3 and tests on all
    others, ``classes`` deals every class 7:3.
    """
    filled = splits.astype("<U5")
    empty = filled == ""
    normals = np.isin(classes, normal)
    dealt = [normals] if rule == "normals" else [classes == c for c in np.unique(classes)]
    filled[empty & ~normals] = "test"
    for number, members in enumerate(dealt):
        at = np.flatnonzero(empty & members)
        train = deal(groups[at], TRAIN_SHARE, seed, "split", number)
        filled[at] = np.where(train, "train", "test")
    # Equal images of two classes were dealt apart: the test side has them.
    in_test = np.zeros(int(groups.max(initial=-1)) + 1, bool)
    in_test[groups[empty & (filled == "test")]] = True
    filled[empty & in_test[groups]] = "test"
    return filled
