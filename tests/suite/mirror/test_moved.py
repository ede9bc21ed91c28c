"""The addresses of files in a database whose store has been moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from suite.mirror import moved


def database(root: Path, *places: str) -> None:
    """The two tables of MLflow that hold addresses."""
    root.mkdir(parents=True)
    with closing(sqlite3.connect(root / "mlflow.db")) as held, held:
        held.execute("CREATE TABLE experiments (artifact_location TEXT)")
        held.execute("CREATE TABLE runs (artifact_uri TEXT)")
        for place in places:
            held.execute("INSERT INTO experiments VALUES (?)", (place,))
            held.execute("INSERT INTO runs VALUES (?)", (f"{place}/abc/artifacts",))


def places(root: Path) -> list[str]:
    with closing(sqlite3.connect(root / "mlflow.db")) as held:
        experiments = held.execute("SELECT artifact_location FROM experiments").fetchall()
        return [one for (one,) in experiments + held.execute("SELECT artifact_uri FROM runs").fetchall()]


def test_files_are_found_where_the_store_is_now(tmp_path: Path) -> None:
    old, new = tmp_path / "old place", tmp_path / "new"
    elsewhere = "s3://bucket/mlflow/artifacts/other"
    database(old, f"{(old / moved.FOLDER).as_uri()}/table1", elsewhere)
    assert not moved.settle(old), "nothing to do where it was made"
    old.rename(new)
    assert moved.settle(new)
    here = f"{(new / moved.FOLDER).as_uri()}/table1"
    assert places(new) == [here, elsewhere, f"{here}/abc/artifacts", f"{elsewhere}/abc/artifacts"]
    assert not moved.settle(new)


def test_no_database_or_an_empty_one_is_left_alone(tmp_path: Path) -> None:
    assert not moved.settle(tmp_path)
    (tmp_path / "mlflow.db").touch()
    assert not moved.settle(tmp_path)
