"""scikit-learn's digits: real, and there without a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from suite.data import pack as packs
from suite.data import select
from suite.data.identity import DataSettings, data_identity
from suite.registry import dataset

INFO = dataset("digits")


def test_all_digits_are_there_as_scikit_learn_has_them(tmp_path: Path) -> None:
    pack = packs.load(INFO, DataSettings(size=8), tmp_path / "store", tmp_path / "nothing")
    loaded = load_digits()
    order = np.array([int(name) for name in pack.ids])
    assert (pack.images[:, 0] == np.rint(loaded.images[order] * 255 / 16)).all()
    assert (pack.classes == loaded.target[order]).all()
    assert not [note for note in pack.notes if "published" in note], "the published counts are these"


def test_each_digit_is_a_problem_of_its_own(tmp_path: Path) -> None:
    seven = DataSettings(normal_class=(7,))
    pack = packs.load(INFO, seven, tmp_path / "store", tmp_path)
    assert pack.images.shape == (1797, 1, 32, 32)
    identity = data_identity(INFO, seven)
    assert len(select.training(pack, identity, 0).ids) == int(0.7 * INFO.published["7"])
    test = select.evaluation(pack, identity, "test", 0)
    assert ((pack.classes[test.indices] != 7) == test.labels).all()
