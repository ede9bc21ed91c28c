"""The rooms know only what they may: imports point one way, and heavy libraries stay behind doors."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for package in ("suite", "baselines") for path in (ROOT / package).rglob("*.py"))
METHODS = [path for path in SOURCES if path.is_relative_to(ROOT / "baselines") or path.parent.name == "dia"]
ENGINE = ("spec", "plan", "run", "store", "tables", "tracking", "executors", "search", "cli")


def _imported(path: Path) -> set[str]:
    """Dotted names that a module imports anywhere, `from a import b` counted as a and a.b."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", METHODS, ids=_name)
def test_methods_know_nothing_of_the_engine(path: Path) -> None:
    forbidden = {f"suite.{room}" for room in ENGINE}
    reached = {name for name in _imported(path) if ".".join(name.split(".")[:2]) in forbidden}
    assert not reached, f"{_name(path)} imports {sorted(reached)}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_only_tracking_imports_mlflow(path: Path) -> None:
    imports = any(name.partition(".")[0] == "mlflow" for name in _imported(path))
    assert not imports or _name(path) == "suite/tracking.py"


def _restricts_unpickling(path: Path) -> bool:
    """Pickle is only used through a class of its own that decides what may be named."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    uses = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    readers = [one for one in classes if "pickle.Unpickler" in map(ast.unparse, one.bases)]
    decide = all(any(getattr(part, "name", "") == "find_class" for part in one.body) for one in readers)
    within = {name for name in uses if name.startswith("pickle.")}
    return bool(readers) and decide and within == {"pickle.Unpickler", "pickle.UnpicklingError"}


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_nothing_is_unpickled(path: Path) -> None:
    given = _imported(path) & {"pickle", "dill", "joblib", "cloudpickle", "shelve"}
    if _name(path) == "suite/data/cifar.py":
        assert _restricts_unpickling(path)
        given -= {"pickle"}
    assert not given
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
            safe = {"torch.load": ("weights_only", True)}.get(ast.unparse(node.func), ("allow_pickle", False))
            given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            assert given.get(safe[0]) is safe[1], f"{_name(path)}:{node.lineno}: say {safe[0]}={safe[1]}"
