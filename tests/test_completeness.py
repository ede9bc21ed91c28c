"""Every module has a test file of its own, and the declared dependencies are those that the code imports."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable
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

TESTED_THROUGH = {
    # The verbs are what a user types: they are tested as typed.
    "tests/suite/test_cli.py": "suite/{cli,verbs}/*.py",
    # Parts of one job that mean nothing alone: a run in stages, with retries, making its artefacts.
    "tests/suite/test_run.py": "suite/{artefacts,attempt,stages}.py",
    # The parent's side and the child's side of one conversation.
    "tests/suite/executors/test_local.py": "suite/executors/{display,in_process,schedule,slots,worker}.py",
    # The driver's side and the machines' side of one conversation, and how it is asked for.
    "tests/suite/executors/test_ray.py": "suite/executors/{choice,ray_code,ray_depot,ray_node,ray_slots}.py",
    # Halves of a module that was cut in two for its length.
    "tests/suite/data/test_pack.py": "suite/data/build.py",
    "tests/suite/data/test_phantom.py": "suite/data/anatomy.py",
    # What they find is compared with each other.
    "tests/baselines/test_knn.py": "baselines/{pixel_knn,feature_knn}.py",
}
"""Test file -> the modules that it stands for beside its own (``{a,b}`` as in a shell)."""


def _exempt() -> dict[str, str]:
    """Module -> the file that tests it instead of one of its own name."""
    found: dict[str, str] = {}
    for test, pattern in TESTED_THROUGH.items():
        head, _, rest = pattern.partition("{")
        choices, _, tail = rest.partition("}")
        for choice in choices.split(","):
            found |= {path.relative_to(ROOT).as_posix(): test for path in ROOT.glob(head + choice + tail)}
    return found


def _has_functions(path: Path) -> bool:
    """False for a module of bare names, such as exceptions: there is nothing in it that could go wrong."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, functions) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def _imports(path: Path) -> set[str]:
    """The top-level names that a module imports, at its head or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


EXTRAS = ("anomalib", "ray", "stable-diffusion")
"""Extras whose packages the suite imports where they are asked for."""


def _declared(*extras: str) -> set[str]:
    """The distributions that pyproject.toml asks for, those of some extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def _third_party(modules: Iterable[Path], own: Iterable[str] = PACKAGES) -> dict[str, set[str]]:
    """Imported name -> the distributions that provide it (mlflow has two)."""
    names = set().union(*(_imports(path) for path in modules)) - sys.stdlib_module_names - set(own)
    providers = packages_distributions()
    return {name: {canonicalize_name(dist) for dist in providers.get(name, [name])} for name in names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_has_a_test_file(path: Path) -> None:
    name = path.relative_to(ROOT)
    mirror = (Path("tests") / name.parent / f"test_{name.name}").as_posix()
    instead = _exempt().get(name.as_posix())
    assert instead is None or not (ROOT / mirror).is_file(), f"{name} has a test file: it needs no exception"
    assert (ROOT / (instead or mirror)).is_file() or not _has_functions(path), f"{name} has no {mirror}"


def test_every_import_is_declared() -> None:
    missing = {name: dists for name, dists in _third_party(MODULES).items() if not dists & _declared(*EXTRAS)}
    assert not missing, f"imported but not in pyproject.toml: {missing}"


def test_every_dependency_is_imported() -> None:
    unused = _declared() - set().union(*_third_party(MODULES).values())
    assert not unused, f"in pyproject.toml but never imported: {sorted(unused)}"


def test_the_tests_need_no_more_than_the_extra_for_development() -> None:
    tests = sorted((ROOT / "tests").rglob("*.py"))
    own = {*PACKAGES, *(path.stem for path in tests), *(path.parent.name for path in tests)}
    imported = _third_party([*tests, ROOT / "noxfile.py"], own=own)
    missing = {name: dists for name, dists in imported.items() if not dists & _declared("dev")}
    assert not missing, f"imported by tests but not in the extra dev: {missing}"
