"""The phantom keeps its promises: what pixels can see, what only a filter for the lesion can, and that
nothing moves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from suite.data import pack as packs
from suite.data import phantom, select
from suite.data.errors import DataFault
from suite.data.identity import DataSettings, data_identity, lesions
from suite.data.pack import Pack
from suite.registry import dataset


@pytest.fixture(scope="module", params=[32, 64])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pack]:
    store = tmp_path_factory.mktemp("store")
    settings = DataSettings(size=request.param)
    return {name: packs.load(dataset(name), settings, store) for name in ("phantom", "phantom_coarse")}


def sets(pack: Pack) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    identity = data_identity(pack.info, DataSettings(size=pack.images.shape[-1]))
    train, test = select.training(pack, identity, 0), select.evaluation(pack, identity, "test", 0)
    return pack.images[train.indices], pack.images[test.indices], test.labels


def pixel_knn(pack: Pack) -> float:
    train, test, labels = sets(pack)
    nearest = NearestNeighbors(n_neighbors=1).fit(train.reshape(len(train), -1))
    return float(roc_auc_score(labels, nearest.kneighbors(test.reshape(len(test), -1))[0][:, 0]))


def test_fine_lesions_hide_from_pixels_and_not_from_who_knows_their_shape(both: dict[str, Pack]) -> None:
    train, test, labels = sets(both["phantom"])
    assert pixel_knn(both["phantom"]) < 0.75
    assert roc_auc_score(labels, phantom.oracle_scores(test, train)) >= 0.95


def test_coarse_lesions_are_seen_by_pixels(both: dict[str, Pack]) -> None:
    assert pixel_knn(both["phantom_coarse"]) >= 0.9


def test_counts_and_stand_in(both: dict[str, Pack]) -> None:
    for pack in both.values():
        for split, (normal, anomalous) in phantom.COUNTS.items():
            assert np.bincount(pack.classes[pack.splits == split], minlength=2).tolist() == [
                normal,
                anomalous,
            ]
        assert pack.info.stand_in
        assert pack.info.validation
        assert pack.notes == ()


def test_the_truth_is_where_the_lesions_are(both: dict[str, Pack]) -> None:
    """The brightest excess over the same individual without lesions lies at a place that is told."""
    size = both["phantom"].images.shape[-1]
    one = phantom.generate(0, 40, size, 7)
    without = phantom.generate(0, 40, size, 7, style=phantom.Style(contrast=0.0))
    excess = (one.images.astype(int) - without.images)[:, 0]
    row, column = np.unravel_index(excess.reshape(40, -1).argmax(1), (size, size))
    x, y = (np.stack([column, row]) + 0.5) * 2 / size - 1
    there = one.truth.contrast > 0
    distance = np.hypot(one.truth.x - x[:, None], one.truth.y - y[:, None])
    assert np.where(there, distance, np.inf).min(axis=1).max() < 2 * phantom.Style.radius
    style = phantom.Style()
    assert ((there.sum(axis=1) >= style.nodules[0]) & (there.sum(axis=1) <= style.nodules[1])).all()
    assert np.abs(one.truth.contrast[there] / style.contrast - 1).max() <= 0.2
    pack = both["phantom"]
    assert ((pack.extra("lesion_contrast") > 0).any(axis=1) == (pack.classes == 1)).all()


@pytest.mark.parametrize("kind", ["fine", "coarse"])
def test_the_same_seed_gives_the_same_images(kind: phantom.Kind) -> None:
    one, two, other = (phantom.generate(5, 5, 32, seed, kind) for seed in (1, 1, 2))
    assert (one.images == two.images).all()
    assert (one.images != other.images).any(axis=(1, 2, 3)).all()
    assert len(np.unique(one.images.reshape(10, -1), axis=0)) == 10


def test_individuals_are_the_same_at_every_size() -> None:
    small, large = (
        phantom.generate(20, 0, size, 3, style=phantom.Style(texture=0)).images for size in (16, 128)
    )
    reduced = large.reshape(20, 16, 8, 16, 8).mean(axis=(2, 4))
    assert np.abs(reduced - small[:, 0]).mean() < 6, "grey values of 255"
    assert small.shape == (20, 1, 16, 16)


def test_chunks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = phantom.generate(10, 10, 32, 0)
    monkeypatch.setattr(phantom, "_CHUNK", 3 * 32**2)
    assert (phantom.generate(10, 10, 32, 0).images == whole.images).all()


def test_stronger_and_larger_lesions_are_easier() -> None:
    train = phantom.generate(200, 0, 32, 0).images

    def oracle(**style: float) -> float:
        test = phantom.generate(100, 100, 32, 1, style=phantom.Style(nodules=(1, 1), **style))  # type: ignore[arg-type]
        radius = style.get("radius", phantom.Style.radius)
        return float(roc_auc_score(test.labels, phantom.oracle_scores(test.images, train, radius)))

    assert oracle(contrast=0.0) == pytest.approx(0.5, abs=0.1)
    assert oracle(contrast=0.1) < oracle(contrast=0.2) < oracle(contrast=0.4)
    assert oracle(radius=0.03) < oracle(radius=0.09)


def test_other_lesions_change_nothing_but_the_anomalies(tmp_path: Path) -> None:
    """So that a method is trained once for all of them."""
    usual = packs.load(dataset("phantom"), DataSettings(), tmp_path)
    small = packs.load(dataset("phantom"), DataSettings(lesion_radius=0.02, lesion_contrast=0.1), tmp_path)
    assert small.folder != usual.folder
    place = {name: at for at, name in enumerate(small.ids.tolist())}
    other = small.images[[place[name] for name in usual.ids.tolist()]]
    same = (other == usual.images).all(axis=(1, 2, 3))
    assert same[usual.classes == 0].all()
    assert not same[usual.classes == 1].any()
    assert small.extra("lesion_radius").max() == 0.02
    assert np.array_equal(np.sort(small.extra("lesion_x").ravel()), np.sort(usual.extra("lesion_x").ravel()))


def test_lesions_are_the_phantoms_alone(tmp_path: Path) -> None:
    asked = DataSettings(lesion_radius=0.02)
    names = ("phantom_coarse", "digits")
    assert [lesions(dataset(name), asked) for name in names] == [{}, {}]
    assert lesions(dataset("phantom"), asked) == {"lesion_radius": 0.02}
    assert lesions(dataset("phantom"), DataSettings()) == {}


def test_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="at least 16 px, not 8"):
        phantom.generate(1, 0, 8, 0)


def test_the_content_is_what_it_was(tmp_path: Path) -> None:
    """The digest of the default packs. When it moves on purpose, DataInfo.recipe must move too: keys stand
    on it.
    """
    digests = {
        n: packs.load(dataset(n), DataSettings(), tmp_path).digest[:16] for n in ("phantom", "phantom_coarse")
    }
    assert digests == {"phantom": "61ee9705abcf0a98", "phantom_coarse": "5816b99a3765ff25"}
