"""Building a pack: read the source, check what came, find its faults, split and sort it, write it, move it
into place.

The work is done in a folder beside the pack's place, claimed by the process that does it; others wait for the
pack instead of making it too. Whoever is killed leaves the images that it has decoded there, and the next one
goes on with them; whoever fails leaves nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite import claims, files
from suite.data import hashing, progress, split
from suite.data.errors import DataFault
from suite.data.identity import LESIONS
from suite.data.source import SPLITS, Contents
from suite.registry import DataInfo

Identity = tuple[int, int]
FORMAT = 2
LOOKED = "looked.json"
"""Sizes and times of the arrays when their content was last found to be what was packed."""
RESUMED = "decoded"
"""What lies under this name in the scratch folder outlives a killed process (see :mod:`suite.data.decode`)."""
_ABANDONED = 7 * 24 * 3600.0
_CHUNK = 8 * 2**20


def beside(info: DataInfo, name: str) -> Any:
    """What stands under ``name`` in the module of a data set (see :mod:`suite.data.source`), or None."""
    return getattr(importlib.import_module(info.source.partition(":")[0]), name, None)


def build(
    info: DataInfo,
    identity: Mapping[str, Any],
    root: Path,
    folder: Path,
    *,
    replace: bool = False,
    damaged: Identity | None = None,
) -> None:
    """Make the pack at ``folder``, complete or not at all, unless it is there or comes to be there meanwhile;
    with ``replace`` in any case. ``damaged``: the one with this identity does not count as there. DataMissing and
    DataFault say what stands in the way.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    work = folder.with_name(f"{folder.name}.part")

    def there() -> bool:
        return not replace and _complete(folder) and identity_of(folder) != damaged

    held = _claim(work, there)
    if held is None:
        return
    try:
        with held:
            try:
                if not there():
                    with files.blaming_the_disk(work):
                        _make(info, identity, root, work, folder)
            except Exception:
                _empty(work)
                raise
            _empty(work)
    finally:
        with suppress(OSError):  # not empty: the process was interrupted, and the next one goes on
            work.rmdir()


def _complete(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def marks(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of each array of a pack."""
    found = {path.name: path.stat() for path in folder.glob("*.npy") if path.name != "near.npy"}
    return {name: [one.st_size, one.st_mtime_ns] for name, one in sorted(found.items())}


def identity_of(folder: Path) -> Identity | None:
    """Tells a folder from another one that takes its place later; None when there is none."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _claim(work: Path, there: Callable[[], bool]) -> claims.Claim | None:
    """The claim on the work, when it is free; None when another process has made the pack meanwhile."""
    while True:
        with suppress(FileNotFoundError):  # the folder's last owner removed it between two of our steps
            return claims.wait(work, there, lambda: False, kind="data")


def _make(info: DataInfo, identity: Mapping[str, Any], root: Path, work: Path, folder: Path) -> None:
    scratch, made = work / "scratch", work / "pack"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    scratch.mkdir(exist_ok=True)
    for left in scratch.iterdir():
        if left.name != RESUMED:
            files.remove(left)
    options = {name: identity[name] for name in LESIONS if name in identity}
    contents = info.pack()(dataclasses.replace(info, options=options), identity["size"], root, scratch)
    _check(info, contents)
    manifest = _write(info, identity, contents, made)
    files.write_json(made / "manifest.json", manifest)
    files.write_json(made / LOOKED, {"files": marks(made)}, durable=False)
    files.write_json(made / "done.json", {name: manifest[name] for name in ("name", "digest", "counts")})
    if folder.exists():
        files.remove(folder)
    try:
        os.replace(made, folder)
    except OSError as error:
        raise DataFault(
            f"the pack of {info.name} cannot take its place ({error}): delete {folder}"
        ) from error


def _empty(work: Path) -> None:
    """Remove everything but the claim."""
    for name in ("scratch", "pack"):
        shutil.rmtree(work / name, ignore_errors=True)


def sweep(parent: Path) -> None:
    """Remove what killed processes left a week or longer ago and nobody went on with."""
    for part in parent.glob("*.part"):
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _ABANDONED and not claims.held(part):
                shutil.rmtree(part, ignore_errors=True)


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
    images: Any = contents.images
    hashes = hashing.pixel_hashes(images)
    groups = hashing.groups(hashes)
    classes = contents.classes.astype(np.int64)
    splits = split.fill(
        contents.splits, classes, groups, info.normal_classes, contents.unsplit, identity["split_seed"]
    )
    rank = np.searchsorted(np.array(sorted(SPLITS)), splits)
    order = np.lexsort((contents.ids, classes, groups, rank))
    _save_images(part / "images.npy", images, order)
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
        "notes": [*contents.notes, *_uncounted(info, classes), *found],
        "origin": dict(contents.origin),
        "licence": info.licence,
        "citation": info.citation,
        "url": info.url,
        "stand_in": info.stand_in,
    }


def _uncounted(info: DataInfo, classes: NDArray[np.int64]) -> list[str]:
    """A line for each class that has not as many images as were published."""
    found = {name: int((classes == at).sum()) for at, name in enumerate(info.class_names)}
    return [
        f"{name}: {found[name]} images where {count} are published"
        for name, count in info.published.items()
        if found[name] != count
    ]


def _save_images(path: Path, images: Any, order: NDArray[np.int64]) -> None:
    """The images in their order, through a bounded piece of memory at a time."""
    shape = tuple(images.shape)
    step = max(1, _CHUNK // max(1, int(np.prod(shape[1:]))))
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(order), step):
            file.write(np.ascontiguousarray(images[order[start : start + step]]).data)
            progress.report("writing", min(start + step, len(order)), len(order))
        file.flush()
        os.fsync(file.fileno())
