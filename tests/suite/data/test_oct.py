"""Retinal OCT in the three forms that it is served in."""

from __future__ import annotations

from pathlib import Path

from images import as_tar, as_zip, png

from suite.data import pack as packs
from suite.data.identity import DataSettings
from suite.registry import dataset

INFO = dataset("retinal_oct")
SMALL = DataSettings(size=16)


def files(above: str, *splits: str, suffix: str = "jpeg") -> dict[str, bytes]:
    return {
        f"{above}/{split}/{name}/{name}-{number}-1.{suffix}": png(10 * at + number + 99 * len(split))
        for split in splits
        for at, name in enumerate(INFO.class_names)
        for number in range(3)
    }


def test_kaggles_copy_and_its_validation_images_are_left_out(tmp_path: Path) -> None:
    once = files("OCT2017 ", "train", "test", "val")
    served = {**once, **files("oct2017/OCT2017 ", "train", "test", "val"), "OCT2017 /train/.DS_Store": b""}
    kaggle = packs.load(INFO, SMALL, tmp_path / "one", as_zip(tmp_path / "k/retinal_oct.zip", served).parent)
    assert kaggle.images.shape == (24, 1, 16, 16)
    assert set(kaggle.splits) == {"train", "test"}
    assert sum("left out: 12 images in its folders" in note for note in kaggle.notes) == 1
    tar = as_tar(tmp_path / "m/OCT2017.tar.gz", files("OCT2017", "train", "test"))
    mendeley = packs.load(INFO, SMALL, tmp_path / "two", tar.parent)
    assert mendeley.digest == kaggle.digest
    assert (mendeley.ids == kaggle.ids).all()


def test_the_chest_x_rays_beside_it_are_not_taken_for_it(tmp_path: Path) -> None:
    chest = {
        f"CellData/chest_xray/{s}/{k}/{n}.jpeg": png(n)
        for s in ("train", "test")
        for k in ("NORMAL", "PNEUMONIA")
        for n in range(2)
    }
    served = {**files("CellData/OCT", "train", "test"), **chest}
    as_zip(tmp_path / "ZhangLabData.zip", served)
    pack = packs.load(INFO, SMALL, tmp_path / "store", tmp_path)
    assert len(pack.ids) == 24
    assert "NORMAL: 6 images where 26557 are published" in pack.notes
    assert any(
        note.startswith("left out: 8 images beside its folders (CellData/chest_xray") for note in pack.notes
    )
