"""Packs: a data set read, checked and sorted once, then memory-mapped by every run that wants it.

A pack is a folder ``<store>/artefacts/data/<key12>/``: ``images.npy`` (uint8, N x C x H x W),
``classes.npy``, ``splits.npy``, ``dealt.npy`` (True where the split is not the source's but dealt here),
``ids.npy``, ``hashes.npy`` (SHA-256 of each image's pixels), further arrays of the set's own, and
``manifest.json`` (what it is, digest, counts, faults found, licence). Images are ordered by split and pixel
hash, so that neither the order nor the container of the source can reach a training. It is built in a folder
beside its place and moved there whole: a pack is complete or absent, whoever else builds it at the same
moment.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suite import files
from suite.data import hashing, phash
from suite.data.build import FORMAT, LOOKED, beside, build, identity_of, marks
from suite.data.errors import DamagedPack, DataFault, DataMissing
from suite.data.hashing import digest
from suite.data.identity import SPLIT_SEED, DataSettings, lesions
from suite.data.source import default_data_root
from suite.data.split import Rule
from suite.registry import DataInfo
from suite.settings import KEY_LENGTH, key_of

logger = logging.getLogger("suite")
ARRAYS = ("images", "classes", "splits", "ids", "hashes")
LISTINGS = "listings.json"
"""Beside packs whose sources are on another machine: data set -> the listing that names its pack."""


@dataclass(frozen=True)
class Pack:
    """A packed data set. ``images`` is a read-only memory map; ``classes`` are the source's labels (N,);
    ``splits`` are ``train``, ``val`` or ``test``; ``notes`` are the faults that were found in it, one line
    each; ``unsplit`` is the rule by which images without a split were dealt (:func:`suite.data.split.fill`).
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
    unsplit: Rule = "normals"

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The number of each image's group of equal images (N,)."""
        stored = self.folder / "hashes.npy"
        hashes = (
            np.load(stored, allow_pickle=False) if stored.is_file() else hashing.pixel_hashes(self.images)
        )
        return hashing.groups(hashes)

    @cached_property
    def near(self) -> NDArray[np.int64]:
        """The number of each image's group of near-duplicates (N,); found once and kept beside the images."""
        stored = self.folder / "near.npy"
        if stored.is_file():
            return np.asarray(np.load(stored, allow_pickle=False))
        found = phash.groups(phash.hashes(self.images), self.groups)
        with suppress(OSError):  # a convenience, which a store that cannot be written goes without
            files.write(stored, lambda stream: np.save(stream, found, allow_pickle=False))
        return found

    @cached_property
    def dealt(self) -> NDArray[np.bool_]:
        """True where the split was dealt here, False where it is the source's (N,)."""
        stored = self.folder / "dealt.npy"
        given = np.zeros(len(self.images), bool)
        return np.asarray(np.load(stored, allow_pickle=False)) if stored.is_file() else given

    def extra(self, name: str) -> NDArray[Any]:
        """One of the set's own arrays, in the order of the images (the phantom's lesions); KeyError
        without it.
        """
        file = self.folder / f"{name}.npy"
        if name in ARRAYS or not file.is_file():
            raise KeyError(f"{self.name} has no array {name!r}")
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        return array


def load(
    info: DataInfo,
    settings: DataSettings,
    store_root: Path,
    data_root: Path | None = None,
    *,
    anew: bool = False,
    heal: bool = True,
) -> Pack:
    """The pack of a data set at a size; made first if it is not there, or ``anew`` in its place. Safe with
    several processes at once.

    A pack whose files were changed or cut short since it was made is made anew, with a warning. (They are looked
    through when their sizes or times are not those noted at the last look.) Without ``heal`` it is opened as it is.
    Raises DataMissing (what to get) and DataFault (what is wrong), each with one line.
    """
    root = data_root or default_data_root()
    identity = _identity(info, settings, store_root, root)
    folder = _folder(identity, store_root)
    if anew or not (folder / "manifest.json").is_file():
        build(info, identity, root, folder, replace=anew)
    found = identity_of(folder)
    try:
        return _open(info, identity, folder, check=heal)
    except DamagedPack as fault:
        if not heal:
            raise DamagedPack(f"{fault}: delete {folder}") from fault
        logger.warning("%s; it is made anew", fault)
        try:
            build(info, identity, root, folder, damaged=found)
        except DataMissing as missing:
            raise DataFault(f"{fault}, and it cannot be made anew: {missing}") from fault
    return _open(info, identity, folder)


def find(
    info: DataInfo, settings: DataSettings, store_root: Path, data_root: Path | None = None
) -> Path | None:
    """Where the data are (the pack, or else the source), or None when they are not at hand. Cheap, raises
    nothing.
    """
    root = data_root or default_data_root()
    try:
        folder = _folder(_identity(info, settings, store_root, root), store_root)
        if (folder / "manifest.json").is_file():
            return folder
        look = beside(info, "find")
        return look(info, settings.size or info.size, root) if look else folder
    except (ImportError, OSError, DataMissing, DataFault):
        return None


