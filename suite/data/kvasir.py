"""Kvasir v2 (supplement A.2): endoscopic images in eight folders of a thousand, polyps against the other seven.

The paper says 'polyp and non-polyp'; whether lifted and dyed polyps are polyps too it does not. Here they are
normal unless ``data.normal_class = [1, 2, 3, 4, 5, 7]`` says otherwise; every class is split, so one pack
serves both readings.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from suite.data import fetch as download
from suite.data import images
from suite.data.layout import class_folders
from suite.data.place import find
from suite.registry import DataInfo

ARCHIVE = "kvasir-dataset-v2.zip"
ADDRESS = f"https://datasets.simula.no/downloads/kvasir/{ARCHIVE}"
CLASSES = (
    *("dyed-lifted-polyps", "dyed-resection-margins", "esophagitis", "normal-cecum"),
    *("normal-pylorus", "normal-z-line", "polyps", "ulcerative-colitis"),
)

INFO = DataInfo(
    name="kvasir_polyp",
    title="Kvasir-polyp",
    source="suite.data.kvasir:pack",
    size=224,
    channels=3,
    normal_classes=(0, 1, 2, 3, 4, 5, 7),
    class_names=CLASSES,
    published=dict.fromkeys(CLASSES, 1000),
    counts={"train": (4900, 700), "test": (2100, 300)},
    split_rule="7:3 over every class",
    licence="free for research and education",
    citation="Pogorelov et al., MMSys 2017",
    url="https://datasets.simula.no/kvasir",
    obtain=f"download {ARCHIVE}, 2.3 GB",
    files=(ARCHIVE, "kvasir-dataset-v2"),
    faults=(
        "no official split and no patient ids, so a random split may divide a patient",
        "many images carry a green inset that shows the endoscope's position",
    ),
)

layout = class_folders
examine = partial(images.examine, layout=layout)
pack = partial(images.pack, layout=layout, unsplit="classes")


def fetch(info: DataInfo, size: int, data_root: Path) -> Path:
    """Download the archive into ``data_root``. The site publishes no digest, so what came is taken only if it
    is a whole archive of the eight folders; a damaged image shows when it is packed (CRC).
    """
    return download.download(
        info.name, ADDRESS, data_root / ARCHIVE, kind="zip", examine=lambda path: examine(info, path)
    )


__all__ = ["INFO", "examine", "fetch", "find", "pack"]
