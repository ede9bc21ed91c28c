"""Packing a user's images, as ``folder:PATH`` in a spec and ``suite data add`` do."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.case import Case, Work
from suite.data import pack, phantom
from suite.data.identity import DataSettings
from suite.registry import dataset

NORMAL, ANOMALOUS, SIZE = 700, 300, 28


def packing(scratch: Path) -> Work:
    """All files read, decoded, hashed, split, sorted and written; each time anew."""
    made = phantom.generate(NORMAL, ANOMALOUS, SIZE, 0)
    folder = scratch / "images"
    for number, (image, label) in enumerate(zip(made.images[:, 0], made.labels, strict=True)):
        path = folder / ("anomalous" if label else "normal") / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    info, settings = dataset(f"folder:{folder}"), DataSettings(size=SIZE)
    return Work(lambda: pack.load(info, settings, scratch / "packs", scratch / "data", anew=True), None)


def cases() -> list[Case]:
    return [Case("packing 1,000 images (28 px PNG files in a folder)", packing, 3)]
