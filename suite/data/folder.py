"""People's own images, with no code: ``folder:PATH`` in one of three layouts.

1. ``normal/`` and ``anomalous/``: the normal images are split 7:3 by the split seed, every anomalous one is a
test image. 2. MVTec's: ``train/good``, ``test/good`` and ``test/<defect>`` (and, if there, ``val/good`` and
``val/<defect>``). 3. A table ``images.csv`` or ``labels.csv`` in the folder (or ``folder:PATH/table.csv``)
with the columns ``id`` (the file's path beside the table), ``label`` and, if wanted, ``split``. Labels are
whole numbers (0 is normal) or words, one of which is ``normal`` or ``good``. Rows without a split are split
as in 1.

The digest of a pack depends on pixels, classes and splits alone, so the same images in another layout, order
or under other names are the same data.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from suite.data.archive import Files, visible
from suite.data.decode import decode_all
from suite.data.errors import DataFault, DataMissing
from suite.data.layout import SUFFIXES, is_image
from suite.data.source import SPLITS, Contents
from suite.registry import DataInfo

TABLES = ("images.csv", "labels.csv")
NORMAL_WORDS = ("normal", "good")
LAYOUTS = (
    "normal/ and anomalous/; or train/good/, test/good/ and test/<defect>/ (MVTec); or a table images.csv with the "
    "columns id,label,split"
)
_SHOWN = 5


@dataclass(frozen=True)
class Image:
    """One image file: its path, its path within the folder, class name and split (empty: not split)."""

    path: Path
    id: str
    label: str
    split: str = ""


def find(info: DataInfo, size: int, data_root: Path) -> Path | None:
    """The folder or table, if it exists."""
    origin = Path(info.origin)
    return origin if origin.exists() else None


def listing(info: DataInfo, data_root: Path) -> str:
    """A hash of names, sizes and times of the files, so that a changed folder is packed anew. Reads no image."""
    origin = Path(info.origin)
    paths = sorted(visible(origin))
    if origin.is_file():
        try:
            paths = [origin, *(origin.parent / row["id"] for _, row in _rows(origin))]
        except DataFault:
            paths = [origin]
    lines = [f"{os.path.relpath(path, origin)} {_state(path)}" for path in paths]
    return hashlib.sha256("\n".join([str(origin), *lines]).encode("utf-8", "surrogateescape")).hexdigest()


def _state(path: Path) -> str:
    try:
        state = path.stat()
    except OSError:
        return "absent"
    return f"{state.st_size} {state.st_mtime_ns}"


def pack(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Contents:
    """All images at ``size`` px, gray or colour as they are. DataFault names what is wrong and shows the
    layouts.
    """
    origin = Path(info.origin)
    if not origin.exists():
        raise DataMissing(f"{info.name} is not at hand: there is no {origin}")
    images = list(_images(origin))
    names = _class_names(images, origin)
    source = Files(origin, {i.id: i.path for i in images})
    decoded = decode_all(source, {i.id: i.id for i in images}, size, scratch, info.name)
    number = {name: index for index, name in enumerate(names)}
    return Contents(
        images=decoded.images,
        classes=np.array([number[i.label] for i in images], np.int64),
        splits=np.array([i.split for i in images], "<U5"),
        ids=np.array([i.id for i in images]),
        unsplit="normals",
        class_names=names,
    )


def _images(origin: Path) -> Iterator[Image]:
    table = origin if origin.is_file() else next((origin / t for t in TABLES if (origin / t).is_file()), None)
    if table is not None:
        return _from_table(table)
    folders = {p.name.lower(): p for p in origin.iterdir() if p.is_dir()}
    if "normal" in folders and "anomalous" in folders:
        return _from_two(origin, folders["normal"], folders["anomalous"])
    if "train" in folders and "test" in folders and (folders["train"] / "good").is_dir():
        return _from_mvtec(origin, folders)
    inside = ", ".join(sorted(f"{p.name}/" if p.is_dir() else p.name for p in origin.iterdir())[:_SHOWN])
    raise DataFault(f"{origin} ({inside or 'empty'}) has none of the known layouts: {LAYOUTS}")


def _below(root: Path, folder: Path, label: str, split: str = "") -> list[Image]:
    """The images below a folder; DataFault if there is none."""
    found = [p for p in visible(folder) if is_image(p.name)]
    if not found:
        raise DataFault(f"{folder} has no image ({', '.join(sorted(SUFFIXES))})")
    return [Image(p, p.relative_to(root).as_posix(), label, split) for p in found]


def _from_two(root: Path, normal: Path, anomalous: Path) -> Iterator[Image]:
    yield from _below(root, normal, "normal")
    yield from _below(root, anomalous, "anomalous")


def _from_mvtec(root: Path, folders: dict[str, Path]) -> Iterator[Image]:
    for split in SPLITS:
        for kind in sorted(p for p in folders[split].iterdir() if p.is_dir()) if split in folders else ():
            yield from _below(root, kind, "normal" if kind.name.lower() in NORMAL_WORDS else kind.name, split)


def _from_table(table: Path) -> Iterator[Image]:
    rows = _rows(table)
    faults = []
    for line, row in rows:
        name, split = row["id"], row.get("split", "").lower()
        relative = PurePosixPath(name)
        if not name or relative.is_absolute() or ".." in relative.parts:
            faults.append(f"line {line}: id {name!r} is not a path inside {table.parent}")
        elif not row["label"]:
            faults.append(f"line {line}: {name} has no label")
        elif split not in ("", *SPLITS):
            faults.append(f"line {line}: split {split!r} is not train, val or test")
        elif not (table.parent / relative).is_file():
            faults.append(f"line {line}: there is no file {name}")
        else:
            yield Image(table.parent / relative, name, row["label"].lower(), split)
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataFault(f"{table}: {'; '.join(faults[:_SHOWN])}{more}")
    names = [row["id"] for _, row in rows]
    if repeated := sorted(
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    ):
        raise DataFault(f"{table}: ids that stand there twice: {', '.join(repeated[:_SHOWN])}")


def _rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows with their line numbers, stripped."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            header = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            rows = [
                (reader.line_num, {k: (v or "").strip() for k, v in row.items() if isinstance(k, str)})
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataFault(f"{table} is not a readable table: {error}") from error
    if not {"id", "label"} <= set(header):
        raise DataFault(
            f"{table} has the columns {', '.join(header) or 'none'}; it needs id,label and may have split"
        )
    if not rows:
        raise DataFault(f"{table} has no rows")
    return rows


def _class_names(images: list[Image], origin: Path) -> tuple[str, ...]:
    """The class names, the normal one first: class 0."""
    labels = sorted({i.label for i in images})
    if all(label.isdecimal() for label in labels):
        if "0" not in labels:
            raise DataFault(
                f"{origin}: no image has the label 0, the normal class (labels: {', '.join(labels)})"
            )
        return tuple(str(number) for number in range(int(max(labels, key=int)) + 1))
    normal = next((word for word in NORMAL_WORDS if word in labels), None)
    if normal is None:
        raise DataFault(f"{origin}: no label is 'normal' or 'good' (labels: {', '.join(labels[:_SHOWN])})")
    return (normal, *(label for label in labels if label != normal))
