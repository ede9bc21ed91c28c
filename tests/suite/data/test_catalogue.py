"""The catalogue: cheap facts, names for any MedMNIST set and any folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suite.data import catalogue
from suite.data import pack as packs
from suite.data.identity import DataSettings, data_identity
from suite.data.medmnist import served
from suite.registry import DataInfo, UnknownNameError, dataset


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


@pytest.mark.parametrize("info", catalogue.every(), ids=lambda info: info.name)
def test_every_set_states_its_facts(info: DataInfo) -> None:
    """Licence, citation, split rule, classes and, where they are published, counts that agree with each other."""
    assert info.licence
    assert info.title
    assert dataset(info.name) is info or dataset(info.name) == info
    assert set(info.normal_classes) < set(range(len(info.class_names)))
    assert data_identity(info, DataSettings())["size"] == info.size
    if info.stand_in:
        return
    assert info.citation
    assert info.url.startswith("https://")
    assert info.split_rule
    assert packs.command(info) or info.name == "digits"
    assert set(info.published) <= set(info.class_names)
    if info.published:
        assert list(info.published) == list(info.class_names)
    if info.published and info.counts:
        normal = sum(info.published[info.class_names[at]] for at in info.normal_classes)
        assert sum(counts[0] for counts in info.counts.values()) == normal
        assert sum(sum(counts) for counts in info.counts.values()) == sum(info.published.values())


def test_published_numbers_are_the_papers() -> None:
    """Supplement A.2."""
    published = {info.name: sum(info.published.values()) for info in catalogue.every()}
    assert published["sars_cov_2"] == 1252 + 1230
    assert published["kvasir_polyp"] == 8000
    assert published["aptos_2019"] == 3662
    assert published["cifar10"] == published["cifar100"] == 60000
    splits = {split: sum(counts) for split, counts in dataset("retinal_oct").counts.items()}
    assert splits == {"train": 83484, "test": 968}
    pneumonia = dataset("pneumonia_mnist").counts
    assert sum(map(sum, pneumonia.values())) == 5856


def test_what_gets_a_set_is_named() -> None:
    assert packs.missing(dataset("kvasir_polyp")).endswith(": suite data fetch kvasir_polyp")
    assert packs.missing(dataset("cifar100")).endswith(": suite data fetch cifar100")
    for name in ("sars_cov_2", "aptos_2019", "retinal_oct"):
        line = packs.missing(dataset(name))
        assert line.endswith(f", then suite data add {name} PATH")
        assert dataset(name).url in line
        assert "\n" not in line


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
