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
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from suite import claims
from suite.mirror import Stamp, records
from suite.mirror_writer import Writer
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
_WRITING = threading.Lock()
PATIENCE = 20.0
"""Seconds to wait for another writer, where it is the last chance."""


@dataclass(frozen=True)
class Synced:
    """What a mirroring did: cells and seeds written (or written again). ``warning``: one line, empty if all
    went well. ``busy``: it was only that someone else was writing.
    """

    uri: str
    cells: int = 0
    seeds: int = 0
    warning: str = ""
    busy: bool = False


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
    patience: float = PATIENCE,
) -> Synced:
    """Bring MLflow up to date with the store for these plans. Never raises; ``patience`` is how long (in
    seconds) to wait for another process that is writing. ``check``: look at what MLflow really holds, also
    where the stamp in the store says that all has been written.
    """
    where = tracking_uri(store, uri)
    return _told(_guarded(plans, store, where, check, patience))


def _guarded(plans: Iterable[Plan], store: Store, uri: str, check: bool, patience: float) -> Synced:
    done = Synced(_public(uri))
    try:
        for plan in plans:
            cells, seeds = _sync_plan(plan, store, uri, check, patience)
            done = replace(done, cells=done.cells + cells, seeds=done.seeds + seeds)
    except Exception as error:  # the mirror must never stop an experiment, whatever mlflow raises
        message = f"MLflow ({_public(uri)}) is not up to date: {_one_line(error)}; `suite sync` tries again"
        return replace(done, warning=message, busy=isinstance(error, BusyError))
    return done


def _told(done: Synced) -> Synced:
    if done.warning:
        logger.warning("%s", done.warning)
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
                done = _guarded([self._plan], self._store, self._uri, False, PATIENCE if last else 0.5)
                if done.busy and not last:
                    # No fault yet: the next update or the closing comes to it.
                    done = replace(done, warning="", busy=False)
                self._total = replace(
                    _told(done),
                    cells=self._total.cells + done.cells,
                    seeds=self._total.seeds + done.seeds,
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
        writer = _writer(uri)
        writer.open(experiment, _artefacts(store, uri, experiment))
        known = {} if check else stamp.known(experiment)
        changed = [cell for cell in wanted if known.get(cell.key) != cell.fingerprint]
        written = [writer.cell(cell) for cell in changed]
        writer.describe(_description(plan, store))
        stamp.write(experiment, {cell.key: cell.fingerprint for cell in changed}, _identity(uri))
    return sum(new for new, _ in written), sum(seeds for _, seeds in written)


class BusyError(TimeoutError):
    """Another process, or another plan's mirror in this one, was writing for as long as there was patience."""


@contextmanager
def _claimed(store: Store, patience: float) -> Iterator[None]:
    """Only one process writes at a time, also where several share a store, and in it only one thread."""
    if not _WRITING.acquire(timeout=10 * patience):
        raise BusyError("another plan of this process is being written")
    try:
        folder = store.root / "mlflow"
        deadline = time.monotonic() + patience
        while (claim := claims.claim(folder, purpose="mlflow mirror")) is None:
            if time.monotonic() > deadline:
                raise BusyError(f"another process ({claims.owner(folder)}) is writing")
            time.sleep(0.1)
        with claim:
            yield
    finally:
        _WRITING.release()


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


def _artefacts(store: Store, uri: str, experiment: str) -> str | None:
    """Where an experiment's files go: in the store, unless a server keeps them."""
    if urlsplit(uri).scheme in ("http", "https", "databricks"):
        return None
    return (store.root / "mlflow" / "artifacts" / experiment).absolute().as_uri()


def _description(plan: Plan, store: Store) -> str:
    """The rendered table, where it is short enough for an experiment's description."""
    text = render.markdown(build(plan, store, assessments=()))
    return text if len(text) <= NOTE_LENGTH else f"{plan.spec.title}\n\n{plan.spec.description}"[:NOTE_LENGTH]


def _writer(uri: str) -> Writer:
    """With a client of its own: no global state of mlflow is set. Quiet, and impatient with servers that do
    not answer.
    """
    if urlsplit(uri).scheme in ("http", "https"):
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    # The import sets levels of its own, and so does each migration of a new database.
    for name in ("alembic", "alembic.runtime.migration", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return Writer(MlflowClient(tracking_uri=uri), Metric, Param)
