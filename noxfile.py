"""Every routine job as one command: ``nox -s quickstart``, ``nox -s tests`` (``nox -l`` lists them all).

All sessions share one environment, since PyTorch alone takes gigabytes: ``.venv`` beside this file, or the
folder in ``SUITE_VENV``. It is made when missing, and brought up to date when ``pyproject.toml`` has changed.
"""

from __future__ import annotations

import hashlib
import os
import re
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
TABLES = {
    1: "specs/main_results.toml",
    2: "specs/ablation_steps.toml",
    3: "specs/ablation_diffusion_data.toml",
    4: "specs/ablation_shift.toml",
    5: "specs/ablation_resolution.toml",
    6: "specs/cost_macs.toml",
    7: "specs/heuristic_kernels.toml",
    8: "specs/heuristic_shift.toml",
    9: "specs/heuristic_resolution.toml",
    10: "specs/contamination.toml",
    11: "specs/batch_control.toml",
    12: "specs/matrix_designs.toml",
    13: "specs/natural_images.toml",
    14: "specs/cost_memory.toml",
}
"""The paper's tables and the specs that reproduce them."""
BEYOND = ("specs/cost_memory_methods.toml",)
"""Tables that the paper has not."""


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


def reproduce(name: str, title: str, *specs: str) -> None:
    """Add a session that computes what is missing of some specs and renders them; arguments are passed on."""

    def session(session: nox.Session) -> None:
        profile = [] if "--profile" in session.posargs else ["--profile", "auto"]
        run(session, "suite", "run", *specs, *profile, *session.posargs)

    session.__doc__ = f"{title}; arguments such as `-- --seeds 0` are passed on."
    nox.session(session, name=name)


def title_of(spec: str) -> str:
    """The title of a spec, read without the packages: nox stands outside their environment."""
    found = re.search(r'^title = "(.*)"$', (ROOT / spec).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[1] if found else spec


for number, spec in TABLES.items():
    reproduce(f"table{number}", f"Table {number}: {title_of(spec)}", spec)
FIGURES = tuple(f"specs/{path.name}" for path in sorted((ROOT / "specs").glob("figure*.toml")))
reproduce("figures", "Every figure that ships", *FIGURES)
reproduce("all", "Every table and figure that ships", *TABLES.values(), *BEYOND, *FIGURES)


PYTEST = ("pytest", "-n", "logical", "--maxprocesses", "4", "--dist", "worksteal", "--durations", "10")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, slow ones included; `-- -m "not slow"` or a path are passed on to pytest."""
    run(session, *PYTEST, "-m", "not long", *session.posargs)


@nox.session
def tests_long(session: nox.Session) -> None:
    """The tests that take half a minute or more each: a cluster that loses a machine, a soak, pages in a browser."""
    # Much of their time is waiting, so one more than there are cores.
    run(session, *PYTEST, "-n", str((os.cpu_count() or 1) + 1), "-m", "long", *session.posargs)


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
    """What steps, scoring, packing and commands cost on this machine, and which share of its rates they reach."""
    run(session, "python", "tests/bench.py", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """60 runs under 200 random kills must end as if undisturbed (40 minutes on two cores; `-- --runs 6 --kills 20`)."""
    run(session, "python", "tests/soak.py", *session.posargs)
