"""The suite's own code for the machines of a Ray cluster, so that every one of them runs what the driver runs,
whatever is installed there.

Three folders for Ray's ``py_modules``: the two packages (with the shipped specs and reports inside, as in a wheel)
and a distribution's metadata, whose entry points make the methods known.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from suite import files, provenance, resources

DISTRIBUTION = "dissolving-suite"
PACKAGES = ("suite", "baselines")
_LEFT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def stage(folder: Path) -> list[Path]:
    """Put what travels into ``folder``; the paths of the parts."""
    parts = []
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        assert found is not None
        assert found.origin is not None
        shutil.copytree(Path(found.origin).parent, folder / name, ignore=_LEFT)
        parts.append(folder / name)
    shipped = folder / "suite" / "_shipped"
    for name in ("specs", "reports/templates", "reports/published.toml"):
        if not (shipped / name).exists():
            _copy(resources.shipped(name), shipped / name)
    revision, dirty = provenance.revision()
    files.write_json(folder / "suite" / provenance.NOTED, {"revision": revision, "dirty": dirty})
    return [*parts, *_metadata(folder)]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=_LEFT)
    else:
        shutil.copyfile(source, target)


def _metadata(folder: Path) -> list[Path]:
    """The distribution's own; none when the suite is not installed here, only on the path."""
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return []
    place = folder / f"{DISTRIBUTION.replace('-', '_')}-{installed.version}.dist-info"
    for name in ("METADATA", "entry_points.txt"):
        files.write_text(place / name, installed.read_text(name) or "")
    return [place]


def requirements() -> list[str]:
    """The distributions that every machine must have installed: those of the suite without its extras."""
    try:
        lines = distribution(DISTRIBUTION).requires or []
    except PackageNotFoundError:
        lines = ["torch", "numpy"]
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in lines if "extra ==" not in line)
    return [name[0] for name in names if name]
