"""Pictures come only from the pack that the run saw, only where they may, and each only once."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fabric import outcome_of, plan_of
from PIL import Image

from suite import registry
from suite.data import pack
from suite.data.identity import DataSettings
from suite.outcome import Outcome
from suite.tables.html import thumbnails
from suite.tables.html.thumbnails import Thumbnails, picture

SPEC = """
title = "one run"
seeds = [0]
[settings]
method = "csi"
dataset = "phantom"
"data.size" = 16
[table]
rows = ["dataset"]
[grid]
dataset = ["phantom"]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the phantom's pack."""
    folder = tmp_path_factory.mktemp("store")
    pack.load(registry.dataset("phantom"), DataSettings(size=16), folder)
    return folder


@pytest.fixture
def seen(root: Path, tmp_path: Path) -> Outcome:
    """A run that saw that pack."""
    (run,) = plan_of(tmp_path, SPEC, "one").runs
    digest = pack.known_digest(registry.dataset("phantom"), DataSettings(size=16), root)
    return outcome_of(run, 0.9, digest=digest)


def ids(root: Path) -> list[str]:
    return [str(name) for name in pack.load(registry.dataset("phantom"), DataSettings(size=16), root).ids[:3]]


def decoded(address: str) -> Image.Image:
    kind, _, data = address.partition(";base64,")
    assert kind in ("data:image/png", "data:image/jpeg")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_pictures_are_the_images_of_these_ids(root: Path, seen: Outcome) -> None:
    made = Thumbnails(None, root, None)
    wanted = ids(root)
    name = made.ask(seen, wanted)
    found = made.images()[name]
    assert found["licence"].startswith("Apache")
    assert found["free"] is True
    assert set(found["pictures"]) == set(wanted)
    opened = pack.load(registry.dataset("phantom"), DataSettings(size=16), root)
    for one in wanted:
        (at,) = np.flatnonzero(opened.ids == one)
        assert np.array_equal(np.asarray(decoded(found["pictures"][one])), opened.images[at][0])
    before = dict(found["pictures"])
    assert made.ask(seen, [*wanted, "no such image"]) == name
    assert made.images()[name]["pictures"] == before


def test_no_pictures_unless_it_is_the_same_data(root: Path, seen: Outcome, tmp_path: Path) -> None:
    other = replace(seen, data={**seen.data, "digest": "f" * 64})
    assert Thumbnails(True, root, None).ask(other, ids(root)) == ""
    assert Thumbnails(True, tmp_path / "empty", None).ask(seen, ids(root)) == ""
    assert not (tmp_path / "empty").exists(), "a report packs nothing"
    unknown = replace(seen, dataset="no_such_set")
    assert Thumbnails(True, root, None).ask(unknown, ids(root)) == ""


def test_the_licence_decides_unless_the_reader_does(
    root: Path, seen: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ids(root)
    assert Thumbnails(False, root, None).ask(seen, wanted) == ""
    closed = replace(registry.dataset("phantom"), licence="Kaggle competition rules")
    monkeypatch.setattr(registry, "dataset", lambda name: closed)
    assert Thumbnails(None, root, None).ask(seen, wanted) == ""
    made = Thumbnails(True, root, None)
    assert (
        made.images()[made.ask(seen, wanted)]["free"] is False
        if made.ask(seen, wanted)
        else pytest.fail("none")
    )


def test_there_is_a_limit(root: Path, seen: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "MOST", 2)
    made = Thumbnails(None, root, None)
    assert (
        len(made.images()[made.ask(seen, ids(root))]["pictures"]) == 2 if made.ask(seen, ids(root)) else False
    )


@pytest.mark.parametrize(
    ("channels", "size", "kind"), [(1, 28, "PNG"), (3, 32, "PNG"), (3, 224, "JPEG"), (1, 64, "JPEG")]
)
def test_pictures_are_small(channels: int, size: int, kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (channels, size, size), dtype=np.uint8)
    drawn = decoded(picture(image))
    assert drawn.format == kind
    assert max(drawn.size) == min(size, thumbnails.SIDE)
    assert drawn.mode == ("L" if channels == 1 else "RGB")
