"""Kvasir v2: eight folders, polyps against seven, every class split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images import as_folder, as_zip, png

from suite.data import fetch, kvasir, select
from suite.data import pack as packs
from suite.data.errors import DataFault
from suite.data.identity import DataSettings, data_identity
from suite.registry import dataset

INFO = dataset("kvasir_polyp")
SMALL = DataSettings(size=16)
FILES = {
    f"kvasir-dataset-v2/{name}/{at}-{n}.jpg": png(100 * at + n, colour=True)
    for at, name in enumerate(INFO.class_names)
    for n in range(10)
}


def test_polyps_are_split_too_and_counted(tmp_path: Path) -> None:
    as_zip(tmp_path / "kvasir-dataset-v2.zip", FILES)
    pack = packs.load(INFO, SMALL, tmp_path / "store", tmp_path)
    polyps = pack.classes == 6
    assert ((pack.splits == "train") & polyps).sum() == 7
    assert ((pack.splits == "train") & ~polyps).sum() == 49
    assert "polyps: 10 images where 1000 are published" in pack.notes
    found = select.evaluation(pack, data_identity(INFO, SMALL), "test", 0)
    assert (len(found.ids), found.labels.sum()) == (24, 3)


def test_dyed_polyps_are_polyps_by_a_setting_and_share_the_pack(tmp_path: Path) -> None:
    as_folder(tmp_path / "kvasir_polyp", FILES)
    with_dyed = DataSettings(size=16, normal_class=(1, 2, 3, 4, 5, 7))
    pack = packs.load(INFO, with_dyed, tmp_path / "store", tmp_path)
    found = select.evaluation(pack, data_identity(INFO, with_dyed), "test", 0)
    assert {name.split("/")[0] for name in found.ids[found.labels == 1]} == {"polyps", "dyed-lifted-polyps"}
    assert packs.load(INFO, SMALL, tmp_path / "store", tmp_path).folder == pack.folder
    assert data_identity(INFO, with_dyed) != data_identity(INFO, SMALL)


def test_what_is_downloaded_is_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def download(what: str, address: str, target: Path, *, kind: str, examine: object) -> Path:
        asked.append((address, target, kind))
        examine(as_zip(tmp_path / "good.zip", FILES))  # type: ignore[operator]
        with pytest.raises(DataFault, match="is not Kvasir-polyp"):
            examine(as_zip(tmp_path / "bad.zip", dict(list(FILES.items())[:70])))  # type: ignore[operator]
        return target

    monkeypatch.setattr(fetch, "download", download)
    assert kvasir.fetch(INFO, 224, tmp_path) == tmp_path / "kvasir-dataset-v2.zip"
    ((address, target, kind),) = asked
    assert str(address).startswith("https://datasets.simula.no/")
    assert kind == "zip"
    assert np.array_equal(kvasir.find(INFO, 224, tmp_path), None)
    as_zip(Path(str(target)), FILES)
    assert kvasir.find(INFO, 224, tmp_path) == target
