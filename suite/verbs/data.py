"""Verbs on data sets: ``suite data list``, ``fetch`` and ``add``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from suite import files, registry
from suite.data import pack as packs
from suite.data.build import beside
from suite.data.errors import DataFault, DataMissing
from suite.data.source import default_data_root
from suite.registry import DataInfo
from suite.verbs.common import OK, USAGE, Ask, console, grid, say, say_json


def list_(ask: Ask, *, as_json: bool = False) -> int:
    """Print every set with its facts, and whether it is at hand or how to get it."""
    entries = [_entry(info, ask) for info in known()]
    if as_json:
        say_json(entries)
        return OK
    header = ("data set", "title", "px", "normal / anomalous", "split", "licence", "at hand, or the command")
    rows = [
        (e["name"], e["title"], str(e["size"]), _numbers(e), e["split"], e["licence"], e["state"])
        for e in entries
    ]
    grid(header, rows)
    say("besides, folder:PATH takes your own images: normal/ and anomalous/, MVTec's layout, or a CSV")
    return OK


def known() -> list[DataInfo]:
    """The facts of every set that has a name."""
    from suite.data import catalogue

    return list({info.name: info for info in (*registry.datasets().values(), *catalogue.every())}.values())


def _entry(info: DataInfo, ask: Ask) -> dict[str, Any]:
    at = packed(info, ask)
    return {
        "name": info.name,
        "title": info.title,
        "size": info.size,
        "channels": info.channels,
        "classes": list(info.class_names),
        "normal_classes": list(info.normal_classes),
        "published": dict(info.published),
        "counts": {split: list(numbers) for split, numbers in info.counts.items()},
        "split": info.split_rule,
        "licence": info.licence,
        "citation": info.citation,
        "url": info.url,
        "known_faults": list(info.faults),
        "stand_in": info.stand_in,
        "packed": at,
        "command": packs.command(info),
        "state": _state(info, ask, at),
    }


def packed(info: DataInfo, ask: Ask) -> dict[str, str]:
    """Size to digest of the packs in the store."""
    found = {}
    for path in sorted((ask.store / "artefacts" / "data").glob("*/manifest.json")):
        manifest = files.peek_json(path)
        if manifest.get("name") == info.name:
            found[int(manifest.get("size", 0))] = str(manifest.get("digest"))
    return {str(size): digest for size, digest in sorted(found.items())}


def _state(info: DataInfo, ask: Ask, sizes_at: dict[str, str]) -> str:
    sizes = f"packed at {', '.join(sizes_at)} px" if sizes_at else ""
    look = beside(info, "find")
    if look is None:
        return sizes or "built in"
    at = look(info, info.size, ask.data_root or default_data_root())
    return sizes or (str(at) if at else packs.command(info) or info.obtain)


def _numbers(entry: dict[str, Any]) -> str:
    """``1,230 / 1,252``, from what was published."""
    if entry["published"]:
        normal = sum(entry["published"][entry["classes"][at]] for at in entry["normal_classes"])
        return f"{normal:,} / {sum(entry['published'].values()) - normal:,}"
    return " / ".join(f"{sum(numbers):,}" for numbers in zip(*entry["counts"].values(), strict=True))


def fetch(ask: Ask, names: list[str], sizes: tuple[int, ...]) -> int:
    """Download the named sets where that may be done, and say how to get the others (exit code 2 if any)."""
    root = ask.data_root or default_data_root()
    infos = [registry.dataset(name) for name in names]
    faults: list[str] = []
    for info in infos:
        for size in sizes or (info.size,):
            try:
                if line := _fetch(info, size, root):
                    say(line)
            except (DataMissing, DataFault) as error:
                faults.append(str(error))
    for fault in dict.fromkeys(faults):
        say(fault)
    return USAGE if faults else OK


def _fetch(info: DataInfo, size: int, root: Path) -> str:
    look, download = beside(info, "find"), beside(info, "fetch")
    if look is None:
        return f"{info.name} needs no files"
    if at := look(info, size, root):
        return f"{info.name} is at hand: {at}"
    if download is None:
        raise DataMissing(packs.missing(info))
    with shown():
        at = download(info, size, root)
    return f"{info.name} is at hand: {at} (licence: {info.licence}; cite {info.citation})"


def add(ask: Ask, name: str, path: Path, sizes: tuple[int, ...], *, skip_faulty: bool = False) -> int:
    """Take in an archive or a folder: pack it, and remember where it lies."""
    from suite.data.add import add as take_in

    info = registry.dataset(name)
    root = ask.data_root or default_data_root()
    with shown():
        added = take_in(info, path, sizes, ask.store, root, skip_faulty=skip_faulty)
    for one in added:
        _, channels, side, _ = one.pack.images.shape
        counts = packs.manifest(info, _at(side), ask.store, root)["counts"]
        parts = ", ".join(f"{split} {n} + {a}" for split, (n, a) in counts.items() if n or a)
        done = "packed" if one.made else "was packed already"
        say(
            f"{name} {done}: {len(one.pack.ids)} images, {channels} x {side} x {side} (normal + anomalous: {parts})"
        )
        say(f"  digest {one.pack.digest[:12]}, {one.pack.folder}")
    for line in added[0].pack.notes:
        say(f"  note: {line}")
    say(f"  {path} is read again when another size is packed: leave it where it is")
    return OK


def _at(size: int) -> Any:
    from suite.data.identity import DataSettings

    return DataSettings(size=size)


@contextmanager
def shown() -> Iterator[None]:
    """Show a bar for each long piece of work within, on a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from suite.data import progress

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=screen, transient=True) as bars:

        def listen(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done)

        with progress.told_to(listen):
            yield
