"""Building a pack: read the source, check what came, find its faults, split and sort it, write it, move it
into place.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.data import hashing, split
from suite.data.errors import DataFault
from suite.data.source import SPLITS, Contents
from suite.registry import DataInfo

FORMAT = 2
_ABANDONED = 24 * 3600.0
_CHUNK = 64 * 2**20


def beside(info: DataInfo, name: str) -> Any:
    """What stands under ``name`` in the module of a data set (see :mod:`suite.data.source`), or None."""
    return getattr(importlib.import_module(info.source.partition(":")[0]), name, None)


def build(info: DataInfo, identity: Mapping[str, Any], root: Path, folder: Path) -> None:
    """Make the pack at ``folder``, complete or not at all. DataMissing and DataFault say what stands in
    the way.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        scratch = part / "scratch"
        scratch.mkdir()
        contents = info.pack()(info, identity["size"], root, scratch)
        _check(info, contents)
        manifest = _write(info, identity, contents, part)
        del contents
        shutil.rmtree(scratch)
        _json(part / "manifest.json", manifest)
        _json(part / "done.json", {name: manifest[name] for name in ("name", "digest", "counts")})
        part.chmod(0o755)
        try:
            os.replace(part, folder)
        except OSError as error:
            # Another process was faster, and its pack is as good as this one; or something else has the name.
            if not (folder / "manifest.json").is_file():
                raise DataFault(
                    f"the pack of {info.name} cannot take its place ({error}): delete {folder}"
                ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed process left behind a day or longer ago."""
    for part in folder.parent.glob(f"{folder.name}.*.part"):
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED:
                shutil.rmtree(part, ignore_errors=True)
        except OSError:
            continue


def _check(info: DataInfo, contents: Contents) -> None:
    images, count = contents.images, len(contents.images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataFault(
            f"{info.name}: images must be uint8, N x 1 or 3 x H x W, not {images.dtype} {images.shape}"
        )
    lengths = {name: len(getattr(contents, name)) for name in ("classes", "splits", "ids")}
    lengths |= {name: len(array) for name, array in contents.extras.items()}
    wrong = {name: length for name, length in lengths.items() if length != count}
    if not count or wrong:
        raise DataFault(f"{info.name}: {count} images but {wrong or 'nothing else'}")
    if strange := sorted(set(contents.splits.tolist()) - {*SPLITS, ""}):
        raise DataFault(f"{info.name}: splits are train, val and test, not {', '.join(map(repr, strange))}")
    if len(np.unique(contents.ids)) != count:
        raise DataFault(f"{info.name}: {count - len(np.unique(contents.ids))} image ids are not unique")


def _write(info: DataInfo, identity: Mapping[str, Any], contents: Contents, part: Path) -> dict[str, Any]:
    hashes = hashing.pixel_hashes(contents.images)
    groups = hashing.groups(hashes)
    classes = contents.classes.astype(np.int64)
    splits = split.fill(
        contents.splits, classes, groups, info.normal_classes, contents.unsplit, identity["split_seed"]
    )
    rank = np.searchsorted(np.array(sorted(SPLITS)), splits)
    order = np.lexsort((contents.ids, classes, groups, rank))
    _save_images(part / "images.npy", contents.images, order)
    arrays = {"classes": classes, "splits": splits, "ids": contents.ids, "hashes": hashes, **contents.extras}
    arrays["dealt"] = contents.splits == ""
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array[order], allow_pickle=False)
    normal = np.isin(classes, info.normal_classes)
    found = hashing.faults(hashes[order], classes[order], splits[order], contents.ids[order])
    digest = hashing.digest_of(hashes, classes, splits)
    official = (beside(info, "DIGESTS") or {}).get((info.name, identity["size"]), digest)
    if digest != official:
        found = (f"not the published content: digest {digest[:12]} instead of {official[:12]}", *found)
    return {
        "format": FORMAT,
        **identity,
        "title": info.title,
        "digest": digest,
        "unsplit": contents.unsplit,
        "shape": list(contents.images.shape),
        "counts": {
            s: [int((normal & (splits == s)).sum()), int((~normal & (splits == s)).sum())] for s in SPLITS
        },
        "classes": {str(c): int(n) for c, n in zip(*np.unique(classes, return_counts=True), strict=True)},
        "class_names": list(contents.class_names or info.class_names),
        "notes": [*contents.notes, *found],
        "licence": info.licence,
        "citation": info.citation,
        "url": info.url,
        "stand_in": info.stand_in,
    }


def _save_images(path: Path, images: NDArray[np.uint8], order: NDArray[np.int64]) -> None:
    """The images in their order, through a bounded piece of memory at a time."""
    target = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=images.shape)
    step = max(1, _CHUNK // max(1, int(np.prod(images.shape[1:]))))
    for start in range(0, len(order), step):
        target[start : start + step] = images[order[start : start + step]]
    target.flush()


def _json(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
