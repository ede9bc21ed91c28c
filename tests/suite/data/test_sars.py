"""SARS-COV-2 CT: the real slices where they are at hand."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import pytest

from suite.data import pack as packs
from suite.data import select
from suite.data.identity import DataSettings, data_identity
from suite.registry import dataset

INFO = dataset("sars_cov_2")
CPU = DataSettings(size=64)


@pytest.mark.slow
def test_the_real_set_from_folder_and_zip(shared_data: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    pack = packs.load(INFO, CPU, tmp_path / "store", shared_data)
    assert time.monotonic() - start < 180
    assert pack.images.shape == (2481, 1, 64, 64)
    assert {INFO.class_names[c]: int((pack.classes == c).sum()) for c in (0, 1)} == {
        "COVID": 1252,
        "non-COVID": 1229,
    }
    assert "non-COVID: 1229 images where 1230 are published" in pack.notes
    (pairs,) = [note for note in pack.notes if "repeat another one" in note]
    assert pairs.count(" and ") == 2
    test = select.evaluation(pack, data_identity(INFO, CPU), "test", 0)
    assert test.labels.sum() == 1252, "no anomaly is for training"
    assert len(select.training(pack, data_identity(INFO, CPU), 0).ids) == 860
    (tmp_path / "root").mkdir()
    with zipfile.ZipFile(tmp_path / "root" / "sars_cov_2.zip", "w") as zipped:
        for path in sorted((shared_data / "sars_cov_2").rglob("*.jpg"), reverse=True):
            zipped.write(path, path.relative_to(shared_data))
    again = packs.load(INFO, CPU, tmp_path / "other", tmp_path / "root")
    assert again.digest == pack.digest
    assert (again.images == pack.images).all()
