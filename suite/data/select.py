"""Which images of a pack a run trains on and is scored on: the split rules, contamination and their seeds.

Everything follows from the pack, the data part of the run's key, and the run's seed. The split, a cut
validation set and ``max_train`` hang on the split seed, which all runs share; only the contamination (Table
10) is drawn by the run's seed.

``split = "clean"`` leaves out exact duplicates. Of a group of equal images one stays, in the test set if one
stands there, else in validation, else in training: the sets that are scored keep their published images and
the training set loses a few. A group whose images are called normal and anomalous is left out altogether.

Contamination is drawn from the anomalies of the training split. A set that has none there (normals split 7:3,
all anomalies in the test set) gives some of its test anomalies away, and they and their equals leave the test
set. A validation set is *cut* when the set has none: a tenth of the training normals and a tenth of those
same anomalies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from suite.data.errors import DataFault
from suite.data.identity import SPLIT_SEED
from suite.data.pack import Pack
from suite.data.split import deal
from suite.detector import derive_seed

VALIDATION_SHARE = 0.1

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """Images of a pack: ``indices`` rise; ``labels`` are 1 for anomalous."""

    indices: Indices
    labels: NDArray[np.uint8]
    ids: NDArray[np.str_]


def training(pack: Pack, identity: Mapping[str, Any], seed: int) -> Selection:
    """The training set: normal images and, if asked for, the contamination. DataFault when there are too
    few.
    """
    parts = _parts(pack, identity)
    normals = _capped(parts.train_normal, identity)
    if not len(normals):
        raise DataFault(f"{pack.name} has no normal training image (normal class {_classes(identity)})")
    return _selection(pack, parts, np.concatenate([normals, _contamination(pack, parts, identity, seed)]))


def evaluation(
    pack: Pack, identity: Mapping[str, Any], split: Literal["test", "val"], seed: int
) -> Selection:
    """The images that are scored. No image of the training selection of the same seed is among them."""
    parts = _parts(pack, identity)
    if split == "val":
        if not len(parts.val):
            raise DataFault(
                f"{pack.name} has no validation split, and the run's key does not ask for one to be cut"
            )
        return _both(pack, _selection(pack, parts, parts.val), split)
    chosen = parts.test
    if parts.spare_in_test:
        drawn = _contamination(pack, parts, identity, seed)
        chosen = chosen[~np.isin(pack.groups[chosen], pack.groups[drawn])]
    return _both(pack, _selection(pack, parts, chosen), split)


def diffusion_training(
    pack: Pack,
    identity: Mapping[str, Any],
    which: Literal["normal", "train", "all"],
    ratio: float,
    seed: int,
) -> Indices:
    """The images that a diffusion model trains on (FACTS: Table 3). Never the contamination.

    ``normal``: the normal training images; ``train``: with the training split's anomalies; ``all``: every
    image of the set, test images too. ``ratio``: a share drawn by ``seed``; a larger share holds the smaller.
    """
    parts = _parts(pack, identity)
    if which == "all":
        pool = np.flatnonzero(parts.kept)
    elif which == "train":
        spare = np.zeros(0, np.int64) if parts.spare_in_test else parts.spare
        pool = _capped(np.concatenate([parts.train_normal, spare]), identity, share=1.0)
    else:
        pool = _capped(parts.train_normal, identity, share=1.0)
    if not len(pool):
        raise DataFault(f"{pack.name} has no image to train a diffusion model on (data = {which})")
    count = max(1, int(ratio * len(pool) + 1e-9))
    order = np.random.default_rng(derive_seed(seed, "diffusion", which)).permutation(np.sort(pool))
    return np.sort(order[:count])


def contamination_count(normals: int, ratio: float) -> int:
    """How many anomalies make up ``ratio`` of a training set beside ``normals`` normal images, rounded
    down.
    """
    return int(ratio * normals / (1 - ratio) + 1e-9)


@dataclass(frozen=True)
class _Parts:
    """The images of a pack by what they are for; ``spare`` are the anomalies that contamination is drawn
    from.
    """

    kept: NDArray[np.bool_]
    anomalous: NDArray[np.bool_]
    train_normal: Indices
    spare: Indices
    spare_in_test: bool
    val: Indices
    test: Indices


def _parts(pack: Pack, identity: Mapping[str, Any]) -> _Parts:
    anomalous = ~np.isin(pack.classes, identity["normal_class"])
    kept = _clean(pack, anomalous) if identity["split"] == "clean" else np.ones(len(anomalous), bool)
    within = {split: kept & (pack.splits == split) for split in ("train", "val", "test")}
    train_normal = np.flatnonzero(within["train"] & ~anomalous)
    spare = np.flatnonzero(within["train"] & anomalous)
    spare_in_test = not len(spare)
    if spare_in_test:
        spare = np.flatnonzero(within["test"] & anomalous)
    val, test = np.flatnonzero(within["val"]), np.flatnonzero(within["test"])
    # A folder may bring a validation split that its facts could not announce: then nothing is cut.
    if identity.get("validation") == "cut" and not len(val):
        seed = identity.get("split_seed", SPLIT_SEED)
        cut_normal = deal(pack.groups[train_normal], VALIDATION_SHARE, seed, "validation", "normal")
        cut_spare = deal(pack.groups[spare], VALIDATION_SHARE, seed, "validation", "anomalous")
        val = np.sort(np.concatenate([train_normal[cut_normal], spare[cut_spare]]))
        test = np.setdiff1d(test, val)
        train_normal, spare = train_normal[~cut_normal], spare[~cut_spare]
    return _Parts(kept, anomalous, train_normal, spare, spare_in_test, val, test)


def _clean(pack: Pack, anomalous: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True for the images that stay when exact duplicates and conflicting labels go."""
    groups = pack.groups
    rank = np.select([pack.splits == "test", pack.splits == "val"], [0, 1], 2)
    order = np.lexsort((rank, groups))
    first = np.ones(len(order), bool)
    first[1:] = groups[order][1:] != groups[order][:-1]
    kept = np.zeros(len(order), bool)
    kept[order[first]] = True
    size = int(groups.max(initial=-1)) + 1
    mixed = np.bincount(groups[anomalous], minlength=size) * np.bincount(groups[~anomalous], minlength=size)
    return np.asarray(kept & (mixed[groups] == 0))


