"""CIFAR in torchvision's files: read as it reads them, and nothing in a pickle is run."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from images import as_folder, as_tar

from suite.data import add, cifar, select
from suite.data import pack as packs
from suite.data.errors import DataFault
from suite.data.identity import DataSettings, data_identity
from suite.registry import dataset

PER_FILE = 40


class Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Writes byte strings as Python 2 did, whose pickles the published files are."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_bytes(self, text: bytes) -> None:
        size = bytes([len(text)]) if len(text) < 256 else struct.pack("<i", len(text))
        self.write((b"U" if len(text) < 256 else b"T") + size + text)
        self.memoize(text)

    dispatch[bytes] = save_bytes


def dumped(content: Any) -> bytes:
    stream = io.BytesIO()
    Python2(stream, 2).dump(content)
    return stream.getvalue()


def batches(name: str) -> dict[str, bytes]:
    """Small files of the published names and format."""
    made = {}
    for number, part in enumerate(cifar.PARTS[name]):
        generator = np.random.default_rng(number)
        content: dict[bytes, Any] = {
            b"data": generator.integers(0, 256, (PER_FILE, 3072), dtype=np.uint8),
            b"filenames": [b"x.png"] * PER_FILE,
        }
        if name == "cifar10":
            content[b"labels"] = [n % 10 for n in range(PER_FILE)]
        else:
            content |= {
                b"coarse_labels": [n % 20 for n in range(PER_FILE)],
                b"fine_labels": list(range(PER_FILE)),
            }
        made[part] = dumped(content)
    return made


def publish(monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Have these files count as the published ones."""
    parts = {
        part: (split, hashlib.md5(files[part]).hexdigest()) for part, (split, _) in cifar.PARTS[name].items()
    }
    monkeypatch.setitem(cifar.PARTS, name, parts)
    return {f"{cifar.FOLDERS[name]}/{part}": content for part, content in files.items()}


def test_facts_are_torchvisions() -> None:
    from torchvision.datasets import CIFAR10, CIFAR100

    for name, theirs in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        assert cifar.ARCHIVES[name] == (theirs.filename, theirs.tgz_md5)
        assert cifar.FOLDERS[name] == theirs.base_folder
        assert theirs.url == f"https://www.cs.toronto.edu/~kriz/{theirs.filename}"
        train = {part: ("train", md5) for part, md5 in theirs.train_list}
        assert cifar.PARTS[name] == train | {part: ("test", md5) for part, md5 in theirs.test_list}
    assert len(dataset("cifar100").class_names) == 20
    assert dataset("cifar100").counts["train"] == (2500, 47500)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_pixels_labels_and_splits_are_torchvisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import torchvision.datasets

    files = batches(name)
    served = publish(monkeypatch, name, files)
    as_tar(tmp_path / "root" / cifar.ARCHIVES[name][0], served)
    pack = packs.load(dataset(name), DataSettings(), tmp_path / "store", tmp_path / "root")
    as_folder(tmp_path / "theirs", served)
    kind = getattr(torchvision.datasets, name.upper())
    monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr(kind, "_load_meta", lambda self: None)
    for split in ("train", "test"):
        theirs = kind(str(tmp_path / "theirs"), train=split == "train")
        mine = {
            pack.images[at].tobytes(): int(pack.classes[at]) for at in np.flatnonzero(pack.splits == split)
        }
        labels = theirs.targets if name == "cifar10" else [n % 20 for n in theirs.targets]
        expected = {
            image.transpose(2, 0, 1).tobytes(): n for image, n in zip(theirs.data, labels, strict=True)
        }
        assert mine == expected
    if name == "cifar100":
        assert (pack.extra("fine") % 20 == pack.classes).all()


def test_a_one_class_problem_and_another_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = publish(monkeypatch, "cifar10", batches("cifar10"))
    as_folder(tmp_path / "cifar10", served)
    settings = DataSettings(normal_class=(3,), size=16)
    pack = packs.load(dataset("cifar10"), settings, tmp_path / "store", tmp_path)
    assert pack.images.shape == (6 * PER_FILE, 3, 16, 16)
    identity = data_identity(pack.info, settings)
    assert (pack.classes[select.training(pack, identity, 0).indices] == 3).all()
    assert select.evaluation(pack, identity, "test", 0).labels.sum() == 36


def test_it_is_found_as_torchvision_leaves_it_and_not_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = dataset("cifar10")
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "part.npz").touch()
    assert cifar.find(info, 32, tmp_path) is None
    as_folder(tmp_path / "cifar10", publish(monkeypatch, "cifar10", batches("cifar10")))
    assert cifar.find(info, 32, tmp_path) == tmp_path / "cifar10" / "cifar-10-batches-py"
    (added,) = add.add(info, tmp_path / "cifar10", (), tmp_path / "store", tmp_path / "root")
    assert added.made
    (again,) = add.add(
        info, tmp_path / "cifar10" / "cifar-10-batches-py", (), tmp_path / "store", tmp_path / "root"
    )
    assert not again.made


class Evil:
    """What unpickling must not run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


def test_nothing_in_a_pickle_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before the digest was compared nor, were it forged, after."""
    monkeypatch.chdir(tmp_path)
    files = {**batches("cifar10"), "data_batch_1": dumped({b"data": Evil()})}
    served = {f"cifar-10-batches-py/{part}": content for part, content in files.items()}
    as_folder(tmp_path / "cifar10", served)
    with pytest.raises(DataFault, match="data_batch_1 is not the published file"):
        packs.load(dataset("cifar10"), DataSettings(), tmp_path / "store", tmp_path)
    publish(monkeypatch, "cifar10", files)
    with pytest.raises(DataFault, match=r"mkdir has no place in it"):
        packs.load(dataset("cifar10"), DataSettings(), tmp_path / "store", tmp_path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1]), pickle.dumps({b"data": 1})[:-2]])
def test_other_content_is_told(content: bytes) -> None:
    with pytest.raises(DataFault, match="x is not a file of CIFAR"):
        cifar.unpickled(content, "x")


def test_an_incomplete_archive_is_told(tmp_path: Path) -> None:
    path = as_tar(tmp_path / "x.tar.gz", {"cifar-10-batches-py/data_batch_1": b""})
    with pytest.raises(DataFault, match="it has no data_batch_2, data_batch_3"):
        cifar.examine(dataset("cifar10"), path)
