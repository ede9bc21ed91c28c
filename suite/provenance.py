"""What an outcome was made with: the method's source by its meaning, the revision, every installed package, the
processor. Never part of a key.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import platform
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from suite import files
from suite.registry import MethodInfo

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "denoising-diffusion-pytorch",
    "kornia",
    "scikit-learn",
    "timm",
    "FrEIA",
)
"""Whose versions may move a number."""
NOTED = "_revision.json"
"""Beside this module, in a copy of a checkout: the checkout's revision and whether it had changes."""


def source_hash(method: MethodInfo) -> str:
    """A hash (16 hex digits) of the syntax trees of the module that implements a method and of what it
    imports beside itself.

    Comments, docstrings and layout do not count. Modules called ``info`` do not either: the settings that
    they declare stand in the keys. Nothing of the method is imported (its packages' ``__init__`` aside), so
    torch is not either. Empty when the source cannot be found.
    """
    return _source_hash(method.implementation.partition(":")[0])


@cache
def _source_hash(start: str) -> str:
    package = start.rpartition(".")[0]
    trees: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = _path(name, package)
        if name in trees or path is None or name.rpartition(".")[2] == "info":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        trees[name] = _meaning(tree)
        waiting += _imports(tree, package)
    text = "\n".join(f"{name} {trees[name]}" for name in sorted(trees))
    return hashlib.sha256(text.encode()).hexdigest()[:16] if trees else ""


def _path(module: str, package: str) -> Path | None:
    """The file of a module inside a package. Only the package is looked up by Python, since that imports its
    parents.
    """
    try:
        found = importlib.util.find_spec(package or module)
    except (ImportError, ValueError):
        return None
    if found is None or not package:
        return Path(found.origin) if found and found.origin else None
    inside = module.removeprefix(f"{package}.").split(".")
    for folder in found.submodule_search_locations or ():
        for path in (Path(folder, *inside).with_suffix(".py"), Path(folder, *inside, "__init__.py")):
            if path.is_file():
                return path
    return None


def _imports(tree: ast.AST, package: str) -> set[str]:
    """Modules of the same package (names that are no module are dropped later, when no file is found)."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = f"{package}.{node.module or ''}".rstrip(".") if node.level == 1 else node.module or ""
            found |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return {name for name in found if package and name.startswith(f"{package}.")}


def _meaning(node: Any) -> str:
    """A syntax tree as text, without docstrings, positions and empty fields: alike in all Python versions."""
    if isinstance(node, list):
        return f"[{','.join(_meaning(one) for one in node)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ):
            value = value[1:] if value and _is_text(value[0]) else value
        if value is not None and value != [] and name not in ("kind", "type_comment", "type_ignores"):
            parts.append(f"{name}={_meaning(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def revision() -> tuple[str | None, bool]:
    """The git revision (12 hex digits) of the checkout that the suite runs from, and whether it has
    uncommitted changes.

    ``(None, False)`` when it is installed from a wheel, or git is not there. A copy that another machine works
    with (:mod:`suite.executors.ray_code`) says it of the checkout that it was made from.
    """
    folder = Path(__file__).resolve().parent
    if noted := files.peek_json(folder / NOTED):
        return noted.get("revision"), bool(noted.get("dirty"))
    head = _git(folder, "rev-parse", "--short=12", "HEAD")
    # A package inside somebody else's repository (in a virtual environment, say) is not that repository's.
    if head is None or not _git(folder, "ls-files", Path(__file__).name):
        return None, False
    return head, bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".."))


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def package_version(name: str) -> str | None:
    """An installed distribution's version, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def installed() -> Mapping[str, str]:
    """The lock: every installed distribution (its name in lower case with dashes) and its version, sorted."""
    found: dict[str, str] = {}
    for one in distributions():
        # Only these two lines are wanted; parsing the whole of the metadata takes five times as long.
        text = one.read_text("METADATA") or one.read_text("PKG-INFO") or ""
        told = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", text, re.MULTILINE))
        if len(told) == 2:
            found.setdefault(re.sub(r"[-_.]+", "-", told["Name"]).lower(), told["Version"])
    return dict(sorted(found.items()))


def lock_digest(packages: Mapping[str, str]) -> str:
    """What an outcome tells of a lock: 16 hex digits that are equal where all packages and versions are."""
    text = "\n".join(f"{name}=={packages[name]}" for name in sorted(packages))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@cache
def processor() -> str:
    """The model of the processor, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment(further: tuple[str, ...] = ()) -> dict[str, Any]:
    """Revision, dirty, Python, torch, the versions of :data:`PACKAGES` and ``further`` ones, the digest of all that
    is installed, system and processor, as plain JSON. Names no host, path or user.
    """
    head, dirty = revision()
    return {
        "revision": head,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": package_version("torch"),
        "packages": {name: found for name in (*PACKAGES, *further) if (found := package_version(name))},
        "lock": lock_digest(installed()),
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor(),
    }


def write_lock(folder: Path, environment: Mapping[str, Any]) -> None:
    """Write ``environment.json``: the environment with every installed package, whose digest is its ``lock``."""
    files.write_json(
        folder / "environment.json", {**environment, "installed": dict(installed())}, durable=False
    )


def lock_in(folder: Path) -> Mapping[str, str]:
    """The packages that ``environment.json`` in a folder lists; none where it is absent or from before locks."""
    packages = files.peek_json(folder / "environment.json").get("installed")
    return packages if isinstance(packages, dict) else {}


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """How two locks differ: ``torch 2.14.1 (2.13.0)``, ``timm none (1.0.9)``; theirs in brackets."""
    return [
        f"{name} {ours.get(name, 'none')} ({theirs.get(name, 'none')})"
        for name in sorted({*ours, *theirs})
        if ours.get(name) != theirs.get(name)
    ]
