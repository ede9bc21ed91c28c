"""APTOS 2019: a table and a folder that must fit together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from images import as_folder, as_tar, as_zip, png

from suite.data import pack as packs
from suite.data.errors import DataFault
from suite.data.identity import DataSettings
from suite.registry import dataset

INFO = dataset("aptos_2019")
SMALL = DataSettings(size=16)
CODES = {f"c{n:02d}": n % 5 for n in range(50)}
TABLE = "id_code,diagnosis\n" + "".join(f"{code},{grade}\n" for code, grade in CODES.items())
IMAGES = {f"train_images/{code}.png": png(n, colour=True) for n, code in enumerate(CODES)}
SERVED = {
    "train.csv": TABLE.encode(),
    "test.csv": b"id_code\nt00\n",
    "sample_submission.csv": b"id_code,diagnosis\nt00,0\n",
    "test_images/t00.png": png(999),
    **IMAGES,
}


def test_every_container_gives_the_graded_images(tmp_path: Path) -> None:
    roots = [
        as_zip(tmp_path / "z/aptos2019-blindness-detection.zip", SERVED).parent,
        as_tar(
            tmp_path / "t/aptos_2019.tar.gz", {f"top/{name}": c for name, c in reversed(SERVED.items())}
        ).parent,
        as_folder(tmp_path / "f/aptos_2019", SERVED).parent,
    ]
    found = [packs.load(INFO, SMALL, tmp_path / f"store{n}", root) for n, root in enumerate(roots)]
    assert len({pack.digest for pack in found}) == 1
    (pack, *_) = found
    assert pack.images.shape == (50, 3, 16, 16)
    by_id = dict(zip(pack.ids, pack.classes, strict=True))
    assert by_id == {f"train_images/{code}.png": grade for code, grade in CODES.items()}
    for grade in range(5):
        assert ((pack.splits == "train") & (pack.classes == grade)).sum() == 7
    assert np.isin(pack.splits, ["train", "test"]).all()


def without(name: str) -> dict[str, bytes]:
    return {other: content for other, content in SERVED.items() if other != name}


def table(text: str) -> dict[str, bytes]:
    return {**SERVED, "train.csv": text.encode()}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (without("train.csv"), "it should hold train.csv and train_images/, and holds"),
        (without("train_images/c07.png"), "1 of the 50 ids in train.csv have no image in train_images (c07)"),
        ({**SERVED, "train_images/x.png": b""}, "1 images have no row in train.csv (x)"),
        (table(TABLE.replace("id_code", "id")), "has the columns id, diagnosis; it needs id_code,diagnosis"),
        (table(TABLE.replace("c03,", ",")), "line 5 has no id_code"),
        (table(TABLE.replace("c03,", "c02,")), "line 5: c02 stands there twice"),
        (table(TABLE.replace("c03,3", "c03,7")), "line 5: c03 has the diagnosis '7', which is not 0 to 4"),
        (table(TABLE.replace("c03,3", "c03")), "c03 has the diagnosis ''"),
        (table("id_code,diagnosis\n"), "no rows"),
        (table(""), "has the columns none"),
        ({**SERVED, "train.csv": b"\xff\xfe\x00"}, "not a readable table"),
    ],
)
def test_a_table_that_does_not_fit_is_one_clear_line(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    as_zip(tmp_path / "aptos_2019.zip", files)
    with pytest.raises(DataFault) as fault:
        packs.load(INFO, SMALL, tmp_path / "store", tmp_path)
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)
    assert not list((tmp_path / "store").rglob("*.npy"))
