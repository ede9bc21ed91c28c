"""Packs: a data set read, checked and sorted once, then memory-mapped by every run that wants it.

A pack is a folder ``<store>/artefacts/data/<key12>/``: ``images.npy`` (uint8, N x C x H x W),
``classes.npy``, ``splits.npy``, ``ids.npy``, ``hashes.npy`` (SHA-256 of each image's pixels), further arrays
of the set's own, and ``manifest.json`` (what it is, digest, counts, faults found, licence). Images are
ordered by split and pixel hash, so that neither the order nor the container of the source can reach a
training. It is built in a folder beside its place and moved there whole: a pack is complete or absent,
whoever else builds it at the same moment.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite.data import hashing, split
from suite.data.errors import DataFault, DataMissing
from suite.data.hashing import digest
from suite.data.identity import SPLIT_SEED, DataSettings
from suite.data.source import SPLITS, Contents, default_data_root
from suite.registry import DataInfo
from suite.settings import KEY_LENGTH, key_of

FORMAT = 1
ARRAYS = ("images", "classes", "splits", "ids", "hashes")
_ABANDONED = 24 * 3600.0
_CHUNK = 64 * 2**20


@dataclass(frozen=True)
class Pack:
    """A packed data set. ``images`` is a read-only memory map; ``classes`` are the source's labels (N,);
    ``splits`` are ``train``, ``val`` or ``test``; ``notes`` are the faults that were found in it, one line
    each.
    """

    name: str
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: NDArray[np.str_]
    digest: str
    folder: Path
    info: DataInfo
    notes: tuple[str, ...] = ()

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The number of each image's group of equal images (N,)."""
        stored = self.folder / "hashes.npy"
        hashes = (
            np.load(stored, allow_pickle=False) if stored.is_file() else hashing.pixel_hashes(self.images)
        )
        return hashing.groups(hashes)

    def extra(self, name: str) -> NDArray[Any]:
        """One of the set's own arrays, in the order of the images (the phantom's lesions); KeyError
        without it.
        """
        file = self.folder / f"{name}.npy"
        if name in ARRAYS or not file.is_file():
            raise KeyError(f"{self.name} has no array {name!r}")
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        return array


def load(info: DataInfo, settings: DataSettings, store_root: Path, data_root: Path | None = None) -> Pack:
    """The pack of a data set at a size; made first if it is not there. Safe with several processes at once.

    Raises DataMissing (what to get) and DataFault (what is wrong), each with one line.
    """
    root = data_root or default_data_root()
    identity = _identity(info, settings, root)
    folder = _folder(identity, store_root)
    if not (folder / "manifest.json").is_file():
        _build(info, identity, root, folder)
    return _open(info, identity, folder)


def find(
    info: DataInfo, settings: DataSettings, store_root: Path, data_root: Path | None = None
) -> Path | None:
    """Where the data are (the pack, or else the source), or None when they are not at hand. Cheap, raises
    nothing.
    """
    root = data_root or default_data_root()
    try:
        folder = _folder(_identity(info, settings, root), store_root)
        if (folder / "manifest.json").is_file():
            return folder
        if info.source == "suite.data.catalogue:not_built_in":
            return None
        look = _beside(info, "find")
        return look(info, settings.size or info.size, root) if look else folder
    except (OSError, DataMissing, DataFault):
        return None


def fetchable(info: DataInfo) -> bool:
    """Whether :func:`load` would download the set if it is not at hand."""
    return _beside(info, "fetch") is not None


def missing(info: DataInfo) -> str:
    """One line for a set that :func:`find` does not find: what is missing and how to get it."""
    return f"{info.name} is not at hand: {info.obtain}" if info.obtain else f"{info.name} is not at hand"


def known_digest(
    info: DataInfo, settings: DataSettings, store_root: Path, data_root: Path | None = None
) -> str | None:
    """The content digest if the set is packed, without opening the images; else None. Cheap, raises
    nothing.
    """
    root = data_root or default_data_root()
    try:
        folder = _folder(_identity(info, settings, root), store_root)
        return str(json.loads((folder / "manifest.json").read_text())["digest"])
    except (OSError, ValueError, KeyError, DataMissing, DataFault):
        return None


def _beside(info: DataInfo, name: str) -> Any:
    return getattr(importlib.import_module(info.source.partition(":")[0]), name, None)


def _identity(info: DataInfo, settings: DataSettings, root: Path) -> dict[str, Any]:
    """What names a pack on this machine. A folder's files may change under its name, so their listing
    takes part.
    """
    size = settings.size or info.size
    identity = {"name": info.name, "recipe": info.recipe, "size": size, "split_seed": SPLIT_SEED}
    if listing := _beside(info, "listing"):
        identity["source"] = listing(info, root)
    return identity


def _folder(identity: Mapping[str, Any], store_root: Path) -> Path:
    key = key_of({"kind": "data", "version": FORMAT, "identity": dict(identity)})
    return store_root / "artefacts" / "data" / key[:KEY_LENGTH]


def _build(info: DataInfo, identity: Mapping[str, Any], root: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        scratch = part / "scratch"
        scratch.mkdir()
        contents = info.pack()(info, identity["size"], root, scratch)
        _check(info, contents)
        manifest = _write(info, identity, contents, part)
        del contents
        shutil.rmtree(scratch)
        _write_json(part / "manifest.json", manifest)
        _write_json(part / "done.json", {name: manifest[name] for name in ("name", "digest", "counts")})
        part.chmod(0o755)
        try:
            os.replace(part, folder)
        except OSError:
            # Another process was faster; its pack is as good as this one.
            if not (folder / "manifest.json").is_file():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sweep(folder: Path) -> None:
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
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array[order], allow_pickle=False)
    normal = np.isin(classes, info.normal_classes)
    found = hashing.faults(hashes[order], classes[order], splits[order], contents.ids[order])
    return {
        "format": FORMAT,
        **identity,
        "title": info.title,
        "digest": hashing.digest_of(hashes, classes, splits),
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


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _open(info: DataInfo, identity: Mapping[str, Any], folder: Path) -> Pack:
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        arrays = {
            name: np.load(
                folder / f"{name}.npy", mmap_mode="r" if name == "images" else None, allow_pickle=False
            )
            for name in ARRAYS[:-1]
        }
        whole = list(arrays["images"].shape) == manifest["shape"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DataFault(f"the pack of {info.name} is damaged ({error}): delete {folder}") from error
    if not whole or any(manifest.get(name) != value for name, value in identity.items()):
        raise DataFault(f"the pack of {info.name} is not what its manifest says: delete {folder}")
    return Pack(
        name=info.name,
        digest=manifest["digest"],
        folder=folder,
        info=info,
        notes=tuple(manifest["notes"]),
        **arrays,
    )


__all__ = [
    "DataFault",
    "DataMissing",
    "Pack",
    "digest",
    "fetchable",
    "find",
    "known_digest",
    "load",
    "missing",
]
