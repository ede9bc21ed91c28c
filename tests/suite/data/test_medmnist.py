"""MedMNIST: the real files where they are at hand, and files that are not what they should be."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from suite.data import fetch, select
from suite.data import pack as packs
from suite.data.errors import DataFault, DataMissing
from suite.data.identity import DataSettings, data_identity
from suite.data.medmnist import DIGESTS
from suite.data.pack import Pack
from suite.plan import expand
from suite.registry import dataset, methods
from suite.spec import load_spec
from suite.vocabulary import SpecErrors


@pytest.fixture(scope="session")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pack]:
    store = tmp_path_factory.mktemp("store")
    return {
        n: packs.load(dataset(n), DataSettings(), store, shared_data)
        for n in ("pneumonia_mnist", "breast_mnist")
    }


@pytest.mark.parametrize("name", ["pneumonia_mnist", "breast_mnist"])
def test_counts_and_content_are_the_published_ones(real: dict[str, Pack], name: str) -> None:
    pack = real[name]
    anomalous = ~np.isin(pack.classes, pack.info.normal_classes)
    for split, (normal, other) in pack.info.counts.items():
        inside = pack.splits == split
        assert (int((inside & ~anomalous).sum()), int((inside & anomalous).sum())) == (normal, other)
    assert pack.digest == DIGESTS[name, 28]
    assert pack.images.shape[1:] == (1, 28, 28)


def test_known_faults_are_found_and_said(real: dict[str, Pack]) -> None:
    pneumonia, breast = " ".join(real["pneumonia_mnist"].notes), " ".join(real["breast_mnist"].notes)
    assert "8 image(s) stand in both train and val" in pneumonia
    assert "3 image(s) of test repeat another one there" in pneumonia
    assert "1 image(s) have conflicting labels: test/0076 = class 1 and train/0115 = class 0" in breast


def test_ten_percent_of_pneumonia_is_134_of_the_training_anomalies(real: dict[str, Pack]) -> None:
    pack = real["pneumonia_mnist"]
    identity = data_identity(pack.info, DataSettings(contamination=0.1))
    one, again, other = (select.training(pack, identity, seed) for seed in (0, 0, 1))
    assert (len(one.labels) - one.labels.sum(), one.labels.sum()) == (1214, 134)
    assert (one.indices == again.indices).all()
    assert set(one.ids) != set(other.ids)
    assert (pack.splits[one.indices] == "train").all()


def test_every_method_is_contaminated_alike_and_by_no_test_image(
    real: dict[str, Pack], tmp_path: Path
) -> None:
    """Whatever method a run is of, its key names the data from which the same anomalies follow."""
    pack = real["pneumonia_mnist"]
    spec = tmp_path / "contaminated.toml"
    settings = 'settings = { dataset = "pneumonia_mnist", "data.contamination" = 0.1, "data.size" = 28 }'
    runs = []
    for name in methods():
        spec.write_text(f'seeds = [0, 1]\n{settings}\n[grid]\nmethod = ["{name}"]\n')
        with suppress(SpecErrors):  # some methods take no image of 28 px
            runs += expand(load_spec(spec)).runs
    assert {"csi", "dia", "pixel_knn"} <= {run.method for run in runs}
    seen: dict[int, set[tuple[str, ...]]] = {0: set(), 1: set()}
    for run in runs:
        train = select.training(pack, run.train["data"], run.seed)
        drawn = train.indices[train.labels == 1]
        tested = select.evaluation(pack, run.train["data"], "test", run.seed).indices
        assert (len(train.indices) - len(drawn), len(drawn), len(tested)) == (1214, 134, 624)
        assert not set(drawn.tolist()) & set(tested.tolist())
        assert not set(pack.groups[drawn].tolist()) & set(pack.groups[tested].tolist()), "nor an equal one"
        seen[run.seed].add(tuple(train.ids.tolist()))
    assert [len(ids) for ids in seen.values()] == [1, 1]
    assert seen[0] != seen[1]


def test_the_clean_split_has_no_equal_images_and_no_conflict(real: dict[str, Pack]) -> None:
    for name, tested in (("pneumonia_mnist", 621), ("breast_mnist", 155)):
        pack = real[name]
        identity = data_identity(pack.info, DataSettings(split="clean"))
        parts = [
            select.training(pack, identity, 0),
            *(select.evaluation(pack, identity, s, 0) for s in ("val", "test")),
        ]  # type: ignore[arg-type]
        groups = pack.groups[np.concatenate([part.indices for part in parts])]
        assert len(np.unique(groups)) == len(groups)
        assert len(parts[2].ids) == tested


def write(root: Path, name: str = "breastmnist.npz", **arrays: np.ndarray) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / name, **arrays)
    return root


def some(size: int, channels: int = 1, labels: int = 1) -> dict[str, np.ndarray]:
    shape = (6, size, size) if channels == 1 else (6, size, size, channels)
    random = np.random.default_rng(0)
    arrays = {f"{s}_images": random.integers(0, 256, shape, dtype=np.uint8) for s in ("train", "val", "test")}
    return arrays | {
        f"{s}_labels": np.arange(6 * labels, dtype=np.uint8).reshape(6, labels) % 2
        for s in ("train", "val", "test")
    }


def test_another_size_comes_from_the_next_larger_file(tmp_path: Path) -> None:
    arrays = some(64)
    root = write(tmp_path / "medmnist", "breastmnist_64.npz", **arrays).parent
    assert packs.find(dataset("breast_mnist"), DataSettings(), tmp_path / "s", root) is None
    pack = packs.load(dataset("breast_mnist"), DataSettings(size=32), tmp_path / "s", root)
    assert pack.images.shape == (18, 1, 32, 32)
    first = pack.images[list(pack.ids).index("train/0000"), 0].astype(float)
    inner = arrays["train_images"][0].reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.corrcoef(first.ravel(), inner.ravel())[0, 1] > 0.9


def test_colour_comes_channels_first_and_several_labels_become_any(tmp_path: Path) -> None:
    arrays = some(28, 3)
    pack = packs.load(
        dataset("derma_mnist"), DataSettings(), tmp_path / "s", write(tmp_path, "dermamnist.npz", **arrays)
    )
    at = list(pack.ids).index("val/0003")
    assert (pack.images[at] == arrays["val_images"][3].transpose(2, 0, 1)).all()
    arrays = some(28, labels=14) | {"test_labels": np.zeros((6, 14), np.uint8)}
    pack = packs.load(
        dataset("chest_mnist"), DataSettings(), tmp_path / "s", write(tmp_path, "chestmnist.npz", **arrays)
    )
    assert (pack.classes == (pack.splits != "test")).all()


def test_a_set_of_other_content_is_noted(tmp_path: Path) -> None:
    pack = packs.load(dataset("breast_mnist"), DataSettings(), tmp_path / "s", write(tmp_path, **some(28)))
    assert pack.notes[0].startswith("not the published content")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_archive_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "breastmnist.npz").write_bytes(content)
    with pytest.raises(DataFault, match=r"breastmnist\.npz is not a readable MedMNIST file"):
        packs.load(dataset("breast_mnist"), DataSettings(), tmp_path / "s", tmp_path)
    assert list((tmp_path / "s").rglob("*.npy")) == []


@pytest.mark.parametrize(
    "change",
    [
        {"train_images": np.zeros((6, 32, 32), np.uint8)},
        {"train_images": np.zeros((6, 28, 28, 3), np.uint8)},
        {"train_labels": np.zeros((5, 1), np.uint8)},
        {"train_labels": np.array([{}], dtype=object)},
    ],
)
def test_wrong_arrays_and_pickles_are_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    write(tmp_path, **{**some(28), **change})
    with pytest.raises(DataFault, match=r"breastmnist\.npz"):
        packs.load(dataset("breast_mnist"), DataSettings(), tmp_path / "s", tmp_path)


@pytest.mark.parametrize(
    ("size", "name", "suffix"), [(28, "breastmnist.npz", ""), (32, "breastmnist_64.npz", "_64")]
)
def test_the_file_and_digest_that_medmnist_names_are_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, name: str, suffix: str
) -> None:
    import medmnist

    asked: dict[str, object] = {}

    def download(what: str, address: str, target: Path, **options: object) -> Path:
        asked.update(options, address=address)
        write(target.parent, target.name, **some(64 if suffix else 28))
        return target

    monkeypatch.setattr(fetch, "download", download)
    pack = packs.load(dataset("breast_mnist"), DataSettings(size=size), tmp_path / "s", tmp_path / "root")
    assert pack.images.shape[2] == size
    assert (tmp_path / "root" / "medmnist" / name).is_file()
    facts = medmnist.INFO["breastmnist"]
    assert asked == {"address": facts[f"url{suffix}"], "md5": facts[f"MD5{suffix}"], "kind": "zip"}


def test_without_file_and_network_one_line_says_what_to_do(tmp_path: Path) -> None:
    info = dataset("breast_mnist")
    assert packs.automatic(info)
    with pytest.raises(DataMissing) as missing:
        packs.load(info, DataSettings(), tmp_path / "s", tmp_path)
    text = str(missing.value)
    assert "\n" not in text
    assert "breastmnist.npz" in text
    assert "--data-root" in text
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []
