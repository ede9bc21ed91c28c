"""Which images of a pack a run trains on and is scored on: the split rules, contamination and their seeds.

Everything follows from the pack, the data part of the run's key, and the run's seed. The split, a cut
validation set and ``max_train`` hang on the split seed, which all runs share; only the contamination (Table
10) is drawn by the run's seed.

``split = "clean"`` leaves out exact duplicates. Of a group of equal images one stays, in the test set if one
stands there, else in validation, else in training: the sets that are scored keep their published images and
the training set loses a few. A group whose images are called normal and anomalous is left out altogether.

``group = "phash"`` makes near-duplicates what equal images are otherwise: a split of our own parts none of
them, and with ``clean`` the training set has none of a scored image, nor validation one of a test image. (Of
near-duplicates inside one set all stay: they are different images.)

Contamination is drawn from the anomalies of the training split. A set that has none there (normals split 7:3,
all anomalies in the test set) gives some of its test anomalies away, and they and their equals leave the test
set. A validation set is *cut* when the set has none: a tenth of the training normals and a tenth of those
same anomalies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from suite.data.errors import DataFault
from suite.data.identity import SPLIT_SEED, at_most, contamination_count, too_contaminated
from suite.data.pack import Pack
from suite.data.split import deal, fill
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
    return _selection(pack, parts, np.concatenate([normals, _contamination(parts, identity, seed)]))


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
        drawn = _contamination(parts, identity, seed)
        chosen = chosen[~np.isin(parts.groups[chosen], parts.groups[drawn])]
    return _both(pack, _selection(pack, parts, chosen), split)


def diffusion_training(
    pack: Pack,
    identity: Mapping[str, Any],
    which: Literal["normal", "train", "all"],
    ratio: float,
    seed: int,
) -> Indices:
    """The images that a diffusion model trains on (FACTS: Table 3).

    ``normal``: the normal training images, never the contamination; ``train``: the training split with its
    anomalies, or where a contamination is asked for, the very training set that the run of seed
    ``identity["contamination_seed"]`` has; ``all``: every image of the set, test images too. ``ratio``: a
    share drawn by ``seed``; a larger share holds the smaller.
    """
    parts = _parts(pack, identity)
    if which == "all":
        pool = np.flatnonzero(parts.kept)
    elif which == "train" and identity.get("contamination"):
        pool = training(pack, identity, identity["contamination_seed"]).indices
    elif which == "train":
        spare = np.zeros(0, np.int64) if parts.spare_in_test else parts.spare
        pool = _capped(np.concatenate([parts.train_normal, spare]), identity, contaminated=False)
    else:
        pool = _capped(parts.train_normal, identity, contaminated=False)
    if not len(pool):
        raise DataFault(f"{pack.name} has no image to train a diffusion model on (data = {which})")
    count = max(1, int(ratio * len(pool) + 1e-9))
    order = np.random.default_rng(derive_seed(seed, "diffusion", which)).permutation(np.sort(pool))
    return np.sort(order[:count])


@dataclass(frozen=True)
class _Parts:
    """The images of a pack by what they are for; ``spare`` are the anomalies that contamination is drawn
    from, ``groups`` (N,) what is never parted.
    """

    groups: Indices
    kept: NDArray[np.bool_]
    anomalous: NDArray[np.bool_]
    train_normal: Indices
    spare: Indices
    spare_in_test: bool
    val: Indices
    test: Indices


def _parts(pack: Pack, identity: Mapping[str, Any]) -> _Parts:
    anomalous = ~np.isin(pack.classes, identity["normal_class"])
    near = identity.get("group") == "phash"
    groups = pack.near if near else pack.groups
    splits = _splits(pack, identity, groups)
    kept = np.ones(len(anomalous), bool)
    if identity["split"] == "clean":
        kept = _clean(pack.groups, splits, anomalous)
        kept = _without_relatives(groups, splits, kept) if near else kept
    within = {split: kept & (splits == split) for split in ("train", "val", "test")}
    train_normal = np.flatnonzero(within["train"] & ~anomalous)
    spare = np.flatnonzero(within["train"] & anomalous)
    spare_in_test = not len(spare)
    if spare_in_test:
        spare = np.flatnonzero(within["test"] & anomalous)
    val, test = np.flatnonzero(within["val"]), np.flatnonzero(within["test"])
    parts = _Parts(groups, kept, anomalous, train_normal, spare, spare_in_test, val, test)
    # A folder may bring a validation split that its facts could not announce: then nothing is cut.
    if identity.get("validation") == "cut" and not len(val):
        return _cut(parts, identity.get("split_seed", SPLIT_SEED))
    return parts


def _splits(pack: Pack, identity: Mapping[str, Any], groups: Indices) -> NDArray[np.str_]:
    """The pack's splits; dealt anew where they were dealt for other groups or another normal class."""
    normal = tuple(identity["normal_class"])
    as_packed = groups is pack.groups and (
        pack.unsplit == "classes" or set(normal) == set(pack.info.normal_classes)
    )
    if as_packed or not pack.dealt.any():
        return pack.splits
    given = np.where(pack.dealt, "", pack.splits)
    seed = identity.get("split_seed", SPLIT_SEED)
    return fill(given, pack.classes, groups, normal, pack.unsplit, seed)


