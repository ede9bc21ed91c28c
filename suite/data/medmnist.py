"""The 2D sets of MedMNIST v2 at any size, read by medmnist's own class from files at hand or downloaded from
where it says.

medmnist serves 28, 64, 128 and 224 px. Another size is made from the next larger one (above 224 px from 224),
always the same one whatever files are at hand, so that a size names pixels. Splits are the set's own.
ChestMNIST has 14 labels an image; here class 0 is no finding and class 1 any. Files at hand may be in
``data_root`` or its folder ``medmnist``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from suite.data import fetch as download
from suite.data.errors import DataFault, DataMissing
from suite.data.source import SPLITS, Contents
from suite.registry import DataInfo

SERVED = (28, 64, 128, 224)
AUTOMATIC = True
"""The files are small: a run downloads what it needs."""

DIGESTS: dict[tuple[str, int], str] = {
    ("pneumonia_mnist", 28): "5fde7a01a239be10e7c8cf1f738c52a04e749c2ec8703242fe264b517d9dde47",
    ("breast_mnist", 28): "cda2dc0531bbbd845c7795fcbdeec0f697beab67ad969a608bbdce54844a0730",
}
"""Content digests by name and size (:func:`suite.data.hashing.digest`); a pack of another content says so
in a note.
"""


def served(size: int) -> int:
    """The size of the file that ``size`` is made from."""
    return next((s for s in SERVED if s >= size), SERVED[-1])


def _flag(info: DataInfo) -> str:
    return info.name.replace("_", "")


def _file_name(info: DataInfo, size: int) -> str:
    source = served(size)
    return f"{_flag(info)}.npz" if source == SERVED[0] else f"{_flag(info)}_{source}.npz"


def find(info: DataInfo, size: int, data_root: Path) -> Path | None:
    """The file at hand, or None."""
    name = _file_name(info, size)
    return next((p for p in (data_root / name, data_root / "medmnist" / name) if p.is_file()), None)


def fetch(info: DataInfo, size: int, data_root: Path) -> Path:
    """Download the file that medmnist names, with the MD5 that it gives, into ``data_root/medmnist``."""
    name = _file_name(info, size)
    target = data_root / "medmnist" / name
    facts = _medmnist().INFO[_flag(info)]
    suffix = "" if served(size) == SERVED[0] else f"_{served(size)}"
    address = facts[f"url{suffix}"]
    try:
        return download.download(info.name, address, target, kind="zip", md5=facts[f"MD5{suffix}"])
    except DataMissing as missing:
        by_hand = f"download it as {target}, or give --data-root a folder that has {name}"
        raise DataMissing(f"{missing}: {by_hand}") from missing


def pack(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Contents:
    """All three splits at ``size`` px. DataMissing without file and network, DataFault for a file that is
    not the set.
    """
    file = find(info, size, data_root) or fetch(info, size, data_root)
    images, classes, splits, ids = [], [], [], []
    for split in SPLITS:
        try:
            loaded = _dataset(info, split, file.parent, served(size))
            pixels, labels = np.asarray(loaded.imgs), np.asarray(loaded.labels)
        except (BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
            raise DataFault(
                f"{file} is not a readable MedMNIST file ({error}): delete it to get it anew"
            ) from error
        images.append(_channels_first(pixels, info, file, size))
        classes.append(_classes(labels, len(pixels), file))
        splits.append(np.full(len(pixels), split, dtype="<U5"))
        ids.append(np.array([f"{split}/{number:04d}" for number in range(len(pixels))]))
    return Contents(
        images=np.concatenate(images),
        classes=np.concatenate(classes),
        splits=np.concatenate(splits),
        ids=np.concatenate(ids),
    )


def _medmnist() -> Any:
    """medmnist, late: it imports torch."""
    import medmnist

    return medmnist


def _dataset(info: DataInfo, split: str, root: Path, size: int) -> Any:
    package = _medmnist()
    kind = getattr(package, package.INFO[_flag(info)]["python_class"])
    return kind(split=split, root=str(root), size=size, download=False)


def _channels_first(pixels: NDArray[Any], info: DataInfo, file: Path, size: int) -> NDArray[np.uint8]:
    expected = 3 if info.channels == 1 else 4
    side = served(size)
    if pixels.dtype != np.uint8 or pixels.ndim != expected or pixels.shape[1:3] != (side, side):
        raise DataFault(
            f"{file} does not hold {side} px images of {info.title}: {pixels.dtype} {pixels.shape}"
        )
    if size != side:
        from suite.data.decode import resize_all

        pixels = resize_all(pixels, size)
    return pixels[:, None] if info.channels == 1 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _classes(labels: NDArray[Any], count: int, file: Path) -> NDArray[np.int64]:
    if labels.ndim != 2 or len(labels) != count or labels.dtype.kind not in "iu":
        raise DataFault(f"{file} has labels of shape {labels.shape} for {count} images")
    several = labels.shape[1] > 1
    return np.asarray(labels.any(axis=1) if several else labels[:, 0], np.int64)
