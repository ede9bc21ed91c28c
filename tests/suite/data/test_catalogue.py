"""The catalogue: cheap facts, names for any MedMNIST set and any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suite.data import catalogue
from suite.data.errors import DataMissing
from suite.data.identity import DataSettings, data_identity
from suite.data.medmnist import served
from suite.registry import UnknownNameError, dataset


def test_importing_the_catalogue_loads_no_array_library() -> None:
    code = "import sys, suite.data.catalogue; print([m for m in ('numpy', 'torch', 'medmnist') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_normal_classes_are_the_papers() -> None:
    assert dataset("pneumonia_mnist").normal_classes == (0,)
    assert dataset("breast_mnist").normal_classes == (1,), "index 0 is malignant in medmnist"
    assert dataset("retinal_oct").normal_classes == (3,)
    assert dataset("sars_cov_2").normal_classes == (1,)
    kvasir = dataset("kvasir_polyp")
    assert [kvasir.class_names[c] for c in range(8) if c not in kvasir.normal_classes] == ["polyps"]


def test_the_names_of_medmnist_resolve_as_medmnist_has_them() -> None:
    info = pytest.importorskip("medmnist").INFO
    flags = [flag for flag in info if not flag.endswith("3d")]
    for flag in flags:
        found = dataset(f"{flag.removesuffix('mnist')}_mnist")
        assert found.title == info[flag]["python_class"]
        assert found.channels == info[flag]["n_channels"]
        assert found.licence == info[flag]["license"]
        assert len(found.class_names) == (2 if flag == "chestmnist" else len(info[flag]["label"]))
    assert len(flags) == 12


@pytest.mark.parametrize("name", ["pneumonia", "nodule_mnist", "pneumoniamnist", "folder:", "folder: "])
def test_what_does_not_exist_is_unknown(name: str) -> None:
    with pytest.raises(UnknownNameError):
        dataset(name)


def test_a_size_is_made_from_the_next_larger_file_whatever_is_at_hand() -> None:
    assert [served(size) for size in (8, 28, 29, 32, 64, 100, 224, 500)] == [
        28,
        28,
        64,
        64,
        64,
        128,
        224,
        224,
    ]


def test_sets_that_come_later_say_what_to_do_instead() -> None:
    info = dataset("kvasir_polyp")
    assert data_identity(info, DataSettings())["size"] == 224
    with pytest.raises(DataMissing, match="folder:PATH"):
        info.pack()(info, 224, Path(), Path())


def test_a_folders_name_is_the_same_on_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for home in (tmp_path / "one", tmp_path / "two"):
        (home / "scans").mkdir(parents=True)
        monkeypatch.chdir(home)
        assert dataset("folder:./data/../scans/").name == "folder:scans"
        assert dataset("folder:data/scans").name == "folder:data/scans"
        assert dataset(f"folder:{home}/scans").name == "folder:scans"
        assert dataset(f"folder:{home}/scans/table.csv").name == "folder:scans/table.csv"
        assert dataset("folder:scans").origin == str(home / "scans")
        monkeypatch.setenv("HOME", str(home))
        assert dataset("folder:~/scans").origin == str(home / "scans")


def test_two_folders_of_one_name_are_refused() -> None:
    assert catalogue.clash(["folder:/a/scans", "folder:/b/slices", "phantom", "folder:/a/scans"]) is None
    line = catalogue.clash(["folder:/a/scans", "phantom", "folder:/b/scans"])
    assert line is not None
    assert "/a/scans" in line
    assert "/b/scans" in line
