"""A table in one archive: the same bytes for the same content, and every change of it is found."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engine import Bench

from suite import bundle, zips
from suite.assess import assess
from suite.data.errors import DataFault
from suite.run import execute
from suite.store import Store
from suite.verbs import common
from suite.verbs.common import Ask


def made(bench: Bench) -> dict[str, bytes]:
    plan, store = bench.plan(), Store(bench.store)
    return bundle.contents(plan, store, assess(plan, store), common.memory(plan, Ask()))


def faults(path: Path) -> tuple[str, ...]:
    with bundle.opened(path) as found:
        return found.faults


@pytest.fixture
def members(bench: Bench) -> dict[str, bytes]:
    """The bundle of a table of which three of four runs are done."""
    store = Store(bench.store)
    for run in bench.plan().runs[:3]:
        execute(run, store)
    return made(bench)


def test_a_bundle_holds_all_that_a_table_stands_on_and_comes_out_the_same(
    bench: Bench, members: dict[str, bytes], tmp_path: Path
) -> None:
    assert members == made(bench)
    kinds = {name.rsplit("/", 1)[-1] for name in members}
    assert {
        "bundle.json",
        "toy.toml",
        "paper.toml",
        "outcome.json",
        "scores.npz",
        "environment.json",
    } <= kinds
    assert {"toy.md", "toy.tex"} <= kinds
    assert not [name for name in members if name.endswith((".pt", ".npy", "log.txt"))]
    assert str(tmp_path).encode() not in b"".join(members.values())
    index = json.loads(members["bundle.json"])
    assert index["cells"][0]["settings"]["train.steps"] == 8
    assert len(index["cells"][0]["runs"]) == 2
    zips.write(tmp_path / "toy.zip", members)
    with bundle.opened(tmp_path / "toy.zip") as found:
        assert found.faults == ()
        assert len(found.outcomes()) == 3
        assert "(1/2)" in found.texts["tables/toy.md"]


def _better(members: dict[str, bytes]) -> None:
    name = next(one for one in members if one.endswith("outcome.json"))
    plain = json.loads(members[name])
    plain["metrics"]["auroc"] = 0.999
    members[name] = json.dumps(plain).encode()
    _signed(members)


def _signed(members: dict[str, bytes]) -> None:
    """Give the index the digests of what there is now."""
    index = json.loads(members.pop("bundle.json"))
    index["files"] = {name: bundle._digest(content) for name, content in members.items()}
    members["bundle.json"] = json.dumps(index).encode()


def _table(members: dict[str, bytes]) -> None:
    members["tables/toy.md"] = members["tables/toy.md"].replace(b"AUROC", b"AUR0C")
    _signed(members)


def _spec(members: dict[str, bytes]) -> None:
    name = next(one for one in members if one.endswith("/toy.toml"))
    members[name] = members[name].replace(b"[8, 16]", b"[9, 16]")
    _signed(members)


def _plain(members: dict[str, bytes]) -> None:
    members["tables/toy.tex"] += b"%"


def _gone(members: dict[str, bytes]) -> None:
    del members[next(one for one in members if one.endswith("environment.json"))]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_better, "do not give its AUROC of 0.9990"),
        (_table, "tables/toy.md: comes out otherwise here"),
        (_spec, "keys are not those that its spec gives"),
        (_plain, "tables/toy.tex: is not what bundle.json says"),
        (_gone, "environment.json: is missing"),
    ],
)
def test_whatever_is_changed_is_found(
    members: dict[str, bytes], tmp_path: Path, change: Callable[[dict[str, bytes]], None], told: str
) -> None:
    change(members)
    zips.write(tmp_path / "changed.zip", members)
    assert any(told in line for line in faults(tmp_path / "changed.zip"))


def test_what_is_no_bundle_is_told(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(DataFault, match="nothing is done"):
        made(bench)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(DataFault, match="is no bundle"):
        faults(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("bundle.json", "{}")
    with pytest.raises(DataFault, match=r"bundle\.json is spoilt"):
        faults(tmp_path / "b.zip")


def test_a_repeated_run_is_the_same_to_the_bit_or_says_why_not(bench: Bench, tmp_path: Path) -> None:
    run, first, second = bench.run(), Store(bench.store), Store(tmp_path / "second")
    theirs, ours = execute(run, first), execute(run, second)
    fine, told = bundle.compare(theirs, ours, (first, second), 0.03)
    assert fine
    assert "the same to the bit" in told
    kept = second.scores(run.train_key, run.eval_key)
    second.write_outcome(ours, kept["ids"], kept["labels"], kept["score"] + 1e-9, {})
    fine, told = bundle.compare(theirs, ours, (first, second), 0.03)
    assert not fine
    assert "machine, packages and source are the same" in told
    other = replace(ours, environment={**ours.environment, "device": "cuda (a GPU)"})
    fine, told = bundle.compare(theirs, other, (first, second), 0.03)
    assert fine
    assert "within 0.03; not the same: device" in told
    far = replace(other, metrics={**other.metrics, "auroc": other.metrics["auroc"] - 0.1})
    assert not bundle.compare(theirs, far, (first, second), 0.03)[0]
    assert "digest differs" in bundle.compare(theirs, replace(ours, data={}), (first, second), 1)[1]
