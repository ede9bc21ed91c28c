"""A model is found in a folder or in the cache, and what is missing is said with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from suite.dia import stable_model
from suite.dia.info import DissolveStable

pytest.importorskip("huggingface_hub", reason="the extra stable-diffusion is not installed")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv(stable_model.ROOT, raising=False)
    return tmp_path


def test_a_folder_of_ones_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stable_model.ROOT, str(cache / "own"))
    assert stable_model.folder("some/model") is None
    (cache / "own" / "some" / "model").mkdir(parents=True)
    (cache / "own" / "some" / "model" / "model_index.json").write_text("{}")
    assert stable_model.folder("some/model") == cache / "own" / "some" / "model"


def test_a_name_in_the_cache(cache: Path) -> None:
    assert stable_model.folder("some/model") is None
    snapshot = cache / "models--some--model" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model_index.json").write_text("{}")
    (cache / "models--some--model" / "refs").mkdir()
    (cache / "models--some--model" / "refs" / "main").write_text("abc")
    assert stable_model.folder("some/model") == snapshot


def test_the_librarys_own_look_up_agrees(cache: Path, tmp_path: Path) -> None:
    from huggingface_hub import try_to_load_from_cache

    test_a_name_in_the_cache(cache)
    found = try_to_load_from_cache("some/model", "model_index.json", cache_dir=tmp_path)
    assert isinstance(found, str)
    assert Path(found).parent == stable_model.folder("some/model")


def test_what_to_do_when_it_is_not_there(cache: Path) -> None:
    assert "hf download some/model" in stable_model.missing_model("some/model")


@pytest.mark.parametrize("model", ["", "model", "/etc/model", "../model", "a/b/c", "a/.."])
def test_a_model_is_named_and_no_path(model: str) -> None:
    """What stands in a key must not hang on a machine."""
    with pytest.raises(ValidationError, match="model"):
        DissolveStable.parse({"model": model})


def test_packages_that_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable_model, "PACKAGES", ("no_such_package",))
    assert "pip install 'dissolving-suite[stable-diffusion]'" in stable_model.missing_model("some/model")
