"""The stamp of what has been written, and the addresses that follow from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from suite.mirror.stamp import NAME, Put, Stamp, Written, links


def written(key: str) -> Written:
    return Written("1", {key: Put("print", f"run-{key}", f"cell-{key}")}, {f"eval-{key}": f"seed-{key}"})


def test_it_holds_for_one_database_only(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path, "sqlite:///a.db", "")
    assert stamp.read("table1") == Written()
    stamp.write("table1", written("a"), "disk:1")
    stamp.write("table1", written("b"), "disk:1")
    stamp.write("table2", written("c"), "disk:1")
    again = Stamp(tmp_path, "sqlite:///a.db", "disk:1")
    assert set(again.read("table1").cells) == {"a", "b"}
    assert again.read("table2") == written("c")
    assert Stamp(tmp_path, "sqlite:///a.db", "disk:2").read("table1") == Written()
    assert Stamp(tmp_path, "sqlite:///b.db", "disk:1").read("table1") == Written()


def test_a_new_database_begins_anew_beside_others(tmp_path: Path) -> None:
    Stamp(tmp_path, "sqlite:///a.db", "").write("table1", written("a"), "disk:1")
    Stamp(tmp_path, "http://host", "http").write("table1", written("b"), "http")
    Stamp(tmp_path, "sqlite:///a.db", "disk:2").write("table1", written("c"), "disk:2")
    assert set(Stamp(tmp_path, "sqlite:///a.db", "disk:2").read("table1").cells) == {"c"}
    assert set(Stamp(tmp_path, "http://host", "http").read("table1").cells) == {"b"}


@pytest.mark.parametrize("text", ["{ torn", "[]", '{"u": 1}', '{"u": {"format": 2, "identity": "i"}}'])
def test_a_spoilt_file_is_not_believed(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text)
    stamp = Stamp(tmp_path, "u", "i")
    assert stamp.experiments() == {}
    stamp.write("t", written("b"), "i")
    assert stamp.read("t") == written("b")


@pytest.mark.parametrize(
    ("part", "value"),
    [("cells", {"a": 3}), ("cells", {"a": ["x", "y", "z", "more"]}), ("seeds", []), ("reports", None)],
)
def test_a_spoilt_part_is_not_believed(tmp_path: Path, part: str, value: object) -> None:
    stamp = Stamp(tmp_path, "u", "i")
    stamp.write("t", written("a"), "i")
    held = json.loads((tmp_path / NAME).read_text())
    held["u"]["experiments"]["t"][part] = value
    (tmp_path / NAME).write_text(json.dumps(held))
    assert stamp.read("t") == Written()


def test_another_format_is_written_again(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path, "u", "i")
    stamp.write("t", written("a"), "i")
    held = json.loads((tmp_path / NAME).read_text())
    held["u"]["format"] = 1
    (tmp_path / NAME).write_text(json.dumps(held))
    assert stamp.read("t") == Written()


def test_addresses() -> None:
    found = links([written("a")], "http://127.0.0.1:5000/")
    start = "http://127.0.0.1:5000/#/experiments/1/runs"
    assert found.cells == {"cell-a": f"{start}/run-a"}
    assert found.seeds == {"eval-a": f"{start}/seed-a"}