def automatic(info: DataInfo) -> bool:
    """Whether :func:`load` downloads the set when it is not at hand."""
    return bool(beside(info, "AUTOMATIC"))


def command(info: DataInfo) -> str:
    """The command that gets a set, or the empty string when none does."""
    if beside(info, "fetch"):
        return f"suite data fetch {info.name}"
    return f"suite data add {info.name} PATH" if beside(info, "examine") else ""


def missing(info: DataInfo) -> str:
    """One line for a set that :func:`find` does not find: what is missing and how to get it."""
    how = command(info)
    if how.startswith("suite data fetch"):
        return f"{info.name} is not at hand: {how}"
    if how:
        return f"{info.name} is not at hand: {info.obtain} from {info.url}, then {how}"
    return f"{info.name} is not at hand: {info.obtain}" if info.obtain else f"{info.name} is not at hand"


def manifest(
    info: DataInfo, settings: DataSettings, store_root: Path, data_root: Path | None = None
) -> dict[str, Any]:
    """The manifest if the set is packed, without opening the images; else empty. Cheap, raises nothing."""
    root = data_root or default_data_root()
    try:
        folder = _folder(_identity(info, settings, store_root, root), store_root)
    except (ImportError, OSError, DataMissing, DataFault):
        return {}
    return dict(files.peek_json(folder / "manifest.json"))


def known_digest(
    info: DataInfo, settings: DataSettings, store_root: Path, data_root: Path | None = None
) -> str | None:
    """The content digest if the set is packed, else None. Cheap, raises nothing."""
    digest = manifest(info, settings, store_root, data_root).get("digest")
    return None if digest is None else str(digest)


def _identity(info: DataInfo, settings: DataSettings, store_root: Path, root: Path) -> dict[str, Any]:
    """What names a pack on this machine. A folder's files may change under its name, so their listing
    takes part; where only the pack came (to a machine of a cluster), its listing came with it.
    """
    size = settings.size or info.size
    identity = {"name": info.name, "recipe": info.recipe, "size": size, "split_seed": SPLIT_SEED}
    identity |= lesions(info, settings)
    if listing := beside(info, "listing"):
        came = files.peek_json(store_root / "artefacts" / "data" / LISTINGS).get(info.name)
        identity["source"] = came or listing(info, root)
    return identity


def _folder(identity: Mapping[str, Any], store_root: Path) -> Path:
    key = key_of({"kind": "data", "version": FORMAT, "identity": dict(identity)})
    return store_root / "artefacts" / "data" / key[:KEY_LENGTH]


def _open(info: DataInfo, identity: Mapping[str, Any], folder: Path, *, check: bool = True) -> Pack:
    try:
        facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        arrays = {
            name: np.load(
                folder / f"{name}.npy", mmap_mode="r" if name == "images" else None, allow_pickle=False
            )
            for name in ARRAYS[:-1]
        }
        whole = list(arrays["images"].shape) == facts["shape"]
        whole = whole and all(facts.get(name) == value for name, value in identity.items())
        whole = whole and (not check or _as_it_was(folder, arrays, facts["digest"]))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DamagedPack(f"the pack of {info.name} in {folder} is damaged ({error})") from error
    if not whole:
        raise DamagedPack(f"the pack of {info.name} in {folder} is not what its manifest says")
    return Pack(
        name=info.name,
        digest=facts["digest"],
        folder=folder,
        info=info,
        notes=tuple(facts["notes"]),
        unsplit=facts["unsplit"],
        **arrays,
    )


def _as_it_was(folder: Path, arrays: Mapping[str, NDArray[Any]], digest: str) -> bool:
    """Whether the content is what was packed. It is hashed only when a file is not as the last look found it."""
    if files.peek_json(folder / LOOKED).get("files") == marks(folder):
        return True
    hashes = hashing.pixel_hashes(arrays["images"])
    if hashing.digest_of(hashes, arrays["classes"], arrays["splits"]) != digest:
        return False
    stored = np.load(folder / "hashes.npy", allow_pickle=False)
    if not np.array_equal(stored, hashes) or len(arrays["ids"]) != len(hashes):
        return False
    with suppress(OSError):  # a store that cannot be written is looked through each time
        files.write_json(folder / LOOKED, {"files": marks(folder)}, durable=False)
    return True


__all__ = [
    "DataFault",
    "DataMissing",
    "Pack",
    "automatic",
    "command",
    "digest",
    "find",
    "known_digest",
    "load",
    "manifest",
    "missing",
]
