"""CIFAR-10 and CIFAR-100 (supplement C.3, table 13): ten and twenty one-class problems, chosen by
``data.normal_class``. CIFAR-100's classes here are its 20 superclasses; the fine ones are kept beside.

The files are those that torchvision uses (``cifar-10-python.tar.gz`` or the folder unpacked from it), which
are pickles. Each is unpickled only when its MD5 is the published one, and even then by a reader that knows
arrays and nothing else.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite.data import archive, place
from suite.data import fetch as download
from suite.data.errors import DataFault, DataMissing
from suite.registry import DataInfo

if TYPE_CHECKING:
    from suite.data.source import Contents

SIDE = 32
URL = "https://www.cs.toronto.edu/~kriz/cifar.html"
ARCHIVES = {
    "cifar10": ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    "cifar100": ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
}
"""The official archive of each set and its MD5."""
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
PARTS: dict[str, dict[str, tuple[str, str]]] = {
    "cifar10": {
        "data_batch_1": ("train", "c99cafc152244af753f735de768cd75f"),
        "data_batch_2": ("train", "d4bba439e000b95fd0a9bffe97cbabec"),
        "data_batch_3": ("train", "54ebc095f3ab1f0389bbae665268c751"),
        "data_batch_4": ("train", "634d18415352ddfa80567beed471001a"),
        "data_batch_5": ("train", "482c414d41f54cd18b22e5b47cb7c3cb"),
        "test_batch": ("test", "40351d587109b95175f43aff81a1287e"),
    },
    "cifar100": {
        "train": ("train", "16019d7e3df5f24257cddd939b257f8d"),
        "test": ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
    },
}
"""The files of each set: the split they hold and their MD5."""
LABELS = {"cifar10": b"labels", "cifar100": b"coarse_labels"}

_TEN = "airplane automobile bird cat deer dog frog horse ship truck"
_TWENTY = (
    "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
    "household_furniture insects large_carnivores large_man-made_outdoor_things "
    "large_natural_outdoor_scenes large_omnivores_and_herbivores medium_mammals non-insect_invertebrates "
    "people reptiles small_mammals trees vehicles_1 vehicles_2"
)


def _info(name: str, title: str, classes: str) -> DataInfo:
    names = tuple(classes.split())
    per_class = 60000 // len(names)
    train, test = 50000 // len(names), 10000 // len(names)
    return DataInfo(
        name=name,
        title=title,
        source="suite.data.cifar:pack",
        size=SIDE,
        channels=3,
        class_names=names,
        published=dict.fromkeys(names, per_class),
        counts={"train": (train, 50000 - train), "test": (test, 10000 - test)},
        split_rule="as published",
        fixed_training=True,
        licence="free for research, cite the report",
        citation="Krizhevsky, Learning multiple layers of features from tiny images (2009)",
        url=URL,
        obtain=f"download {ARCHIVES[name][0]}, 0.2 GB",
        files=(ARCHIVES[name][0], FOLDERS[name]),
    )


CIFAR10 = _info("cifar10", "CIFAR-10", _TEN)
CIFAR100 = _info("cifar100", "CIFAR-100", _TWENTY)


def find(info: DataInfo, size: int, data_root: Path) -> Path | None:
    """The archive or the folder that has the set's files, or None."""
    for at in place.places(info, data_root):
        for path in (at.path, at.path / FOLDERS[info.name], at.path / ARCHIVES[info.name][0]):
            if path.is_file() or all((path / part).is_file() for part in PARTS[info.name]):
                return path
    return None


def fetch(info: DataInfo, size: int, data_root: Path) -> Path:
    """Download the official archive into ``data_root``."""
    name, md5 = ARCHIVES[info.name]
    address = f"https://www.cs.toronto.edu/~kriz/{name}"
    return download.download(info.name, address, data_root / name, kind="gzip", md5=md5)


def examine(info: DataInfo, path: Path) -> str:
    """A digest of the set's files; DataFault unless the archive or folder at ``path`` has them as published."""
    return _listing(_read(info, path))


def _listing(content: Mapping[str, bytes]) -> str:
    digests = (hashlib.sha256(content[part]).digest() for part in sorted(content))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def pack(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Contents:
    """Both splits at ``size`` px (see :mod:`suite.data.source`)."""
    import numpy as np

    from suite.data.decode import resize_all
    from suite.data.pack import missing
    from suite.data.source import Contents

    path = find(info, size, data_root)
    if path is None:
        raise DataMissing(missing(info))
    pixels, classes, splits, ids, fine = [], [], [], [], []
    content = _read(info, path)
    for part, (split, _) in PARTS[info.name].items():
        batch = unpickled(content[part], f"{path}: {part}")
        images = np.asarray(batch[b"data"], np.uint8).reshape(-1, 3, SIDE, SIDE)
        if size != SIDE:
            images = resize_all(images.transpose(0, 2, 3, 1), size).transpose(0, 3, 1, 2)
        pixels.append(images)
        classes.append(np.asarray(batch[LABELS[info.name]], np.int64))
        fine.append(np.asarray(batch.get(b"fine_labels", batch[LABELS[info.name]]), np.int64))
        splits.append(np.full(len(images), split, "<U5"))
        ids.append(np.array([f"{part}/{number:05d}" for number in range(len(images))]))
    return Contents(
        images=np.concatenate(pixels),
        classes=np.concatenate(classes),
        splits=np.concatenate(splits),
        ids=np.concatenate(ids),
        extras={"fine": np.concatenate(fine)} if info.name == "cifar100" else {},
        origin={"listing": _listing(content)},
    )


def _read(info: DataInfo, path: Path) -> dict[str, bytes]:
    """The content of the set's files by name, each with the published MD5."""
    parts = PARTS[info.name]
    with archive.opened(path) as source:
        named: dict[str, str] = {}
        for name in sorted(source.entries, key=lambda name: name.count("/"), reverse=True):
            above, _, part = name.rpartition("/")
            if part in parts and (not above or above.rpartition("/")[2] == FOLDERS[info.name]):
                named[part] = name
        if absent := sorted(set(parts) - set(named)):
            raise DataFault(f"{path} is not {info.title} for Python: it has no {', '.join(absent)}")
        content = {part: archive.content_of(source, named[part]) for part in parts}
    for part, (_, md5) in parts.items():
        found = hashlib.md5(content[part], usedforsecurity=False).hexdigest()
        if found != md5:
            raise DataFault(
                f"{path}: {part} is not the published file (MD5 {found}, not {md5}): get it again"
            )
    return content


def unpickled(content: bytes, what: str) -> Mapping[bytes, Any]:
    """A pickled dictionary of arrays and lists; DataFault for one that names anything else."""
    import pickle

    class Reader(pickle.Unpickler):
        """Knows what arrays are made of, and calls nothing else."""

        def find_class(self, module: str, name: str) -> Any:
            if (module.replace("numpy._core", "numpy.core"), name) not in _KNOWN:
                raise pickle.UnpicklingError(f"{module}.{name} has no place in it")
            return super().find_class(module, name)

    try:
        found = Reader(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise DataFault(f"{what} is not a file of CIFAR ({error})") from error
    if not isinstance(found, dict):
        raise DataFault(f"{what} is not a file of CIFAR (it holds no dictionary)")
    return found


_KNOWN = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