def _cut(parts: _Parts, seed: int) -> _Parts:
    """With a validation set of a tenth of the training normals and of the spare anomalies, whole groups."""
    groups, spare = parts.groups, parts.spare
    normals = parts.train_normal[
        deal(groups[parts.train_normal], VALIDATION_SHARE, seed, "validation", "normal")
    ]
    anomalies = spare[deal(groups[spare], VALIDATION_SHARE, seed, "validation", "anomalous")]
    # A group of both kinds was dealt twice: all of it goes along. So do those of a cut test anomaly.
    cut = np.isin(groups, groups[np.concatenate([normals, anomalies])])
    along = np.isin(groups, groups[anomalies]) if parts.spare_in_test else np.zeros(len(groups), bool)
    pool = np.concatenate([parts.train_normal, spare])
    return replace(
        parts,
        train_normal=parts.train_normal[~cut[parts.train_normal]],
        spare=spare[~cut[spare]],
        val=np.sort(pool[cut[pool]]),
        test=parts.test[~along[parts.test] & ~np.isin(parts.test, pool[cut[pool]])],
    )


def _clean(groups: Indices, splits: NDArray[np.str_], anomalous: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True for the images that stay when exact duplicates and conflicting labels go."""
    rank = np.select([splits == "test", splits == "val"], [0, 1], 2)
    order = np.lexsort((rank, groups))
    first = np.ones(len(order), bool)
    first[1:] = groups[order][1:] != groups[order][:-1]
    kept = np.zeros(len(order), bool)
    kept[order[first]] = True
    size = int(groups.max(initial=-1)) + 1
    mixed = np.bincount(groups[anomalous], minlength=size) * np.bincount(groups[~anomalous], minlength=size)
    return np.asarray(kept & (mixed[groups] == 0))


def _without_relatives(
    groups: Indices, splits: NDArray[np.str_], kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """What is left when no training image may be a near-duplicate of a scored one, nor a validation image of
    a test image.
    """
    tested = np.isin(groups, groups[kept & (splits == "test")])
    kept = kept & ((splits == "test") | ~tested)
    seen = np.isin(groups, groups[kept & (splits == "val")])
    return np.asarray(kept & ((splits != "train") | ~seen))


def _capped(pool: Indices, identity: Mapping[str, Any], *, contaminated: bool = True) -> Indices:
    """At most ``max_train`` images, drawn by the split seed, with room for the contamination."""
    count = at_most(len(pool), identity, contaminated=contaminated)
    if count == len(pool):
        return pool
    order = np.random.default_rng(derive_seed(identity.get("split_seed", SPLIT_SEED), "max_train"))
    return np.sort(order.permutation(np.sort(pool))[:count])


def _contamination(parts: _Parts, identity: Mapping[str, Any], seed: int) -> Indices:
    normals = len(parts.train_normal)
    where = "test" if parts.spare_in_test else "train"
    if fault := too_contaminated(identity, normals, len(parts.spare), where):
        raise DataFault(fault)
    count = contamination_count(at_most(normals, identity), float(identity.get("contamination", 0.0)))
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
