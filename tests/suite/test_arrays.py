"""Arrays come as numpy gives them, and what numpy refuses is refused in its words."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from suite import arrays

KEPT = {
    "ids": np.array([f"test/{number:04}.png" for number in range(50)]),
    "labels": (np.arange(50) % 3 == 0).astype(np.uint8),
    "score": np.random.default_rng(0).normal(size=50),
    "part_two": np.arange(12.0).reshape(3, 4),
    "columns first": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "none": np.zeros((0, 3)),
    "one": np.float32(1.5),
    "big end first": np.arange(3, dtype=">i4"),
}


def said(read: Any, path: Path) -> tuple[str, Any]:
    """What a reader gives or raises, to be compared."""
    try:
        return "", {
            name: (one.dtype, one.shape, one.tobytes(), one.flags.writeable)
            for name, one in read(path).items()
        }
    except Exception as error:
        return type(error).__name__, str(error)


def by_numpy(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_all_arrays_are_those_of_numpy(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "scores.npz"
    save(path, allow_pickle=False, **KEPT)
    assert said(arrays.load, path) == said(by_numpy, path)
    assert list(arrays.load(path, ("score", "ids"))) == ["score", "ids"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_whichever_byte_is_changed_the_answer_is_that_of_numpy(tmp_path: Path, save: Any) -> None:
    path = tmp_path / "scores.npz"
    save(path, allow_pickle=False, ids=KEPT["ids"][:3], score=KEPT["score"][:2])
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        for flip in (1, 255):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
            assert said(arrays.load, path) == said(by_numpy, path), f"byte {place}"
        path.write_bytes(whole[:place])
        assert said(arrays.load, path) == said(by_numpy, path), f"cut at {place}"


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, ids=np.array([{}, []], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        arrays.load(path)


def test_what_is_absent_is_told_as_numpy_tells_it(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    with pytest.raises(FileNotFoundError):
        arrays.load(path)
    np.savez(path, ids=KEPT["ids"])
    with pytest.raises(KeyError, match="score"):
        arrays.load(path, ("score",))


def test_an_archive_that_holds_more_is_read_by_numpy(tmp_path: Path) -> None:
    path = tmp_path / "scores.npz"
    np.savez(path, ids=KEPT["ids"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "text")
    assert np.array_equal(arrays.load(path, ("ids",))["ids"], KEPT["ids"])
