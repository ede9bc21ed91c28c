"""Which data a run uses, as settings and as the part of its key that can be known without the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from suite.registry import DataInfo
from suite.settings import Int, Settings, setting

_SPLIT_NAMES = {"train": "training", "test": "test"}
LESIONS = ("lesion_radius", "lesion_contrast")
SPLIT_SEED = 0
"""The split is the data set's, not the run's: all seeds share it."""


class DataSettings(Settings):
    """``data.*`` of a spec. ``size`` and ``normal_class`` default to the data set's own.

    ``split``: ``paper`` as published, ``clean`` without exact duplicates. ``group``: what a split of our own
    never parts: equal images (``exact``), or near-duplicates too (``phash``: slices of one patient); with
    ``clean``, near-duplicates of scored images are not trained on either. ``contamination``: the proportion
    of the training set that is anomalous (Table 10). ``max_train``: at most this many training images, drawn
    by the split seed. ``lesion_radius`` (in half sides of the image) and ``lesion_contrast`` (a grey value of
    0 to 1): of the phantom's lesions, which are only in what is scored; nothing on a set of another making.
    """

    size: Annotated[Int, Field(ge=8, le=1024)] | None = setting(None)
    split: Literal["paper", "clean"] = setting("paper")
    normal_class: tuple[Int, ...] | None = setting(None)
    contamination: float = setting(0.0, ge=0, lt=1)
    max_train: Annotated[Int, Field(ge=1)] | None = setting(None)
    group: Literal["exact", "phash"] = setting("exact", neutral="exact")
    lesion_radius: Annotated[float, Field(gt=0, le=0.3)] | None = setting(None, neutral=None)
    lesion_contrast: Annotated[float, Field(gt=0, le=1)] | None = setting(None, neutral=None)


def data_identity(info: DataInfo, settings: DataSettings, *, cut_validation: bool = False) -> dict[str, Any]:
    """The data part of a train key: plain JSON, known without the data. Neutral entries are left out.

    ``cut_validation``: a validation split is cut from the training set because the set has none and one is
    asked for.
    """
    size = settings.size or info.size
    if info.sizes and size not in info.sizes:
        raise ValueError(f"{info.name} comes in sizes {', '.join(map(str, info.sizes))}, not {size}")
    identity: dict[str, Any] = {
        "name": info.name,
        "recipe": info.recipe,
        "size": size,
        "split": settings.split,
        "split_seed": SPLIT_SEED,
        "normal_class": sorted(settings.normal_class or info.normal_classes),
    }
    if settings.group != "exact":
        identity["group"] = settings.group
    if settings.contamination:
        identity["contamination"] = settings.contamination
    if settings.max_train is not None:
        identity["max_train"] = settings.max_train
    if cut_validation and not info.validation:
        identity["validation"] = "cut"
    return identity


def lesions(info: DataInfo, settings: DataSettings) -> dict[str, float]:
    """The lesions asked for, where the set makes its own: part of the evaluation's key and of the pack's, but
    not of the training's, since no training image has any.
    """
    asked = {name: getattr(settings, name) for name in LESIONS} if info.lesions else {}
    return {name: value for name, value in asked.items() if value is not None}


def scored(data: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The identity of the data that an evaluation scores: the training's, with the lesions asked for."""
    return {**data, **evaluation.get("lesions", {})}


def unknown_class(info: DataInfo, identity: Mapping[str, Any]) -> str:
    """One line if a normal class is none of the set's, as far as its facts tell; else the empty string."""
    count = len(info.class_names)
    unknown = [str(one) for one in identity["normal_class"] if not 0 <= one < count]
    return (
        f"{info.name} has the classes 0 to {count - 1}, not {', '.join(unknown)}" if count and unknown else ""
    )


def contamination_count(normals: int, ratio: float) -> int:
    """How many anomalies make up ``ratio`` of a training set beside ``normals`` normal images, rounded
    down.
    """
    return int(ratio * normals / (1 - ratio) + 1e-9)


def at_most(available: int, identity: Mapping[str, Any], *, contaminated: bool = True) -> int:
    """How many of the normal training images ``max_train`` leaves, with room for the contamination."""
    limit = identity.get("max_train")
    if limit is None:
        return available
    room = 1 - float(identity.get("contamination", 0.0)) if contaminated else 1.0
    return min(available, max(1, int(limit * room + 1e-9)))


def too_contaminated(identity: Mapping[str, Any], normals: int, spare: int, split: str) -> str:
    """One line if the contamination asked for needs more anomalies than the ``spare`` ones of ``split``
    (``train``, or ``test`` where all anomalies are there), else the empty string. ``normals``: the normal
    training images, before ``max_train``.
    """
    ratio = float(identity.get("contamination", 0.0))
    beside = at_most(normals, identity)
    count = contamination_count(beside, ratio)
    # Of the anomalies of a test set, one at least has to stay there.
    if count <= spare - (split == "test") or not count:
        return ""
    return (
        f"{identity['name']}: a contamination of {ratio:g} beside {beside} normal images needs {count} anomalies, "
        f"and the {_SPLIT_NAMES[split]} split has {spare}: lower data.contamination"
    )


def known_to_be_too_contaminated(info: DataInfo, identity: Mapping[str, Any]) -> str:
    """:func:`too_contaminated` by the published counts, without the data; empty where they do not tell."""
    usual = identity["normal_class"] == sorted(info.normal_classes)
    if not usual or identity["split"] != "paper" or "validation" in identity or "train" not in info.counts:
        return ""
    normals, spare = info.counts["train"]
    if spare:
        return too_contaminated(identity, normals, spare, "train")
    return too_contaminated(identity, normals, info.counts.get("test", (0, 0))[1], "test")


def data_settings(identity: Mapping[str, Any]) -> DataSettings:
    """The data settings that a data identity stands for."""
    names = set(DataSettings.model_fields) & set(identity)
    return DataSettings.parse({name: identity[name] for name in names})
