"""People's own folders: three layouts, one digest, and faults that are named."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from suite.data import pack as packs
from suite.data import select
from suite.data.errors import DataFault, DataMissing
from suite.data.identity import DataSettings, data_identity
from suite.data.pack import Pack
from suite.registry import dataset

SMALL = DataSettings(size=16)
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 16, 16), dtype=np.uint8)
"""Images 0 to 19 are normal, 20 to 29 anomalous."""


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def load(path: Path, store: Path, settings: DataSettings = SMALL) -> Pack:
    return packs.load(dataset(f"folder:{path}"), settings, store, None)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    for number, pixels in enumerate(PIXELS):
        kind = "normal" if number < 20 else "anomalous"
        save(tmp_path / "two" / kind / f"{number}.png", pixels)
    return tmp_path / "two"


def test_normal_and_anomalous_split_seven_to_three(two: Path, tmp_path: Path) -> None:
    (two / "normal" / ".hidden.png").write_bytes(b"no image")
    (two / "normal" / "notes.txt").write_text("not an image")
    pack = load(two, tmp_path / "store")
    identity = data_identity(pack.info, SMALL)
    assert pack.images.shape == (30, 1, 16, 16)
    assert len(select.training(pack, identity, 0).ids) == 14
    test = select.evaluation(pack, identity, "test", 0)
    assert (len(test.ids), test.labels.sum()) == (16, 10)
    at = list(pack.ids).index("anomalous/25.png")
    assert (pack.images[at, 0] == PIXELS[25]).all()


def test_names_order_and_layout_do_not_reach_the_digest(two: Path, tmp_path: Path) -> None:
    first = load(two, tmp_path / "store")
    for number, pixels in enumerate(PIXELS):
        kind = "Normal" if number < 20 else "Anomalous/deep"
        save(tmp_path / "renamed" / kind / f"scan {97 * number % 31}.bmp", pixels)
        save(tmp_path / "table" / f"{number}.png", np.repeat(pixels[..., None], 3, 2))
    with (tmp_path / "table" / "images.csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file)
        table.writerow(["label", " ID "])
        table.writerows([int(number >= 20), f"{number}.png"] for number in reversed(range(30)))
    for other in (
        load(tmp_path / name, tmp_path / "store") for name in ("renamed", "table", "table/images.csv")
    ):
        assert other.digest == first.digest
        assert (other.images == first.images).all()
        assert (other.splits == first.splits).all()


def test_mvtec(tmp_path: Path) -> None:
    root = tmp_path / "bottle"
    for number, pixels in enumerate(PIXELS):
        kind = (
            "train/good"
            if number < 15
            else "test/good"
            if number < 20
            else f"test/{'crack' if number < 25 else 'bent'}"
        )
        save(root / kind / f"{number:03}.png", pixels)
    save(root / "ground_truth" / "crack" / "020_mask.png", PIXELS[20])
    pack = load(root, tmp_path / "store")
    assert len(pack.ids) == 30
    assert {i.split("/")[1]: int(c) for i, c in zip(pack.ids, pack.classes, strict=True)} == {
        "good": 0,
        "bent": 1,
        "crack": 2,
    }
    assert all(i.startswith(s) for i, s in zip(pack.ids, pack.splits, strict=True))


def test_a_table_with_splits_of_its_own_uses_them(tmp_path: Path) -> None:
    rows = ["id,label,split"]
    for number, pixels in enumerate(PIXELS):
        save(tmp_path / "t" / f"{number}.png", pixels)
        split = "val" if number % 5 == 0 else "train" if number < 15 else "test"
        rows.append(f"{number}.png,{'good' if number < 20 else 'tumour'},{split}")
    (tmp_path / "t" / "labels.csv").write_text("\n".join(rows))
    pack = load(tmp_path / "t", tmp_path / "store")
    identity = data_identity(pack.info, SMALL, cut_validation=True)
    val = select.evaluation(pack, identity, "val", 0)
    assert sorted(val.ids) == sorted(f"{n}.png" for n in range(0, 30, 5)), "its own, not one that was cut"
    assert val.labels.sum() == 2


def test_a_changed_folder_is_packed_anew(two: Path, tmp_path: Path) -> None:
    before = load(two, tmp_path / "store")
    save(two / "normal" / "more.png", np.zeros((16, 16), np.uint8))
    after = load(two, tmp_path / "store")
    assert (len(before.ids), len(after.ids)) == (30, 31)
    assert before.digest != after.digest
    shutil.rmtree(two)
    assert packs.find(dataset(f"folder:{two}"), SMALL, tmp_path / "store") is None
    with pytest.raises(DataMissing, match="there is no"):
        load(two, tmp_path / "store")


def test_the_default_size_and_colour(tmp_path: Path) -> None:
    for number in range(8):
        kind = "normal" if number < 5 else "anomalous"
        save(
            tmp_path / "c" / kind / f"{number}.png",
            np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8),
        )
    assert load(tmp_path / "c", tmp_path / "store", DataSettings()).images.shape == (8, 3, 224, 224)


def test_an_unknown_layout_shows_the_known_ones(tmp_path: Path) -> None:
    save(tmp_path / "x" / "healthy" / "1.png", PIXELS[0])
    with pytest.raises(DataFault) as fault:
        load(tmp_path / "x", tmp_path / "store")
    for part in ("healthy/", "normal/ and anomalous/", "test/<defect>/", "id,label,split"):
        assert part in str(fault.value)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_faulty_images_are_all_found_and_named(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (two / "normal" / "3.png").read_bytes()
    (two / "normal" / "3.png").write_bytes(whole[:100])
    (two / "anomalous" / "22.png").write_bytes(b"<html>")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    save(two / "normal" / "bomb.png", np.zeros((80, 80), np.uint8))
    save(two / "normal" / "large.png", np.zeros((40, 40), np.uint8))
    with pytest.raises(DataFault) as fault:
        load(two, tmp_path / "store")
    assert "4 of 32 images are faulty" in str(fault.value)
    for name in ("normal/3.png", "anomalous/22.png", "normal/bomb.png", "normal/large.png"):
        assert name in str(fault.value)
    assert list((tmp_path / "store").rglob("*.npy")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\n0.png,0\n", "it needs id,label"),
        ("id,label\n", "no rows"),
        ("id,label\n0.png,0\nmissing.png,1\n", "line 3: there is no file missing.png"),
        ("id,label\n../0.png,0\n", "line 2: id '../0.png' is not a path inside"),
        ("id,label\n/etc/0.png,0\n", "is not a path inside"),
        ("id,label\n,0\n", "id '' is not a path"),
        ("id,label\n0.png,\n", "0.png has no label"),
        ("id,label,split\n0.png,0,dev\n", "split 'dev' is not train, val or test"),
        ("id,label\n0.png,0\n0.png,0\n", "stand there twice: 0.png"),
        ("id,label\n0.png,1\n", "no image has the label 0"),
        ("id,label\n0.png,healthy\n", "no label is 'normal' or 'good'"),
        ("id,label\n\xff.png", "not a readable table"),
    ],
)
def test_a_faulty_table_is_one_clear_line(tmp_path: Path, text: str, said: str) -> None:
    save(tmp_path / "t" / "0.png", PIXELS[0])
    (tmp_path / "t" / "images.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataFault) as fault:
        load(tmp_path / "t", tmp_path / "store")
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_dangling_link_is_a_faulty_image(two: Path, tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone.png", two / "normal" / "link.png")
    with pytest.raises(DataFault, match=r"normal/link\.png"):
        load(two, tmp_path / "store")
