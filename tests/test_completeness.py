"""Every module has a test file of its own, and the declared dependencies are those that the code imports."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("suite", "baselines")
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"
)

TESTED_ELSEWHERE: dict[str, str] = {}
"""Modules without a test file of the same name: where they are tested instead."""


def _imports(path: Path) -> set[str]:
    """The top-level names that a module imports, at its head or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}


def _third_party() -> dict[str, set[str]]:
    """Imported name -> the distributions that provide it (mlflow has two), over all modules."""
    names = set().union(*(_imports(path) for path in MODULES)) - sys.stdlib_module_names - set(PACKAGES)
    providers = packages_distributions()
    return {name: {canonicalize_name(dist) for dist in providers.get(name, [name])} for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_has_a_test_file(path: Path) -> None:
    relative = path.relative_to(ROOT)
    mirror = ROOT / "tests" / relative.parent / f"test_{relative.name}"
    elsewhere = TESTED_ELSEWHERE.get(relative.as_posix())
    assert (ROOT / elsewhere if elsewhere else mirror).is_file(), (
        f"{relative} has no {mirror.relative_to(ROOT)}"
    )


@pytest.mark.parametrize("name", TESTED_ELSEWHERE)
def test_exceptions_are_needed(name: str) -> None:
    path = Path(name)
    assert (ROOT / name).is_file(), f"{name} is gone: so should its exception be"
    assert not (ROOT / "tests" / path.parent / f"test_{path.name}").is_file(), (
        f"{name} has a test file of its own"
    )


def test_every_import_is_declared() -> None:
    missing = {name: dists for name, dists in _third_party().items() if not dists & _declared()}
    assert not missing, f"imported but not in pyproject.toml: {missing}"


def test_every_dependency_is_imported() -> None:
    unused = _declared() - set().union(*_third_party().values())
    assert not unused, f"in pyproject.toml but never imported: {sorted(unused)}"
