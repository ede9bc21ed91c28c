"""Taking in a set that a user has got: an archive or the folder unpacked from it, as its site serves it.

What is added stays where it is and is noted in the data root (:mod:`suite.data.place`), since another size is
packed from it later; moving it means adding it again. It is looked through first, so that a wrong archive
changes nothing, and packed at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from suite import files
from suite.data import pack as packs
from suite.data import place
from suite.data.build import beside
from suite.data.errors import DataFault
from suite.data.identity import DataSettings
from suite.data.pack import Pack
from suite.data.place import Place
from suite.registry import DataInfo


@dataclass(frozen=True)
class Added:
    """A pack, and whether it was made just now (or was there, of the same files)."""

    pack: Pack
    made: bool


def add(
    info: DataInfo,
    path: Path,
    sizes: tuple[int, ...],
    store_root: Path,
    data_root: Path,
    *,
    skip_faulty: bool = False,
) -> list[Added]:
    """Pack the set at ``path`` at some sizes and note where it lies.

    ``skip_faulty``: images that cannot be read are left out, which the pack's manifest says. DataMissing and
    DataFault say what stands in the way; then nothing has changed.
    """
    examine = beside(info, "examine")
    if examine is None:
        how = packs.command(info) or "name it in a spec"
        raise DataFault(f"{info.name} is not a set that is added: {how}")
    at = Place(path.expanduser().resolve(), skip_faulty)
    listing = examine(info, at.path)
    before = _note(info, data_root, at)
    added: list[Added] = []
    try:
        for size in sizes or (info.size,):
            settings = DataSettings(size=size)
            fresh = _fresh(packs.manifest(info, settings, store_root, data_root), listing, skip_faulty)
            pack = packs.load(info, settings, store_root, data_root, anew=not fresh)
            added.append(Added(pack, not fresh))
    except Exception:
        _restore(info, data_root, before)
        raise
    return added


def _fresh(manifest: dict[str, object], listing: str, skip_faulty: bool) -> bool:
    """Whether a pack was made of the same files, with none left out that now may not be."""
    origin = manifest.get("origin")
    if not isinstance(origin, dict) or origin.get("listing") != listing:
        return False
    return skip_faulty or not origin.get("skipped")


def _note(info: DataInfo, data_root: Path, at: Place) -> str | None:
    """Note the place unless the data root leads there anyway; what the note said before."""
    note = place.note_of(info, data_root)
    before = note.read_text(encoding="utf-8") if note.is_file() else None
    if place.place_of(info, data_root) != at:
        try:
            place.note(info, data_root, at)
        except OSError as error:
            raise DataFault(
                f"{note} cannot be written ({error.strerror}), so {info.name} would not be found again: give "
                "--data-root a folder that you may write to"
            ) from error
    return before


def _restore(info: DataInfo, data_root: Path, before: str | None) -> None:
    note = place.note_of(info, data_root)
    if before is None:
        note.unlink(missing_ok=True)
    elif note.read_text(encoding="utf-8") != before:
        files.write_text(note, before)
