"""Which data sets there are, as facts that cost nothing to import (supplement A.2 for the paper's six).

The facts of most sets stand in modules of their own, those of MedMNIST and the phantom here. Besides the
shipped ones, any 2D set of MedMNIST goes by its name (``derma_mnist``), and people's own images by
``folder:PATH``. Neither numpy nor torch is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from suite.data import aptos, cifar, digits, kvasir, oct, sars
from suite.registry import DataInfo

FOLDER = "folder:"

_MEDMNIST_CITATION = "Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023)"
_MEDMNIST_URL = "https://medmnist.com"

# Stem of the name: channels, normal class (the one that is called normal, where one is), class names by label.
_ORGANS = (
    "bladder, left femur, right femur, heart, left kidney, right kidney, liver, left lung, right lung, pancreas, "
    "spleen"
)
_MEDMNIST: dict[str, tuple[int, int, str]] = {
    "path": (
        3,
        6,
        "adipose, background, debris, lymphocytes, mucus, smooth muscle, normal mucosa, stroma, adenocarcinoma",
    ),
    "chest": (1, 0, "no finding, any finding"),
    "derma": (
        3,
        0,
        "actinic keratoses, basal cell carcinoma, benign keratosis, dermatofibroma, melanoma, nevi, vascular",
    ),
    "oct": (1, 3, "choroidal neovascularization, diabetic macular edema, drusen, normal"),
    "retina": (3, 0, "grade 0, grade 1, grade 2, grade 3, grade 4"),
    "blood": (
        3,
        0,
        "basophil, eosinophil, erythroblast, immature, lymphocyte, monocyte, neutrophil, platelet",
    ),
    "tissue": (
        1,
        0,
        "collecting duct, distal tubule, glomerular, interstitial, leukocytes, podocytes, proximal tubule, limb",
    ),
    "organa": (1, 0, _ORGANS),
    "organc": (1, 0, _ORGANS),
    "organs": (1, 0, _ORGANS),
}


def _medmnist(stem: str, **facts: Any) -> DataInfo:
    return DataInfo(
        name=f"{stem}_mnist",
        source="suite.data.medmnist:pack",
        size=28,
        validation=True,
        split_rule="as published",
        licence="CC BY-NC 4.0" if stem == "derma" else "CC BY 4.0",
        citation=_MEDMNIST_CITATION,
        url=_MEDMNIST_URL,
        **facts,
    )


_PHANTOM: dict[str, Any] = {
    "source": "suite.data.phantom:pack",
    "size": 32,
    "channels": 1,
    "validation": True,
    "licence": "Apache-2.0 (generated)",
    "stand_in": True,
}

_ALL = (
    _medmnist(
        "pneumonia",
        title="PneumoniaMNIST",
        channels=1,
        class_names=("normal", "pneumonia"),
        counts={"train": (1214, 3494), "val": (135, 389), "test": (234, 390)},
        faults=("8 images stand in both train and val", "3 pairs of equal images inside test"),
    ),
    _medmnist(
        "breast",
        title="BreastMNIST",
        channels=1,
        normal_classes=(1,),
        class_names=("malignant", "normal or benign"),
        counts={"train": (399, 147), "val": (57, 21), "test": (114, 42)},
        faults=("one image stands in train as malignant and in test as benign",),
    ),
    sars.INFO,
    kvasir.INFO,
    oct.INFO,
    aptos.INFO,
    cifar.CIFAR10,
    cifar.CIFAR100,
    digits.INFO,
    DataInfo(
        name="phantom",
        title="Phantom (fine)",
        class_names=("normal", "small lesions"),
        lesions=True,
        **_PHANTOM,
    ),
    DataInfo(
        name="phantom_coarse",
        title="Phantom (coarse)",
        class_names=("normal", "opacity or missing lung"),
        **_PHANTOM,
    ),
)

SHIPPED: dict[str, DataInfo] = {info.name: info for info in _ALL}


def every() -> tuple[DataInfo, ...]:
    """All sets that have a name: the shipped ones and the rest of MedMNIST."""
    return (*SHIPPED.values(), *(info for stem in _MEDMNIST if (info := resolve(f"{stem}_mnist"))))


def resolve(name: str) -> DataInfo | None:
    """The facts of a set that is not registered one by one: another MedMNIST 2D set, or ``folder:PATH``;
    else None.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    if name.startswith(FOLDER):
        return _folder(name.removeprefix(FOLDER))
    stem = name.removesuffix("_mnist")
    if stem == name or stem not in _MEDMNIST:
        return None
    channels, normal, names = _MEDMNIST[stem]
    initials = {"oct": "OCT", **{f"organ{view}": f"Organ{view.upper()}" for view in "acs"}}
    return _medmnist(
        stem,
        title=f"{initials.get(stem, stem.title())}MNIST",
        channels=channels,
        normal_classes=(normal,),
        class_names=tuple(names.split(", ")),
    )


def _folder(path: str) -> DataInfo | None:
    """A folder of one's own images, or a CSV of them.

    A name stands in the keys, and keys must not change when a project moves or a colleague repeats it. So a
    relative path is its own name (it moves with the project), and an absolute one (or ``~``) is named by its
    last part only, for a CSV by its last two. Where the files lie is ``origin``: provenance. Two folders that
    would share a name are refused within a plan by :func:`clash`; over time, the content digest in the
    outcomes tells them apart.
    """
    if not path.strip():
        return None
    given = Path(path).expanduser()
    origin = Path(os.path.abspath(given))
    last = 2 if origin.suffix.lower() == ".csv" else 1
    relative = (
        not given.is_absolute() and ".." not in Path(os.path.normpath(given)).parts and origin != Path.cwd()
    )
    name = Path(os.path.normpath(given)) if relative else Path(*origin.parts[1:][-last:])
    return DataInfo(
        name=f"{FOLDER}{name.as_posix()}",
        title=origin.stem if last == 1 else f"{origin.parent.name}/{origin.stem}",
        source="suite.data.folder:pack",
        size=224,
        channels=0,
        class_names=("normal", "anomalous"),
        licence="the user's own",
        obtain=f"give folder: the path of a folder that exists; {origin} does not",
        origin=str(origin),
    )


def clash(names: Iterable[str]) -> str | None:
    """One line if two of these data sets are different folders under one name (they would share their
    keys), else None.
    """
    seen: dict[str, str] = {}
    for name in names:
        info = resolve(name) if name.startswith(FOLDER) else None
        if info and seen.setdefault(info.name, info.origin) != info.origin:
            return (
                f"{seen[info.name]} and {info.origin} are both named {info.name}: rename one of the two folders, "
                "or give both by paths relative to the current folder"
            )
    return None
