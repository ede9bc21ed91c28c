"""Folders in parcels: what travels, what stays, and that a landing is whole or not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine import Bench
from hypothesis import given
from hypothesis import strategies as st

from suite.executors import Task, parcel
from suite.executors.parcel import LandingFault, Parcel, checker, land, pack, stamps, unpack
from suite.job import Conditions
from suite.run import execute, make_artefact
from suite.store import Store


def _same(chunk: Any) -> Any:
    return chunk


def _content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in stamps(folder)}


@given(
    contents=st.dictionaries(st.sampled_from(["a", "deep/er/b.npy", "c.json"]), st.binary(max_size=3000)),
    size=st.integers(1, 5000),
)
def test_a_folder_arrives_as_it_was_whatever_the_chunks(contents: dict[str, bytes], size: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parcel, "CHUNK", size)
        source, target = Path(folder, "source"), Path(folder, "target")
        for name, content in contents.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        sent = pack(source, _same)
        assert all(len(chunk) == size for chunk in sent.chunks[:-1])
        unpack(sent, _same, target)
        assert _content(target) == contents
        assert set(sent.names) == set(contents)


def test_claims_and_half_written_files_stay_behind(tmp_path: Path) -> None:
    for name in ("claim.json", "claim.json.heir", ".part", ".removed/x", "kept"):
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text("")
    (tmp_path / "a" / "link").symlink_to("/etc/passwd")
    assert pack(tmp_path / "a", _same).names == ("kept",)


def test_only_what_changed_goes_back_and_what_is_gone_goes(tmp_path: Path) -> None:
    """As a run goes: the store's folder to the machine, worked in there, and landed."""
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    for name, text in {"weights.pt": "w" * 1000, "resume.pt": "r", "log.txt": "one\n"}.items():
        (home / name).write_text(text)
    (home / "claim.json").write_text("the driver's")
    sent = pack(home, _same)
    unpack(sent, _same, away)
    known = stamps(away)
    (away / "resume.pt").unlink()
    with (away / "log.txt").open("a") as log:
        log.write("two\n")
    back = pack(away, _same, known)
    assert b"www" not in b"".join(back.chunks)
    (home / "came later").write_text("not of this run")
    land(back, _same, home, sent.names)
    assert {path.name for path in home.iterdir()} == {"weights.pt", "log.txt", "claim.json", "came later"}
    assert (home / "log.txt").read_text() == "one\ntwo\n"


def test_nothing_gets_out_of_the_folder(tmp_path: Path) -> None:
    import io
    import tarfile

    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    with pytest.raises(LandingFault, match="damaged"):
        unpack(Parcel((), (made.getvalue(),)), _same, tmp_path / "in")
    assert not (tmp_path / "outside").exists()


@pytest.fixture
def done(bench: Bench) -> tuple[Task, Path]:
    """A finished run in some other store."""
    run = bench.run()
    execute(run, Store(bench.folder / "away"))
    return Task(run), Store(bench.folder / "away").run_folder(run.train_key)


def _cut(folder: Path) -> None:
    (next(folder.glob("eval/*")) / "scores.npz").write_bytes(b"PK")


def _of_another(folder: Path) -> None:
    path = next(folder.glob("eval/*")) / "outcome.json"
    plain = json.loads(path.read_text())
    plain["train"]["seed"] += 1
    path.write_text(json.dumps(plain))


def _without(folder: Path) -> None:
    shutil.rmtree(folder / "eval")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_cut, "cannot be used"),
        (_of_another, r"another run's \(train_key"),
        (_without, "format None"),
        (lambda folder: (folder / "settings.json").write_text('{"train_key": "b"}'), "belongs to the key b"),
    ],
)
def test_only_what_was_asked_for_lands(
    done: tuple[Task, Path], bench: Bench, spoil: Callable[[Path], None], said: str
) -> None:
    task, away = done
    spoil(away)
    store = Store(bench.store)
    with pytest.raises(LandingFault, match=said):
        land(pack(away, _same), _same, task.folder(store), check=checker(task, done=True))
    assert not stamps(task.folder(store))


def test_a_run_lands_in_the_store(done: tuple[Task, Path], bench: Bench) -> None:
    task, away = done
    store = Store(bench.store)
    land(pack(away, _same), _same, task.folder(store), check=checker(task, done=True))
    assert task.run is not None
    assert store.state(task.run).name == "done"
    assert _content(task.folder(store)) == _content(away)


def test_a_landing_cut_short_is_not_done_and_is_cleared_away(
    done: tuple[Task, Path], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, away = done
    store, back = Store(bench.store), pack(away, _same)
    real, moved = parcel._move, list[str]()

    def killed(path: Path, target: Path) -> None:
        moved.append(target.name)
        if len(moved) == len(back.names):
            raise KeyboardInterrupt
        real(path, target)

    monkeypatch.setattr(parcel, "_move", killed)
    with pytest.raises(KeyboardInterrupt):
        land(back, _same, task.folder(store), check=checker(task, done=True))
    assert moved[-2:] == ["fit.json", "outcome.json"]
    assert task.run is not None
    assert store.state(task.run).name is None
    monkeypatch.setattr(parcel, "_move", real)
    land(back, _same, task.folder(store), check=checker(task, done=True))
    assert store.state(task.run).name == "done"


def test_an_artefact_that_lands_is_the_one_asked_for(bench: Bench) -> None:
    (need,) = bench.run(uses="artefact").needs
    task, away = Task(need=need), Store(bench.folder / "away")
    make_artefact(need, away, Conditions())
    back, store = pack(task.folder(away), _same), Store(bench.store)
    (other,) = bench.run(uses="artefact", trouble="artefact").needs
    with pytest.raises(LandingFault, match="is not the fake artefact"):
        land(back, _same, task.folder(store), check=checker(Task(need=other), done=True))
    assert store.artefact(need) is None
    land(back, _same, task.folder(store), check=checker(task, done=True))
    assert store.artefact(need) == away.artefact(need)
