"""MLflow, as a mirror of the store: one experiment a spec, a run for each cell, under it one for each seed.

The only module that imports mlflow, and only when there is something to write (the import takes seconds). One
process writes: the parent of a ``suite run``, or ``suite sync``; it holds a claim in the store. Everything is
found again by tags that carry the keys, so writing twice adds nothing. Whatever goes wrong here (no mlflow, a
locked or full database, a server that is away) becomes one warning line: the store is the truth, the mirror
can be made again from it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from suite import claims
from suite.mirror import CellRecord, SeedRecord, Stamp, records
from suite.tables import render
from suite.tables.table import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from suite.plan import Plan
    from suite.store import Store

logger = logging.getLogger("suite")
DATABASE = "mlflow.db"
NOTE_LENGTH = 4_900
"""An experiment's description holds at most 5,000 characters."""
_BATCH = 90
"""Parameters in one request: a server takes 100."""
_POINTS = 900
"""Metric values in one request: a server takes 1,000 entities in all."""


@dataclass(frozen=True)
class Synced:
    """What a mirroring did: cells and seeds written (or written again). ``warning``: one line, empty if all
    went well.
    """

    uri: str
    cells: int = 0
    seeds: int = 0
    warning: str = ""


def tracking_uri(store: Store, uri: str | None = None) -> str:
    """The URI asked for, else that of ``MLFLOW_TRACKING_URI``, else a database file in the store."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(store.root / DATABASE).absolute()}"


def ui_command(store: Store, uri: str | None = None, port: int = 5000) -> list[str]:
    """The command that shows the mirror in a browser, reachable from this machine only.

    ValueError when the URI is a tracking server, which has a page of its own.
    """
    where = tracking_uri(store, uri)
    if where.startswith(("http:", "https:")):
        raise ValueError(f"{_public(where)} is a tracking server: open it in a browser")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", where]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def sync(
    plans: Iterable[Plan],
    store: Store,
    uri: str | None = None,
    *,
    check: bool = True,
    patience: float = 20.0,
) -> Synced:
    """Bring MLflow up to date with the store for these plans. Never raises; ``patience`` is how long (in
    seconds) to wait for another process that is writing. ``check``: look at what MLflow really holds, also
    where the stamp in the store says that all has been written.
    """
    where = tracking_uri(store, uri)
    done = Synced(_public(where))
    try:
        for plan in plans:
            cells, seeds = _sync_plan(plan, store, where, check, patience)
            done = replace(done, cells=done.cells + cells, seeds=done.seeds + seeds)
    except Exception as error:  # the mirror must never stop an experiment, whatever mlflow raises
        message = f"MLflow ({_public(where)}) is not up to date: {_one_line(error)}; `suite sync` tries again"
        logger.warning("%s", message)
        return replace(done, warning=message)
    return done


class Mirror:
    """Mirrors a plan while it runs, in a thread of its own, so that a slow database or server delays no run.

    ``update()`` returns at once. ``close()`` writes what is still missing and waits at most ``timeout``
    seconds; it returns what was done in all. After one warning the mirror is silent until ``close``.
    """

    def __init__(self, plan: Plan, store: Store, uri: str | None = None) -> None:
        self._plan, self._store, self._uri = plan, store, tracking_uri(store, uri)
        self._wake, self._closing = threading.Event(), threading.Event()
        self._total = Synced(_public(self._uri))
        self._thread: threading.Thread | None = None

    def update(self) -> None:
        """Say that results may have come in."""
        self._wake.set()
        if self._thread is None and not self._closing.is_set():
            self._thread = threading.Thread(target=self._work, name="mlflow mirror", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 60.0) -> Synced:
        """Finish; harmless when called twice."""
        if not self._closing.is_set():
            self.update()
            self._closing.set()
            self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)
            if self._thread.is_alive():
                message = f"MLflow ({self._total.uri}) is slow and was left behind; `suite sync` completes it"
                logger.warning("%s", message)
                return replace(self._total, warning=message)
        return self._total

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            last = self._closing.is_set()
            if last or not self._total.warning:
                done = sync([self._plan], self._store, self._uri, check=False, patience=20.0 if last else 0.5)
                self._total = Synced(
                    done.uri,
                    self._total.cells + done.cells,
                    self._total.seeds + done.seeds,
                    done.warning,
                )
            if last:
                return


def _sync_plan(plan: Plan, store: Store, uri: str, check: bool, patience: float) -> tuple[int, int]:
    """Write the cells that are not yet as the store has them; how many cells and seeds were written."""
    experiment = plan.spec.name
    stamp = Stamp(store.root, _public(uri), _identity(uri))
    wanted = records(plan, store)
    known = {} if check else stamp.known(experiment)
    if all(known.get(cell.key) == cell.fingerprint for cell in wanted):
        return 0, 0
    with _claimed(store, patience):
        writer = _Writer(uri, store.root)
        writer.open(experiment)
        known = {} if check else stamp.known(experiment)
        changed = [cell for cell in wanted if known.get(cell.key) != cell.fingerprint]
        written = [writer.cell(cell) for cell in changed]
        writer.describe(plan, store)
        stamp.write(experiment, {cell.key: cell.fingerprint for cell in changed}, _identity(uri))
    return sum(new for new, _ in written), sum(seeds for _, seeds in written)


@contextmanager
def _claimed(store: Store, patience: float) -> Iterator[None]:
    """Only one process writes at a time, also where several share a store."""
    folder = store.root / "mlflow"
    deadline = time.monotonic() + patience
    while (claim := claims.claim(folder, purpose="mlflow mirror")) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"another process ({claims.owner(folder)}) is writing")
        time.sleep(0.1)
    with claim:
        yield


def _identity(uri: str) -> str:
    """Tells a database file from another one made later at its place; empty while there is none."""
    if not uri.startswith("sqlite:///"):
        return uri.partition(":")[0]
    try:
        found = os.stat(uri.removeprefix("sqlite:///").partition("?")[0])
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}"


def _public(uri: str) -> str:
    """The URI without a user's name and password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _one_line(error: Exception) -> str:
    text = _public(" ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= 200 else f"{text[:197]}..."


def _client(uri: str) -> Any:
    """A client of its own: no global state of mlflow is set. Quiet, and impatient with servers that do not
    answer.
    """
    if urlsplit(uri).scheme in ("http", "https"):
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.tracking import MlflowClient

    # The import sets levels of its own, and so does each migration of a new database.
    for name in ("alembic", "alembic.runtime.migration", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri)


class _Writer:
    """Writes records into one experiment; ``_found`` holds what is there, by key."""

    def __init__(self, uri: str, root: Path) -> None:
        self._client, self._root = _client(uri), root
        self._local = urlsplit(uri).scheme not in ("http", "https", "databricks")
        self._experiment = ""
        self._cells: dict[str, Any] = {}
        self._seeds: dict[str, Any] = {}

    def open(self, name: str) -> None:
        """Find or create the experiment, and read which runs it has."""
        found = self._client.get_experiment_by_name(name)
        if found is None:
            folder = (self._root / "mlflow" / "artifacts" / name).absolute()
            where = folder.as_uri() if self._local else None
            self._experiment = self._client.create_experiment(name, artifact_location=where)
        else:
            self._experiment = found.experiment_id
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(self._experiment)
        token = None
        while True:
            page = self._client.search_runs([self._experiment], max_results=1000, page_token=token)
            for run in page:
                tags = run.data.tags
                if "suite.eval_key" in tags:
                    self._seeds[tags["suite.eval_key"]] = run
                elif "suite.cell_key" in tags:
                    self._cells[tags["suite.cell_key"]] = run
            token = page.token
            if not token:
                return

    def cell(self, cell: CellRecord) -> tuple[bool, int]:
        """Write a cell and those of its seeds that are not there; whether its own run changed, and how many
        seeds.
        """
        parent, changed = self._parent(cell)
        written = 0
        for seed in cell.seeds:
            found = self._seeds.get(seed.key)
            if found is not None and _is_current(found, seed):
                if found.data.tags.get("mlflow.parentRunId") != parent:
                    self._client.set_tag(found.info.run_id, "mlflow.parentRunId", parent)
                continue
            if found is not None:
                # Half written by a process that died, or of a result that was computed anew since.
                self._client.delete_run(found.info.run_id)
            self._seed(seed, parent)
            written += 1
        return changed, written

    def _parent(self, cell: CellRecord) -> tuple[str, bool]:
        """The id of a cell's run, with values at step n for its n finished seeds; whether anything was
        written.
        """
        found = self._cells.get(cell.key)
        if found is not None and _contradicts(found, cell):
            # The latest value of a metric is that of the highest step, and values at one step add up: start again.
            self._client.delete_run(found.info.run_id)
            found = None
        if found is None:
            start = min(seed.start for seed in cell.seeds)
            tags = {**cell.tags, "mlflow.runName": cell.name}
            run = str(self._client.create_run(self._experiment, start_time=start, tags=tags).info.run_id)
            self._log(run, params=cell.params)
        else:
            run = str(found.info.run_id)
            if all(found.data.tags.get(name) == value for name, value in cell.tags.items()) and (
                found.data.metrics.get("auroc_n") == cell.n
            ):
                return run, False
            for name, value in cell.tags.items():
                self._client.set_tag(run, name, value)
        end = max(seed.end for seed in cell.seeds)
        held = found.data.metrics if found is not None else {}
        if held.get("auroc_n") != cell.n:
            self._log(run, points=[(name, cell.n, value) for name, value in cell.metrics.items()], time=end)
        self._client.set_terminated(run, "FINISHED", end)
        return run, True

    def _seed(self, seed: SeedRecord, parent: str) -> None:
        tags = {**seed.tags, "mlflow.parentRunId": parent, "mlflow.runName": seed.name}
        created = self._client.create_run(self._experiment, start_time=seed.start, tags=tags)
        run = str(created.info.run_id)
        points = [(name, 0, value) for name, value in seed.metrics.items()]
        self._log(run, params=seed.params, points=[*points, *seed.curves()], time=seed.end)
        self._client.set_terminated(run, "FINISHED", seed.end)

    def _log(
        self,
        run: str,
        params: Any = None,
        points: Sequence[tuple[str, int, float]] = (),
        time: int = 0,
    ) -> None:
        from mlflow.entities import Metric, Param

        named = [Param(name, value) for name, value in (params or {}).items()]
        for start in range(0, len(named), _BATCH):
            self._client.log_batch(run, params=named[start : start + _BATCH])
        values = [Metric(name, value, time, step) for name, step, value in points]
        for start in range(0, len(values), _POINTS):
            self._client.log_batch(run, metrics=values[start : start + _POINTS])

    def describe(self, plan: Plan, store: Store) -> None:
        """Show the rendered table as the experiment's description, where it is short enough for one."""
        text = render.markdown(build(plan, store, assessments=()))
        if len(text) > NOTE_LENGTH:
            text = f"{plan.spec.title}\n\n{plan.spec.description}"[:NOTE_LENGTH]
        self._client.set_experiment_tag(self._experiment, "mlflow.note.content", text)


def _contradicts(found: Any, cell: CellRecord) -> bool:
    """Whether a mirrored cell is half written, or has values for this many seeds or more that are not the
    cell's.
    """
    held = found.data.metrics
    n = held.get("auroc_n", 0)
    same = all(held.get(name) == value for name, value in cell.metrics.items())
    return bool(found.info.status != "FINISHED" or n > cell.n or (n == cell.n and not same))


def _is_current(found: Any, seed: SeedRecord) -> bool:
    return bool(found.info.status == "FINISHED" and found.data.tags.get("suite.finished") == seed.finished)
