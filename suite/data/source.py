"""What the module of a data set hands over to be packed, and where files at hand are looked for.

A data set's ``source`` is a function ``pack(info, size, data_root, scratch) -> Contents``; beside it, in the
same module, may stand:

``find(info, size, data_root) -> Path | None``: are the files at hand? Cheap, no reading; without it the set
counts as embedded. ``fetch(info, size, data_root) -> Path``: download them, checked; with ``AUTOMATIC = True``
beside it a run does so by itself. ``examine(info, path) -> str``: for ``suite data add``: DataFault unless the
archive or folder at ``path`` is the set, else a digest of what it lists. ``DIGESTS``: content digests by name
and size, where they are known.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from suite.data.imagefile import ImageFile

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Contents:
    """A data set before packing, in any order: packing sorts it so that the source's order leaves no trace.

    ``images``: uint8, N x C x H x W, C 1 or 3; an array or an :class:`~suite.data.imagefile.ImageFile`, which
    may lie in ``scratch``, a folder that goes away afterwards. ``classes``: N integers, the labels of the
    source. ``splits``: N of ``train``, ``val``, ``test``, or empty where the source has none: such images are
    split 7:3 by ``unsplit``: ``normals`` splits the normal ones and puts all others into the test set,
    ``classes`` splits every class. ``extras``: further arrays of length N to be kept. ``origin``: plain JSON
    that the manifest keeps: what was read.
    """

    images: NDArray[np.uint8] | ImageFile
    classes: NDArray[np.int64]
    splits: NDArray[np.str_]
    ids: NDArray[np.str_]
    unsplit: Literal["normals", "classes"] = "normals"
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)


def default_data_root() -> Path:
    """Where source files are looked for and downloaded to: ``SUITE_DATA``, else a folder of the user's
    cache.
    """
    given = os.environ.get("SUITE_DATA")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "dissolving-suite" / "data"
