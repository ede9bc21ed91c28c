"""The distribution as a stranger gets it: a wheel, and one made from the sdist, in a fresh environment."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def _call(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a command and return what it prints; its error output stands in the failure message."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=900,
    )
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done.stdout


def _build(source: Path, target: str, out: Path) -> Path:
    """Build with the installed backend, so that nothing is fetched."""
    _call(sys.executable, "-m", "hatchling", "build", "-t", target, "-d", out, cwd=source)
    return next(path for path in out.iterdir())


def _shipped() -> set[str]:
    """What the wheel must hold, as named in it: the packages whole, the specs and the report files."""
    ignored = {"__pycache__", ".mypy_cache"}
    names = {
        path.relative_to(ROOT).as_posix()
        for package in ("suite", "baselines")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not ignored & set(path.parts)
    }
    outside = [*(ROOT / "specs").rglob("*.toml"), *(ROOT / "reports" / "templates").rglob("*")]
    outside.append(ROOT / "reports" / "published.toml")
    return names | {
        f"suite/_shipped/{path.relative_to(ROOT).as_posix()}" for path in outside if path.is_file()
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of executables of a new environment that holds the wheel.

    Its dependencies are borrowed from the running environment by a path file. Such a file adds the folder but
    does not read the path files in it, so the checkout's own editable install stays out of sight.
    """
    folder = tmp_path_factory.mktemp("installed")
    _call(sys.executable, "-m", "venv", "--without-pip", folder / "env", cwd=folder)
    python = folder / "env" / "bin" / "python"
    own = Path(
        _call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    )
    install = ("-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    _call(sys.executable, *install, cwd=folder)
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "dependencies.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return python.parent


@pytest.fixture
def suite(installed: Path, tmp_path: Path) -> tuple[Path, Path, dict[str, str]]:
    """The installed command, an empty folder to run it in, and variables that are not of this project."""
    empty = tmp_path / "empty"
    empty.mkdir()
    left_out = ("SUITE_", "PYTHONPATH", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return installed / "suite", empty, env


def test_wheel_holds_what_ships(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if ".dist-info/" not in name} == _shipped()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = _build(ROOT, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    source = next((tmp_path / "source").iterdir())
    again = _build(source, "wheel", tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}
    assert (source / "tests" / "conftest.py").is_file()
    assert (source / "noxfile.py").is_file()


def test_the_wheel_and_not_the_checkout_is_imported(installed: Path, tmp_path: Path) -> None:
    code = "import suite, baselines; print(suite.__file__, baselines.__path__[0])"
    printed = _call(installed / "python", "-c", code, cwd=tmp_path)
    assert str(ROOT) not in printed
    assert printed.count(str(installed.parent)) == 2


def test_help_and_lists_answer(suite: tuple[Path, Path, dict[str, str]]) -> None:
    command, empty, env = suite
    assert "run" in _call(command, "--help", cwd=empty, env=env)
    specs = _call(command, "list", "specs", cwd=empty, env=env)
    for path in (ROOT / "specs").glob("*.toml"):
        assert path.stem in specs
    assert "pixel_knn" in _call(command, "list", "methods", cwd=empty, env=env)
    assert not list(empty.iterdir()), "asking for help or a list leaves nothing behind"


def test_quickstart_runs_in_an_empty_folder(suite: tuple[Path, Path, dict[str, str]]) -> None:
    """The profile that only shows that everything is connected, then once more from the store."""
    command, empty, env = suite
    smoke = ("run", "quickstart", "--profile", "smoke", "--seeds", "0")
    first = _call(command, *smoke, cwd=empty, env=env)
    assert "DIA" in first
    outcomes = {path: path.stat().st_mtime_ns for path in (empty / "runs").rglob("outcome.json")}
    assert len(outcomes) == 4
    _call(command, *smoke, cwd=empty, env=env)
    assert {path: path.stat().st_mtime_ns for path in (empty / "runs").rglob("outcome.json")} == outcomes


THIRD_PARTY = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "their-detector"
version = "1.0"
[project.entry-points."dissolving_suite.methods"]
mean_image = "their_detector.info:MEAN_IMAGE"
[tool.hatch.build.targets.wheel]
packages = ["their_detector"]
""",
    "their_detector/__init__.py": "",
    "their_detector/info.py": """
from suite.registry import MethodInfo
from suite.settings import Settings, setting

class Training(Settings):
    power: float = setting(2.0, gt=0)

MEAN_IMAGE = MethodInfo(
    name="mean_image", version=1, title="Distance to the mean image", implementation="their_detector.method:MeanImage",
    training=lambda nested: Training, models=(Training,), citation="Them, 2026",
)
""",
    "their_detector/method.py": """
import numpy as np

class MeanImage:
    def __init__(self, training, scoring):
        self.power = training.power

    def fit(self, images, context):
        self.mean = images.mean(0)

    def score(self, images, context):
        return (np.abs(images - self.mean) ** self.power).mean((1, 2, 3))

    def save(self, path):
        with open(path, "wb") as stream:
            np.save(stream, self.mean, allow_pickle=False)

    def load(self, path, device):
        self.mean = np.load(path, allow_pickle=False)
""",
    "theirs.toml": """
title = "Somebody else's method"
seeds = [0, 1]
settings = { dataset = "phantom_coarse", "data.size" = 16 }
[table]
rows = ["case"]
compare = "Theirs"
[[case]]
label = "Theirs"
set = { method = "mean_image" }
[[case]]
label = "Theirs, absolute"
set = { method = "mean_image", power = 1.0 }
[[case]]
label = "Pixel kNN"
set = { method = "pixel_knn" }
""",
}


def test_a_method_of_another_package_is_there_once_it_is_installed(
    suite: tuple[Path, Path, dict[str, str]], tmp_path: Path
) -> None:
    """By its entry point alone: listed, checked, run beside ours and put into the table."""
    command, empty, env = suite
    for name, text in THIRD_PARTY.items():
        path = tmp_path / "theirs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    theirs = _build(tmp_path / "theirs", "wheel", tmp_path / "built")
    python = command.parent / "python"
    _call(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        theirs,
        cwd=empty,
    )
    listed = _call(command, "list", "methods", cwd=empty, env=env)
    assert "mean_image" in listed
    assert "Them, 2026" in listed
    spec = tmp_path / "theirs" / "theirs.toml"
    table = _call(command, "run", spec, cwd=empty, env=env)
    rows = {
        line.strip(" │").partition("│")[0].strip()
        for line in table.splitlines()
        if "│" in line and "±" in line
    }
    assert rows == {"Theirs", "Theirs, absolute", "Pixel kNN"}
    assert "6 done" in _call(command, "plan", spec, cwd=empty, env=env)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(THIRD_PARTY["theirs.toml"].replace("power", "pwer"))
    refused = subprocess.run([command, "validate", wrong], cwd=empty, env=env, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "power" in refused.stdout + refused.stderr, "the vocabulary has their settings"
