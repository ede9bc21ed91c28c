"""Small pictures of the worst-scored images, from the packs at hand, where their licence lets them travel.

An image stands in the page once, however many runs have it among their worst. A pack that is not the one the run
saw (another content digest) shows nothing: its ids may mean other images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import registry
from suite.data.licence import redistributable
from suite.settings import nest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from suite.data.pack import Pack
    from suite.outcome import Outcome

SIDE = 64
"""Pixels at most; smaller images stay as they are."""
MOST = 1_000
"""Pictures in one report; the further ones are given by their id alone."""


class Thumbnails:
    """``wanted``: True shows the images of every pack at hand, False none, None those whose licence allows
    redistribution.
    """

    def __init__(self, wanted: bool | None, store_root: Path, data_root: Path | None) -> None:
        self._wanted, self._roots = wanted, (store_root, data_root)
        self._packs: dict[str, Pack | None] = {}
        self._made: dict[str, dict[str, str]] = {}
        self._places: dict[str, dict[str, int]] = {}
        self._count = 0

    def ask(self, outcome: Outcome, ids: Iterable[str]) -> str:
        """Make pictures of these images; the name that :meth:`images` has them under, empty without any."""
        pack = self._pack(outcome)
        if pack is None:
            return ""
        made = self._made.setdefault(pack.digest, {})
        places = self._places.get(pack.digest)
        if places is None:
            places = self._places[pack.digest] = {name: at for at, name in enumerate(pack.ids.tolist())}
        for name in ids:
            if name not in made and name in places and self._count < MOST:
                made[name] = picture(pack.images[places[name]])
                self._count += 1
        return pack.digest

    def images(self) -> dict[str, Any]:
        """Content digest -> the pictures by id, and whose they are."""
        infos = {pack.digest: pack.info for pack in self._packs.values() if pack is not None}
        return {
            digest: {
                "pictures": made,
                "source": infos[digest].title,
                "licence": infos[digest].licence,
                "citation": infos[digest].citation,
                "free": redistributable(infos[digest]),
            }
            for digest, made in self._made.items()
        }

    def _pack(self, outcome: Outcome) -> Pack | None:
        flat = {
            name.removeprefix("data."): value
            for name, value in outcome.settings.items()
            if name.startswith("data.")
        }
        digest = str(outcome.data.get("digest", ""))
        key = f"{outcome.dataset} {digest} {sorted(flat.items())}"
        if key not in self._packs:
            self._packs[key] = self._open(outcome.dataset, flat, digest)
        return self._packs[key]

    def _open(self, name: str, flat: Mapping[str, Any], digest: str) -> Pack | None:
        from suite.data import pack
        from suite.data.identity import DataSettings

        try:
            info = registry.dataset(name)
            if self._wanted is False or (self._wanted is None and not redistributable(info)):
                return None
            settings = DataSettings.parse(nest(flat))
            if not digest or pack.known_digest(info, settings, *self._roots) != digest:
                return None
            return pack.load(info, settings, *self._roots)
        except (registry.UnknownNameError, pack.DataMissing, pack.DataFault, ValueError, OSError):
            return None


def picture(image: NDArray[np.uint8]) -> str:
    """An image (C x H x W, uint8) as the address of a small PNG, or JPEG above 32 pixels, that holds the data."""
    from PIL import Image

    drawn = Image.fromarray(image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0))
    drawn.thumbnail((SIDE, SIDE))
    kind = "PNG" if max(drawn.size) <= 32 else "JPEG"
    buffer = io.BytesIO()
    drawn.save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
