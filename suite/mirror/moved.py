"""A store that has been moved: MLflow notes where files are by whole addresses, which are put right here."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

FOLDER = "mlflow/artifacts"
"""Where in the store the files of an MLflow database lie."""
_HOLDERS = (("experiments", "artifact_location"), ("runs", "artifact_uri"))


def settle(root: Path) -> bool:
    """Let the database in a store look for its files in this store, wherever it stood before; whether anything had
    to be put right.
    """
    database, files = root / "mlflow.db", (root / FOLDER).absolute().as_uri()
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as held, held:
        known = {name for (name,) in held.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {table for table, _ in _HOLDERS} <= known:
            return False
        places = held.execute(
            "SELECT DISTINCT artifact_location FROM experiments WHERE artifact_location IS NOT NULL"
        )
        starts = {before for (place,) in places.fetchall() if (before := _start(place)) not in ("", files)}
        for start in starts:
            for table, column in _HOLDERS:
                held.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
                    (files, len(start) + 1, len(start) + 1, f"{start}/"),
                )
    return bool(starts)


def _start(place: str) -> str:
    """The part of a file's address that names the folder of all files; empty for other addresses."""
    before, found, _ = place.rpartition(f"/{FOLDER}/")
    return f"{before}/{FOLDER}" if found and place.startswith("file:") else ""
