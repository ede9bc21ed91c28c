"""The facts of anomalib's models: what may be asked of them, and how they are found without importing the library."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.info import anomalib as info
from baselines.info.anomalib import Bank, Library, Trained
from suite import registry

MODULE = """
class {name}(MemoryBankMixin, AnomalibModule):
    def __init__(self, backbone="resnet18", *, layers=(), pre_processor=True, evaluator=True): ...
    def learning_type(self): return LearningType.{learning}
"""


def _forget() -> None:
    for remembered in (info.names, info.arguments, info.resolve):
        remembered.cache_clear()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A library of three models that breaks when it is imported."""
    folder = tmp_path / "anomalib" / "models" / "image"
    for name, learning in (("padim", "ONE_CLASS"), ("novel", "ONE_CLASS"), ("winclip", "ZERO_SHOT")):
        (folder / name).mkdir(parents=True)
        (folder / name / "lightning_model.py").write_text(MODULE.format(name=name.title(), learning=learning))
    (folder / "components").mkdir()
    (tmp_path / "anomalib" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.delitem(sys.modules, "anomalib", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    yield folder
    _forget()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library is not installed."""
    monkeypatch.setattr(info, "find_spec", lambda name: None)
    _forget()
    yield
    _forget()


def _absent(name: str, *options: str) -> str:
    method = registry.method(f"anomalib/{name}")
    return method.absent(method.parse({"anomalib": {"options": list(options)}}))


def test_names_are_the_one_class_models_of_the_installed_library(library: Path) -> None:
    assert info.names() == ("novel", "padim")
    assert registry.method("anomalib/novel").name == "anomalib/novel"
    with pytest.raises(
        registry.UnknownNameError, match="'anomalib/winclip'; known: anomalib/novel, anomalib/padim"
    ):
        registry.method("anomalib/winclip")


def test_options_are_checked_before_anything_runs(library: Path) -> None:
    assert _absent("padim", "backbone=resnet50", "layers=[]") == ""
    assert (
        _absent("padim", "bakbone=x")
        == "anomalib.options: anomalib/padim takes no bakbone; it takes backbone, layers"
    )


def test_without_the_library_results_can_still_be_named(without: None) -> None:
    """The key of a run is the same on a machine that has the library and on one that only reports."""
    assert _absent("padim") == 'anomalib missing: pip install "dissolving-suite[anomalib]"'
    method = registry.method("anomalib/padim")
    assert isinstance(method.parse({}), Bank)
    assert method.notes(method.parse({}), {"size": 28})[0] == "anomalib's implementation"
    with pytest.raises(registry.UnknownNameError):
        registry.method("anomalib/no name")


def test_only_what_is_trained_has_a_budget(without: None) -> None:
    trained, bank = (registry.method(f"anomalib/{name}").training({}) for name in ("fastflow", "patchcore"))
    assert issubclass(trained, Trained)
    assert (trained.model, bank.model) == ("fastflow", "patchcore")
    assert not issubclass(bank, Trained)


def test_notes_say_what_was_departed_from(without: None) -> None:
    method = registry.method("anomalib/fastflow")
    settings = method.parse({"anomalib": {"input_size": 64, "options": ["pre_trained=false"]}})
    told = "; ".join(method.notes(settings, {"size": 28}))
    assert "28 px resized to 64 px" in told
    assert "pre_trained=false" in told
    assert "no early stopping" in told
    assert "28 px resized to the size of the library" in method.notes(method.parse({}), {"size": 28})[1]
    assert method.packages == ("anomalib",)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=false", False),
        ("a = False", False),
        ("a=None", None),
        ("a=null", None),
        ("a=0.1", 0.1),
        ("a=resnet18", "resnet18"),
        ('a="resnet18"', "resnet18"),
        ('a="1"', "1"),
        ("a=x=y", "x=y"),
        ('a=["layer1", "layer2"]', ["layer1", "layer2"]),
    ],
)
def test_an_option_is_a_value(text: str, value: object) -> None:
    assert Library.parse({"options": [text]}).arguments == {"a": value}


def test_equal_options_have_one_writing() -> None:
    first = Library.parse({"options": ["b=False", 'a="x"', "c=[1,2]"]})
    assert first == Library.parse({"options": ["c=[1, 2]", "b=false", "a = x"]})
    assert first.options == ("a=x", "b=false", "c=[1, 2]")


@given(st.text(max_size=8) | st.integers() | st.booleans() | st.none())
def test_what_is_written_anew_means_the_same(value: object) -> None:
    once = Library.parse({"options": [f"a={json.dumps(value)}"]})
    assert once.arguments == {"a": value}
    assert Library.parse({"options": list(once.options)}) == once


@pytest.mark.parametrize(
    "wrong", [["backbone"], ["1a=2"], ["a=1", "a=2"], ["pre_processor=false"], "a=1", [1]]
)
def test_faulty_options_are_refused(wrong: object) -> None:
    with pytest.raises(pydantic.ValidationError):
        Library.parse({"options": wrong})
