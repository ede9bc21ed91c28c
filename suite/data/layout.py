"""Which files of an archive or folder are the images of a set, and what they show.

Sites serve images sorted into folders, with or without further levels above and with things beside them. Where
the folders are is found out; what is left out is said.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from suite.data.archive import Source
from suite.data.errors import DataFault
from suite.registry import DataInfo

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".ppm"})
_SHOWN = 5


@dataclass(frozen=True)
class Item:
    """An image: its name in the source, its id (the same in any container), its class, and its split if it has
    one.
    """

    name: str
    id: str
    label: int
    split: str = ""


@dataclass(frozen=True)
class Chosen:
    """The images of a set, by rising id, and a line for each kind of file that was left out."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()


Layout = Callable[[DataInfo, Source], Chosen]


def is_image(name: str) -> bool:
    """Whether a file is one by its suffix."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def several(things: Iterable[str], shown: int = _SHOWN) -> str:
    """The first few of some names, and how many more there are."""
    every = list(things)
    more = f"; and {len(every) - shown} more" if len(every) > shown else ""
    return "; ".join(every[:shown]) + more


def listing(source: Source, chosen: Chosen) -> str:
    """A digest of what a set lists, the same for an archive and the folder unpacked from it."""
    lines = (f"{i.id} {i.label} {i.split} {source.entries[i.name].size}" for i in chosen.items)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def class_folders(
    info: DataInfo, source: Source, splits: Sequence[str] = (), unused: Sequence[str] = ()
) -> Chosen:
    """The images in folders named as the classes are (``[any/levels/][split/]class/image``), each class and
    split there. ``unused``: splits that may be there and are left out.

    A set that stands there twice, file by file the same, is taken once. DataFault when the folders are not
    there, or stand in two places that differ.
    """
    classes = {name.casefold(): at for at, name in enumerate(info.class_names)}
    depth = 2 + bool(splits)
    found: dict[tuple[str, ...], list[Item]] = defaultdict(list)
    beside: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in source.entries:
        parts = tuple(part.strip() for part in name.split("/"))
        label = classes.get(parts[-2].casefold()) if len(parts) >= depth else None
        split = parts[-3].casefold() if splits and len(parts) >= depth else ""
        if label is None or (splits and split not in (*splits, *unused)):
            continue
        where = parts[:-depth]
        if not is_image(name) or split in unused:
            beside[where].append(name)
            continue
        inside = (*((split,) if splits else ()), info.class_names[label], parts[-1])
        found[where].append(Item(name, unicodedata.normalize("NFC", "/".join(inside)), label, split))
    needed = {(split, label) for split in (splits or ("",)) for label in classes.values()}
    whole = [where for where, items in found.items() if needed <= {(i.split, i.label) for i in items}]
    if not whole:
        raise DataFault(_not_there(info, source, splits))
    whole.sort(key=lambda where: (len(where), where))
    for other in whole[1:]:
        if _content(source, found[other]) != _content(source, found[whole[0]]):
            places = " and ".join("/".join(where) or "its top" for where in (whole[0], other))
            raise DataFault(f"{source.path} holds {info.title} twice, and differently: in {places}")
    items = tuple(sorted(found[whole[0]], key=lambda item: item.id))
    copies = {item.name for where in whole for item in found[where]}
    extra = {name for where in whole for name in beside[where]}
    away = [name for name in source.entries if is_image(name) and name not in copies | extra]
    notes = _left_out("in", source, beside[whole[0]]) + _left_out("beside", source, away)
    return Chosen(items, notes)


def _content(source: Source, items: Iterable[Item]) -> set[tuple[str, int]]:
    return {(item.id, source.entries[item.name].size) for item in items}


def _left_out(where: str, source: Source, names: Sequence[str]) -> tuple[str, ...]:
    """One line on files that are no part of the set."""
    if not names:
        return ()
    kind = "images" if any(map(is_image, names)) else "files that are no images"
    tops = dict.fromkeys(name.rpartition("/")[0] or name for name in names)
    return (f"left out: {len(names)} {kind} {where} its folders ({several(tops, 3)})",)


def _not_there(info: DataInfo, source: Source, splits: Sequence[str]) -> str:
    folders = dict.fromkeys("/".join(name.split("/")[:-1][-2:]) or name for name in source.entries)
    wanted = ", ".join(f"{name}/" for name in info.class_names)
    within = f" inside {' and '.join(f'{split}/' for split in splits)}" if splits else ""
    return (
        f"{source.path} is not {info.title}: it should hold the folders {wanted} with images{within}, "
        f"and holds {several(folders) or 'nothing'}"
    )
