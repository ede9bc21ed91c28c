"""``suite data verify``: whether the sets at hand are what they should be."""

from __future__ import annotations

from typing import Any

from suite import registry
from suite.data import pack as packs
from suite.data.errors import DataFault, DataMissing
from suite.data.identity import DataSettings
from suite.registry import DataInfo
from suite.verbs.common import FAILED, OK, Ask, grid, say, say_json
from suite.verbs.data import known, packed, shown

_SHORT = 12


def verify(
    ask: Ask, names: list[str], sizes: tuple[int, ...], *, near: bool = False, as_json: bool = False
) -> int:
    """Print what was found in the named sets, or in all of them; exit code 1 when one that is present is wrong.

    A set that is at hand and not packed yet is packed first. One that is absent is no fault: the command that
    gets it is said.
    """
    infos = [registry.dataset(name) for name in dict.fromkeys(names)] if names else known()
    entries: list[dict[str, Any]] = []
    with shown():
        for info in infos:
            for size in sizes or tuple(map(int, packed(info, ask))) or (info.size,):
                entries.append(_entry(info, size, ask, near=near))
    if as_json:
        say_json(entries)
    else:
        _show(entries, near=near)
    return FAILED if any(entry["wrong"] for entry in entries) else OK


def _entry(info: DataInfo, size: int, ask: Ask, *, near: bool) -> dict[str, Any]:
    from suite.data.verify import verify as look_through

    entry: dict[str, Any] = {"name": info.name, "size": size, "present": True, "wrong": (), "notes": ()}
    settings = DataSettings(size=size)
    if packs.find(info, settings, ask.store, ask.data_root) is None:
        how = packs.command(info) or info.obtain
        return entry | {"present": False, "ok": None, "command": how}
    try:
        pack = packs.load(info, settings, ask.store, ask.data_root, heal=False)
        return entry | look_through(pack, near=near).plain()
    except (DataFault, DataMissing) as error:
        return entry | {"ok": False, "wrong": (str(error),)}


def _show(entries: list[dict[str, Any]], *, near: bool) -> None:
    header = ["data set", "px", "content", "images", "repeated", "in two splits", "two labels"]
    header += ["near-duplicates"] * near
    grid(header, [_row(entry, near=near) for entry in entries])
    for entry in entries:
        where = f"{entry['name']} at {entry['size']} px"
        for line in entry["wrong"]:
            say(f"WRONG {where}: {line}")
        for line in entry["notes"]:
            say(f"{where}: {line}")


def _row(entry: dict[str, Any], *, near: bool) -> list[str]:
    row = [entry["name"], str(entry["size"])]
    if "digest" not in entry:
        cells = ["unreadable"] if entry["present"] else [f"absent: {entry['command']}"]
        return [*row, *cells, *[""] * (4 + near)]
    if entry["wrong"]:
        content = "WRONG"
    else:
        content = "official" if entry["official"] else "as counted" if entry["published"] else "whole"
    images = "; ".join(f"{split} {_by_class(classes)}" for split, classes in entry["counts"].items())
    row += [f"{content} ({entry['digest'][:_SHORT]})", images, _told(entry["duplicates"])]
    row += [_told(entry["leaks"]), str(entry["conflicts"] or "none")]
    if near:
        found = entry["near"]
        told = f"{found['groups']} groups of {found['images']} images, the largest {found['largest']}"
        row.append(f"{told}; in two splits: {_told(found['across'])}" if found["groups"] else "none")
    return row


def _by_class(classes: dict[str, int]) -> str:
    """``1,214 normal + 3,494 pneumonia``; with many classes their number and the sum."""
    if len(classes) > 3:
        return f"{sum(classes.values()):,} of {len(classes)} classes"
    return " + ".join(f"{count:,} {name}" for name, count in classes.items())


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} ({where})" for where, count in counts.items()) or "none"