def _capped(pool: Indices, identity: Mapping[str, Any], share: float | None = None) -> Indices:
    """At most ``max_train`` images, drawn by the split seed, with room for the contamination."""
    limit = identity.get("max_train")
    if limit is None:
        return pool
    room = 1 - float(identity.get("contamination", 0.0)) if share is None else share
    count = max(1, int(limit * room + 1e-9))
    order = np.random.default_rng(derive_seed(identity.get("split_seed", SPLIT_SEED), "max_train"))
    return np.sort(order.permutation(np.sort(pool))[:count])


def _contamination(pack: Pack, parts: _Parts, identity: Mapping[str, Any], seed: int) -> Indices:
    ratio = float(identity.get("contamination", 0.0))
    normals = len(_capped(parts.train_normal, identity))
    count = contamination_count(normals, ratio)
    if count > len(parts.spare) or (count and count == len(parts.spare) and parts.spare_in_test):
        where = "test" if parts.spare_in_test else "training"
        raise DataFault(
            f"{pack.name}: a contamination of {ratio:g} beside {normals} normal images needs {count} anomalies, "
            f"and the {where} split has {len(parts.spare)}: lower data.contamination"
        )
    order = np.random.default_rng(derive_seed(seed, "contamination")).permutation(parts.spare)
    return np.sort(order[:count])


def _selection(pack: Pack, parts: _Parts, indices: Indices) -> Selection:
    chosen = np.sort(indices)
    return Selection(chosen, parts.anomalous[chosen].astype(np.uint8), pack.ids[chosen])


def _both(pack: Pack, selection: Selection, split: str) -> Selection:
    anomalous = int(selection.labels.sum())
    if not 0 < anomalous < len(selection.labels):
        raise DataFault(
            f"{pack.name}: the {split} set has {len(selection.labels) - anomalous} normal and {anomalous} anomalous "
            "images; scoring needs both"
        )
    return selection


def _classes(identity: Mapping[str, Any]) -> str:
    return ", ".join(map(str, identity["normal_class"]))
