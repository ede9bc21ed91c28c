"""Which data a run uses, as settings and as the part of its key that can be known without the data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from suite.registry import DataInfo
from suite.settings import Int, Settings, setting

SPLIT_SEED = 0
"""The split is the data set's, not the run's: all seeds share it."""


class DataSettings(Settings):
    """``data.*`` of a spec. ``size`` and ``normal_class`` default to the data set's own.

    ``split``: ``paper`` as published, ``clean`` without exact duplicates. ``contamination``: the proportion
    of the training set that is anomalous (Table 10). ``max_train``: at most this many training images, drawn
    by the split seed.
    """

    size: Annotated[Int, Field(ge=8, le=1024)] | None = setting(None)
    split: Literal["paper", "clean"] = setting("paper")
    normal_class: tuple[Int, ...] | None = setting(None)
    contamination: float = setting(0.0, ge=0, lt=1)
    max_train: Annotated[Int, Field(ge=1)] | None = setting(None)


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
    if settings.contamination:
        identity["contamination"] = settings.contamination
    if settings.max_train is not None:
        identity["max_train"] = settings.max_train
    if cut_validation and not info.validation:
        identity["validation"] = "cut"
    return identity
