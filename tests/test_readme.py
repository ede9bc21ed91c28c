"""What README, CONTRIBUTING, noxfile and CI tell people to type exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q nox && .venv/bin/nox -s "


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _commands(name: str) -> list[list[str]]:
    """The commands in a document's shell blocks, each as words; `a && b` are two."""
    blocks = re.findall(r"^```(?:bash|console)\n(.*?)^```", _read(name), flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [part for line in lines for part in re.split(r"&&|;", line)]
    return [words for part in parts if (words := shlex.split(part, comments=True))]


@cache
def _sessions() -> dict[str, str]:
    """The nox sessions and what each is for, as nox lists them."""
    command = [sys.executable, "-m", "nox", "--list", "-f", str(ROOT / "noxfile.py")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return dict(re.findall(r"^[*-] (\S+) -> (.+)$", listed, flags=re.MULTILINE))


def _sessions_named(words: list[str]) -> list[str]:
    if not words[0].endswith("nox") or "-s" not in words:
        return []
    rest = words[words.index("-s") + 1 :]
    return rest[: rest.index("--")] if "--" in rest else rest


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_sessions_exist(document: str) -> None:
    named = {session for words in _commands(document) for session in _sessions_named(words)}
    assert named, f"{document} shows no session"
    assert named <= set(_sessions())


def test_every_session_says_what_it_is_for() -> None:
    sessions = _sessions()
    assert {"quickstart", "all", "tests", "lint", "types", "bench"} <= set(sessions)
    assert all(sessions.values())


def test_every_table_of_the_paper_has_a_spec_and_a_session() -> None:
    from suite.resources import names
    from suite.spec import load_spec

    tables = {one for name in names("specs") for one in load_spec(name).table.published[:1]}
    sessions = {name for name in _sessions() if name.startswith("table")}
    assert sessions == tables == {f"table{number}" for number in range(1, 15)}


def test_what_the_tables_share_is_as_planned() -> None:
    """The README's figures are those of a plan of Tables 1 to 14 with the paper's settings."""
    from suite.overlap import overlap
    from suite.plan import expand
    from suite.resources import names
    from suite.spec import load_spec

    specs = [load_spec(name) for name in names("specs")]
    found = overlap(expand(spec, profile="paper") for spec in specs if spec.table.published).to_json()
    told = re.search(
        r"need ([\d,]+) runs and (\d+) diffusion models; together they need ([\d,]+) and (\d+)",
        _read("README.md"),
    )
    assert told is not None
    counted = ("asked_runs", "asked_diffusion_models", "distinct_runs", "distinct_diffusion_models")
    assert [int(number.replace(",", "")) for number in told.groups()] == [found[name] for name in counted]


@pytest.mark.parametrize("document", [*DOCUMENTS, "noxfile.py"])
def test_named_specs_exist(document: str) -> None:
    named = set(re.findall(r"specs/[\w/]+\.toml", _read(document)))
    missing = [name for name in sorted(named) if not (ROOT / name).is_file()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_verbs_exist(document: str) -> None:
    from typer.main import get_command

    from suite.cli import app

    verbs = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = {words[1] for words in _commands(document) if words[0] == "suite" and len(words) > 1}
    assert named <= verbs


def test_named_options_exist() -> None:
    """In the blocks, and wherever a line of text shows a whole command."""
    from typer.main import get_command

    from suite.cli import app

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    inline = [
        shlex.split(one) for one in re.findall(r"`(suite [^`]*)`", _read("README.md").replace("\n", " "))
    ]
    shown = [words[words.index("suite") :] for words in _commands("README.md") if "suite" in words] + inline
    wrong = []
    for words in shown:
        verb = verbs.get(words[1]) if len(words) > 1 else None
        verb = getattr(verb, "commands", {}).get(words[2]) if hasattr(verb, "commands") else verb
        known = (
            {"--help"} | {name for one in verb.params for name in (*one.opts, *one.secondary_opts)}
            if verb
            else set()
        )
        wrong += [
            " ".join(words) for word in words if word.startswith("--") and word.split("=")[0] not in known
        ]
    assert len(shown) > 20
    assert not wrong


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", _read("README.md"), flags=re.DOTALL | re.MULTILINE)


def test_the_spec_shown_is_sound(tmp_path: Path) -> None:
    from suite.plan import expand
    from suite.spec import load_spec

    (text,) = [block for block in _blocks("toml") if "[table]" in block]
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert len(expand(load_spec(path), profile="cpu").runs) == 12


def test_the_method_shown_is_one() -> None:
    from suite.registry import MethodInfo

    (text,) = _blocks("python")
    names: dict[str, object] = {}
    exec(text, names)
    assert isinstance(names["MINE"], MethodInfo)
    (points,) = [block for block in _blocks("toml") if "entry-points" in block]
    assert 'dissolving_suite.methods"]\nmine = "my_package.info:MINE"' in points


def test_profiles_shown_are_those_that_ship() -> None:
    from suite.spec import profile_names

    shown = set(re.findall(r"^\| `(\w+)` \| ", _read("README.md"), flags=re.MULTILINE))
    assert shown == set(profile_names())


def test_first_commands_do_their_own_set_up() -> None:
    first_screen = _read("README.md").split("\n## ")[0]
    assert SET_UP + "quickstart\n" in first_screen
    assert SET_UP + "tests\n" in first_screen


def test_ci_calls_what_the_readme_says() -> None:
    assert SET_UP + "tests" in _read(".ci/run")


def test_links_lead_somewhere() -> None:
    for document in DOCUMENTS:
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", _read(document))
        missing = [target for target in targets if not (ROOT / target).exists()]
        assert not missing, document


def test_citation_is_of_this_version() -> None:
    yaml = pytest.importorskip("yaml")
    import tomllib

    citation = yaml.safe_load(_read("CITATION.cff"))
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
