"""What is registered can be named, loaded and refused in words that help."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from engine import Bench

from suite import registry
from suite.registry import Need, UnknownNameError, in_order
from suite.settings import key_of
from suite.store import Store

NEED = Need(
    "diffusion", 1, {"data": {"name": "phantom"}, "size": 32}, "suite.dia.diffusion:make", "diffusion model"
)
PLUGIN = """
from suite.registry import DataInfo, MethodInfo
MINE = MethodInfo("mine", 3, "Mine", "nowhere:Method")
IMAGES = DataInfo("my_images", "My images", "nowhere:pack", size=32, channels=1)
"""


@pytest.mark.parametrize("name", ["csi", "dia", "pixel_knn", "random_knn"])
def test_shipped_methods_are_registered_under_their_own_name(name: str) -> None:
    info = registry.method(name)
    assert info.name == name
    assert info.title


@pytest.mark.parametrize("name", ["csi", "dia", "pixel_knn", "random_knn"])
def test_shipped_methods_follow_the_detector_interface(name: str) -> None:
    detector = registry.method(name).load()
    assert all(callable(getattr(detector, verb)) for verb in ("fit", "score", "save", "load"))


def test_facts_of_methods_and_data_need_no_torch() -> None:
    code = (
        "import sys; from suite import registry; registry.methods(); registry.datasets();"
        "print(*sorted({'torch', 'mlflow', 'sklearn', 'kornia', 'medmnist'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == ""


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A registry that has not looked yet, and forgets afterwards what the test has put into it."""
    found = (registry.methods, registry.families, registry.datasets, registry._plugins)
    for function in found:
        function.cache_clear()
    yield monkeypatch
    for function in found:
        function.cache_clear()


def _points(*values: tuple[str, str]) -> Callable[..., list[EntryPoint]]:
    """Entry points as other packages would declare them, in place of those that are installed."""
    return lambda group: [
        EntryPoint(name, value, group) for name, value in values if group.endswith("methods")
    ]


def test_an_entry_point_of_another_package_adds_a_method(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(registry, "entry_points", _points(("theirs", "suite.dia.info:CSI")))
    assert registry.method("theirs").title == "CSI"


def test_a_family_is_an_entry_point_whose_methods_are_found_when_named(fresh: pytest.MonkeyPatch) -> None:
    point = EntryPoint("fakes", "fakes:FAMILY", "dissolving_suite.families")
    fresh.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    assert list(registry.declared()) == ["fakes/NAME"]
    assert registry.method("fakes/one").name == "fakes/one"
    assert registry.known_method("fakes/none") is None
    with pytest.raises(UnknownNameError, match="unknown method 'fakes/none'; known: fakes/one, fakes/two"):
        registry.method("fakes/none")
    for name in ("fakes/", "fakes"):
        with pytest.raises(UnknownNameError, match="known: fakes/one, fakes/two"):
            registry.method(name)
    for name in ("other/one", "one", ""):
        with pytest.raises(UnknownNameError, match="known: fakes/NAME"):
            registry.method(name)


FAMILY = """
title = "A family"
seeds = [0]
[settings]
dataset = "toy"
"train.steps" = 8
[table]
rows = ["method"]
[grid]
method = ["fakes/one", "fakes/two", "fake"]
[[override]]
where = { method = ["fakes/one", "fake"], "train.steps" = 8, "score.gain" = 1.0 }
set = { "train.steps" = 4 }
"""


@pytest.mark.long
def test_a_familys_methods_are_named_run_mirrored_and_shown_as_any_other(bench: Bench) -> None:
    """Wherever a method is looked up by name: vocabulary, overrides, plan, run, MLflow, reports, lists."""
    (bench.folder / "family.toml").write_text(FAMILY)
    bench.cli("run", "family.toml", "--in-process")
    found = {one.method: one.settings["train.steps"] for one in Store(bench.store).outcomes()}
    assert found == {"fakes/one": 4, "fakes/two": 8, "fake": 4}
    assert "3 done" in bench.cli("plan", "family.toml")
    assert "fakes/one" in bench.cli("report", "family.toml")
    assert "fakes/two" in bench.cli("show", store_key(bench, "fakes/two"))
    assert "1 run" in bench.cli("plan", "family.toml", "--only", "method=fakes/two")
    assert "fakes/NAME" in bench.cli("list", "methods")
    assert "fakes/NAME" in bench.cli("list", "settings")
    told = bench.cli("plan", "family.toml", "--set", "method=fakes/tow", code=2)
    assert "unknown method 'fakes/tow'; known: fakes/one, fakes/two" in told
    assert 'did you mean "fakes/two"?' in told


def store_key(bench: Bench, method: str) -> str:
    return next(one.eval_key for one in Store(bench.store).outcomes() if one.method == method)[:12]


@pytest.mark.parametrize("value", ["no_such_package:INFO", "suite.dia.info:NO_SUCH_NAME"])
def test_a_broken_package_does_not_take_the_others_with_it(
    fresh: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    fresh.setattr(registry, "entry_points", _points(("broken", value), ("csi", "suite.dia.info:CSI")))
    assert list(registry.methods()) == ["csi"]
    assert value in caplog.text


def test_a_plugin_joins_by_its_variable(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "suite_test_plugin.py").write_text(PLUGIN)
    fresh.syspath_prepend(tmp_path)
    fresh.setenv("SUITE_PLUGINS", "suite_test_plugin:MINE, suite_test_plugin:IMAGES")
    assert registry.method("mine").version == 3
    assert registry.dataset("my_images").size == 32


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("no_such_module:MINE", "no_such_module:MINE cannot be imported"),
        ("suite.dia.info", "suite.dia.info cannot be imported"),
        ("suite.dia.info:Scoring", "suite.dia.info:Scoring is no MethodInfo, MethodFamily or DataInfo"),
        ("suite.dia.info:DIA", "there is a 'dia' already"),
    ],
)
def test_a_faulty_plugin_is_told(fresh: pytest.MonkeyPatch, named: str, told: str) -> None:
    fresh.setenv("SUITE_PLUGINS", named)
    with pytest.raises(ValueError, match=told):
        registry.methods()


