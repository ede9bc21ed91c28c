"""Every routine job as one command: ``nox -s quickstart``, ``nox -s tests`` (``nox -l`` lists them all).

All sessions share one environment, since PyTorch alone takes gigabytes: ``.venv`` beside this file, or the
folder in ``SUITE_VENV``. It is made when missing, and brought up to date when ``pyproject.toml`` has changed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = (ROOT / os.environ.get("SUITE_VENV", ".venv")).absolute()
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(BIN / "python")


def prepare(session: nox.Session) -> None:
    """Make the shared environment, unless it already holds what ``pyproject.toml`` asks for."""
    if not (ENVIRONMENT / "pyvenv.cfg").is_file():
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
    version = session.run(PYTHON, "-VV", silent=True, external=True, log=False)
    wanted = hashlib.sha256(
        f"{ROOT}\n{version}\n".encode() + (ROOT / "pyproject.toml").read_bytes()
    ).hexdigest()
    stamp = ENVIRONMENT / "dissolving-suite.stamp"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    session.log(f"Installing into {ENVIRONMENT} (once; some minutes, PyTorch takes several GB of disk)")
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    session.run(PYTHON, "-m", "pip", "install", *quiet, "--editable", f"{ROOT}[dev]", external=True)
    stamp.write_text(wanted)


def run(session: nox.Session, program: str, *arguments: str) -> None:
    """Run a program of the shared environment (in this folder: nox has gone there)."""
    prepare(session)
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    session.run(
        str(BIN / program), *arguments, external=True, env={"PATH": path, "VIRTUAL_ENV": str(ENVIRONMENT)}
    )


@nox.session
def quickstart(session: nox.Session) -> None:
    """DIA, CSI and two controls on data that the suite draws itself: a table in a few minutes."""
    run(session, "suite", "run", "quickstart", *session.posargs)


@nox.session
def table1(session: nox.Session) -> None:
    """Table 1, the main results, on the data at hand; `-- --seeds 0` and the like are passed on."""
    run(session, "suite", "run", "specs/main_results.toml", "--profile", "auto", *session.posargs)


@nox.session
def table11(session: nox.Session) -> None:
    """Table 11, DIA against a batch-size increment; arguments are passed on."""
    run(session, "suite", "run", "specs/batch_control.toml", "--profile", "auto", *session.posargs)


@nox.session
def table12(session: nox.Session) -> None:
    """Table 12, the similarity designs; arguments are passed on."""
    run(session, "suite", "run", "specs/matrix_designs.toml", "--profile", "auto", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, slow ones included; `-- -m "not slow"` or a path are passed on to pytest."""
    run(
        session,
        "pytest",
        "-n",
        "logical",
        "--maxprocesses",
        "4",
        "--dist",
        "worksteal",
        "--durations",
        "10",
        *session.posargs,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Formatting and lint rules."""
    run(session, "ruff", "format", "--check", *(session.posargs or ["."]))
    run(session, "ruff", "check", *(session.posargs or ["."]))


@nox.session
def types(session: nox.Session) -> None:
    """Types of the packages, strictly."""
    run(session, "mypy", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """What a training step costs on this machine, and which share of its arithmetic is reached."""
    run(session, "python", "tests/bench.py", *session.posargs)
