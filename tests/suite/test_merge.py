"""What of another store arrives here: all that is finished and whole, and nothing over what is here."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from engine import Bench

from suite import claims, files
from suite.data.errors import DataFault
from suite.job import Conditions
from suite.merge import Merge, Merged, unpacked
from suite.run import execute
from suite.store import Store


@pytest.fixture
def theirs(bench: Bench) -> Store:
    """A store with two finished runs, one of which used an artefact."""
    store = Store(bench.store)
    execute(bench.run(0), store)
    execute(bench.run(1, uses="artefact"), store)
    return store


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    return Store(tmp_path / "ours")


def merged(source: Path, store: Store, digest: str = "", **options: Any) -> Merged:
    with unpacked(source) as root:
        return Merge(store, lambda run: digest, **options).take(root)


def keys(store: Store) -> set[str]:
    return {outcome.eval_key for outcome in store.outcomes()}


def listing(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_all_that_is_finished_comes_along_once(bench: Bench, theirs: Store, ours: Store) -> None:
    assert merged(theirs.root, ours, dry=True).outcomes == 2
    assert not ours.root.exists()
    found = merged(theirs.root, ours)
    assert (found.outcomes, len(found.fits), found.artefacts, found.left) == (2, 2, 1, [])
    assert keys(ours) == keys(theirs)
    # Nothing that speaks of work on a machine, no images; else the same files.
    kept = {n: c for n, c in listing(theirs.root).items() if not n.startswith("artefacts/data/")}
    local = ("origin.json", "progress.json", "claim.json", "resume.pt")
    assert listing(ours.root) == {
        n: c for n, c in kept.items() if not n.endswith(local) and "log.txt" not in n
    } | {n: c for n, c in kept.items() if n.startswith("runs/") and n.endswith("log.txt")} | {
        n: c for n, c in listing(ours.root).items() if n.startswith("artefacts/fake/")
    }
    before = listing(ours.root)
    again = merged(theirs.root, ours)
    assert (again.outcomes, again.here, again.artefacts) == (0, 2, 0)
    assert listing(ours.root) == before
    # They serve as if they had been made here: another scoring trains nothing.
    fits = bench.told("fit")
    shutil.copytree(theirs.root / "artefacts" / "data", ours.root / "artefacts" / "data")
    execute(bench.run(0, score__gain=2.0), ours, Conditions())
    assert bench.told("fit") == fits


def test_evaluations_are_added_to_a_fit_that_is_here(bench: Bench, theirs: Store, ours: Store) -> None:
    merged(theirs.root, ours, weights=False)
    assert not list(ours.root.glob("runs/*/weights.pt"))
    execute(bench.run(0, score__gain=2.0), theirs)
    found = merged(theirs.root, ours)
    assert (found.outcomes, found.here) == (1, 2)
    assert keys(ours) == keys(theirs)
    # The weights of the very same fits are fetched later.
    assert len(list(ours.root.glob("runs/*/weights.pt"))) == 2


def test_another_result_is_told_and_ours_stays(bench: Bench, theirs: Store, ours: Store) -> None:
    merged(theirs.root, ours)
    run = bench.run(0)
    place = ours.eval_folder(run.train_key, run.eval_key)
    plain = json.loads((place / "outcome.json").read_text())
    plain["metrics"]["auroc"] = 0.123
    files.write_json(place / "outcome.json", plain)
    found = merged(theirs.root, ours)
    assert len(found.conflicts) == 1
    assert "AUROC 0.1230 here" in found.conflicts[0]
    assert ours.outcome(run.train_key, run.eval_key).metrics["auroc"] == 0.123  # type: ignore[union-attr]


def test_what_does_not_fit_is_left_with_a_line_each(bench: Bench, theirs: Store, ours: Store) -> None:
    run = bench.run(0)
    path = theirs.eval_folder(run.train_key, run.eval_key) / "outcome.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    found = merged(theirs.root, ours)
    assert found.outcomes == 1
    assert found.left == [f"{run.train_key[:12]}/{run.eval_key[:12]}: outcome.json is truncated or spoilt"]
    path.unlink()
    assert "is not finished" in merged(theirs.root, ours).left[0]
    path.write_text(whole)
    assert "on other data" in merged(theirs.root, ours, digest="f" * 64).left[0]
    (held,) = [claims.claim(ours.run_folder(run.train_key))]
    assert held is not None
    with held:
        assert "is being worked on here" in merged(theirs.root, ours).left[0]
    assert run.eval_key not in keys(ours)
    assert merged(theirs.root, ours).outcomes == 1


def test_an_import_that_was_killed_goes_on(
    bench: Bench, theirs: Store, ours: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it ends, no outcome stands without its scores, and the same command completes it."""
    whole = listing(Path(shutil.copytree(theirs.root, theirs.root.parent / "copy")))
    copy, left = shutil.copyfile, 0

    def dying(source: Any, target: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        copy(source, target)

    monkeypatch.setattr("suite.merge.shutil.copyfile", dying)
    for last in range(40):  # the n-th try ends at the n-th file
        left = last
        try:
            merged(theirs.root, ours)
            break
        except KeyboardInterrupt:
            for place in ours.root.glob("runs/*/eval/*/outcome.json"):
                assert (place.parent / "scores.npz").exists()
    assert 6 < last < 39
    assert keys(ours) == keys(theirs)
    arrived = listing(ours.root)
    assert all(whole[name] == content for name, content in arrived.items())
    assert not [name for name in arrived if "claim" in name or ".part" in name]


def test_archives_are_read_wherever_the_store_lies_in_them(
    theirs: Store, ours: Store, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in listing(theirs.root).items():
            archive.writestr(f"home/gpu/{name}", content)
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        tar.add(theirs.root, arcname="runs")
    assert merged(tmp_path / "a.zip", ours).outcomes == 2
    assert merged(tmp_path / "b.tar.gz", ours).here == 2
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../runs/0123456789ab/settings.json", "{}")
    with pytest.raises(DataFault, match="leads out of it"):
        merged(tmp_path / "evil.zip", ours)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DataFault, match="holds no runs"):
        merged(tmp_path / "other.zip", ours)
    with pytest.raises(DataFault, match="is no store"):
        merged(tmp_path / "ours" / "runs", ours)
    broken = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(broken[: len(broken) // 2])
    with pytest.raises(DataFault, match=r"cut\.zip"):
        merged(tmp_path / "cut.zip", ours)