def test_an_unknown_method_is_told_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown method 'dai'; known: .*\bdia\b"):
        registry.method("dai")


def test_an_unknown_data_set_is_told_with_the_known_ones() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown data set 'fantom'; known: .*\bphantom\b.*folder:PATH"
    ):
        registry.dataset("fantom")


def test_an_artefact_is_named_by_what_it_holds() -> None:
    assert len(NEED.key) == 64
    assert replace(NEED, make="elsewhere:make", label="another label").key == NEED.key
    changed = [replace(NEED, kind="bank"), replace(NEED, version=2), replace(NEED, identity={"size": 32})]
    assert len({NEED.key, *(need.key for need in changed)}) == 4


def _need(kind: str, *needs: Need, data: dict[str, Any] | None = None) -> Need:
    return Need(kind, 1, {"of": kind}, "m:f", needs=needs, data=data)


def test_artefacts_come_after_what_they_need_and_once() -> None:
    model, other = _need("model"), _need("other")
    strip = _need("strip", model, other)
    assert in_order([strip, other, _need("model"), strip]) == (model, other, strip)


def test_what_an_artefact_needs_is_in_its_key_and_nothing_else_new_is() -> None:
    plain = Need("diffusion", 1, {"size": 32}, "m:f")
    assert plain.key == key_of({"kind": "diffusion", "version": 1, "identity": {"size": 32}})
    assert replace(plain, label="x", dataset="toy", data={"name": "toy"}).key == plain.key
    assert replace(plain, needs=(_need("model"),)).key != plain.key


def test_data_are_filled_in_where_none_are_named() -> None:
    foreign, none = _need("model", data={"name": "elsewhere"}), _need("cost", data={})
    made = _need("strip", foreign, none, _need("own")).made_from("folder:x", {"name": "x"})
    assert (made.dataset, made.data) == ("folder:x", {"name": "x"})
    assert [need.data for need in made.needs] == [{"name": "elsewhere"}, {}, {"name": "x"}]
