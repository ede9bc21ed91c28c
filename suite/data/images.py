"""Sets of image files: from an archive or a folder to what is packed.

The modules of such sets state their facts and layout; ``pack`` and ``examine`` here do the rest, with the
layout bound by ``functools.partial``. numpy and PIL are imported only where pixels are touched, so that the
facts stay cheap.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from suite.data import archive, place
from suite.data.errors import DataMissing
from suite.data.layout import Layout, listing, several
from suite.registry import DataInfo

if TYPE_CHECKING:
    from suite.data.source import Contents


def examine(info: DataInfo, path: Path, *, layout: Layout) -> str:
    """A digest of the set's listing; DataFault says why the archive or folder at ``path`` is not the set."""
    with archive.opened(path) as source:
        return listing(source, layout(info, source))


def pack(
    info: DataInfo,
    size: int,
    data_root: Path,
    scratch: Path,
    *,
    layout: Layout,
    unsplit: Literal["normals", "classes"] = "normals",
) -> Contents:
    """All images at ``size`` px (see :mod:`suite.data.source`)."""
    import numpy as np

    from suite.data.decode import decode_all
    from suite.data.pack import missing
    from suite.data.source import Contents

    at = place.place_of(info, data_root)
    if at is None:
        raise DataMissing(missing(info))
    with archive.opened(at.path) as source:
        chosen = layout(info, source)
        decoded = decode_all(
            source,
            {item.id: item.name for item in chosen.items},
            size,
            scratch,
            info.name,
            channels=info.channels,
            skip_faulty=at.skip_faulty,
            advice=f"`suite data add {info.name} {at.path} --skip-faulty` leaves them out",
        )
        digest = listing(source, chosen)
    kept = [chosen.items[row] for row in decoded.rows]
    faults = decoded.faults
    left_out = (f"left out by choice: {len(faults)} faulty images ({several(faults)})",) if faults else ()
    return Contents(
        images=decoded.images,
        classes=np.array([item.label for item in kept], np.int64),
        splits=np.array([item.split for item in kept], "<U5"),
        ids=np.array([item.id for item in kept]),
        unsplit=unsplit,
        notes=(*chosen.notes, *left_out),
        origin={"listing": digest, "skipped": list(faults)},
    )
