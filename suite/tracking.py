"""MLflow, as a mirror of the store: one experiment a spec, a run for each cell, under it one for each seed, and one
that holds the tables and figures.

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
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from suite import claims
from suite.mirror import moved, stamp, view
from suite.mirror.cells import records
from suite.mirror.report import report_of
from suite.mirror.stamp import Links, Stamp, Written
from suite.mirror.writer import Writer
from suite.tables.escape import clean, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from suite.mirror.records import CellRecord
    from suite.plan import Plan
    from suite.store import Store

logger = logging.getLogger("suite")
DATABASE = "mlflow.db"
PORT = 5000
PAGES = f"http://127.0.0.1:{PORT}"
"""Where ``suite ui`` shows a database."""
_WRITING = threading.Lock()
PATIENCE = 20.0
"""Seconds to wait for another writer, where it is the last chance."""
PAUSE = 2.0
"""Seconds between two mirrorings of a running plan, at least."""
SHARE = 5
"""And as many times as long as the last one took: the runs have the processor."""
SERVERS = ("http", "https")


@dataclass(frozen=True)
class Synced:
    """What a mirroring did: cells and seeds written (or written again), and plans whose tables and figures were.
    ``warning``: one line, empty if all went well. ``busy``: it was only that someone else was writing.
    """

    uri: str
    cells: int = 0
    seeds: int = 0
    reports: int = 0
    warning: str = ""
    busy: bool = False

    def plus(self, other: Synced) -> Synced:
        """Both together, and how the other ended."""
        return replace(
            other,
            cells=self.cells + other.cells,
            seeds=self.seeds + other.seeds,
            reports=self.reports + other.reports,
        )


@dataclass(frozen=True)
class _How:
    """``check``: look at what MLflow really holds. ``draw``: tables and figures too."""

    check: bool
    draw: bool
    patience: float
    data_root: Path | None


def tracking_uri(store: Store, uri: str | None = None) -> str:
    """The URI asked for, else that of ``MLFLOW_TRACKING_URI``, else a database file in the store."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or _own(store)


def _own(store: Store) -> str:
    return f"sqlite:///{(store.root / DATABASE).absolute()}"


def is_server(uri: str) -> bool:
    """Whether it is a tracking server, which has pages of its own."""
    return urlsplit(uri).scheme in SERVERS


def experiments(store: Store, uri: str | None = None) -> dict[str, Written]:
    """What has been mirrored, by the names of the specs; mlflow is not asked."""
    where = tracking_uri(store, uri)
    return Stamp(store.root, public(where), _identity(where)).experiments()


def links(plans: Iterable[Plan], store: Store, uri: str | None = None, base: str | None = None) -> Links:
    """The addresses of what these plans have mirrored. ``base``: where the pages are; by default the tracking
    server, or what ``suite ui`` serves.
    """
    known = experiments(store, uri)
    names = dict.fromkeys(plan.spec.name for plan in plans)
    return stamp.links((known[name] for name in names if name in known), base or pages(store, uri))


def pages(store: Store, uri: str | None = None) -> str:
    """Where the pages of this tracking store are."""
    where = tracking_uri(store, uri)
    return public(where) if is_server(where) else PAGES


def sync(
    plans: Iterable[Plan],
    store: Store,
    uri: str | None = None,
    *,
    check: bool = True,
    patience: float = PATIENCE,
    data_root: Path | None = None,
) -> Synced:
    """Bring MLflow up to date with the store for these plans. Never raises; ``patience`` is how long (in
    seconds) to wait for another process that is writing. ``check``: look at what MLflow really holds, also
    where the stamp in the store says that all has been written.
    """
    where = tracking_uri(store, uri)
    done = _guarded(plans, store, where, _How(check, True, patience, data_root))
    if done.warning:
        logger.warning("%s", done.warning)
    return done


def _guarded(plans: Iterable[Plan], store: Store, uri: str, how: _How) -> Synced:
    done = Synced(public(uri))
    try:
        for plan in plans:
            done = done.plus(_sync_plan(plan, store, uri, how))
    except Exception as error:  # the mirror must never stop an experiment, whatever mlflow raises
        return replace(done, warning=_told(error, uri), busy=isinstance(error, BusyError))
    return done


def _told(error: Exception, uri: str) -> str:
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == "mlflow":
        return (
            "MLflow is not installed, so it shows nothing of this; results and tables are complete without it "
            "(--no-mlflow: do not try; pip install mlflow and `suite sync`: show them)"
        )
    return f"MLflow ({public(uri)}) is not up to date: {_one_line(error)}; `suite sync` tries again"


class Mirror:
    """Mirrors plans while they run, in a thread of its own, so that a slow database or server delays no run.

    ``update()`` returns at once. ``close()`` writes what is still missing, tables and figures too, and waits at
    most ``timeout`` seconds; it returns what was done in all. A warning is given once.
    """

    def __init__(
        self, plans: Sequence[Plan], store: Store, uri: str | None = None, data_root: Path | None = None
    ) -> None:
        self._plans, self._store, self._uri = tuple(plans), store, tracking_uri(store, uri)
        self._data_root = data_root
        self._wake, self._closing = threading.Event(), threading.Event()
        self._total = Synced(public(self._uri))
        self._thread: threading.Thread | None = None

    def update(self, plans: Sequence[Plan] | None = None) -> None:
        """Say that results may have come in; ``plans``: from now on these instead."""
        if plans is not None:
            self._plans = tuple(plans)
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
            began = time.monotonic()
            if last or not self._total.warning:
                self._once(last)
            if last:
                return
            self._closing.wait(max(PAUSE, SHARE * (time.monotonic() - began)))

    def _once(self, last: bool) -> None:
        before = self._total.warning
        how = _How(False, last, PATIENCE if last else 0.5, self._data_root)
        done = _guarded(self._plans, self._store, self._uri, how)
        if done.busy and not last:
            # No fault yet: the next update or the closing comes to it.
            done = replace(done, warning="", busy=False)
        if done.warning and done.warning != before:
            logger.warning("%s", done.warning)
        self._total = self._total.plus(done)


def _sync_plan(plan: Plan, store: Store, uri: str, how: _How) -> Synced:
    """Write the cells, and the tables and figures, that are not yet as the store has them."""
    experiment = plan.spec.name
    mark = Stamp(store.root, public(uri), _identity(uri))
    cells = records(plan, store)
    report = report_of(plan, store, cells, draw=how.draw, data_root=how.data_root)
    known = Written() if how.check else mark.read(experiment)
    nothing = Synced(public(uri))
    if report is None:
        return nothing

    def changed() -> dict[str, CellRecord]:
        held = {key: put.fingerprint for key, put in known.cells.items()}
        return {cell.key: cell for cell in cells if held.get(cell.key) != cell.fingerprint}

    drawn = known.reports.get(report.key)
    if not changed() and (not how.draw or (drawn is not None and drawn.fingerprint == report.fingerprint)):
        return nothing
    with _claimed(store, how.patience):
        if uri == _own(store):
            moved.settle(store.root)
        writer = _writer(uri)
        known = known if how.check else mark.read(experiment)
        due = changed()
        writer.open(experiment, _artefacts(store, uri, experiment), None if how.check else due)
        writer.place(report)
        written = [writer.cell(cell) for cell in due.values()]
        reports = 0
        if how.draw:
            known.add(writer.written)
            reports = writer.draw(report, stamp.links([known], pages(store, uri)), check=how.check)
        if how.check and uri == _own(store):
            writer.prune(lambda fit, evaluation: store.outcome(fit, evaluation) is not None)
        title = f"# {markdown(clean(plan.spec.title))}\n\n{markdown(clean(plan.spec.description))}"
        writer.describe(title.strip(), view.tags(plan, report.searched))
        mark.write(experiment, writer.written, _identity(uri))
    return replace(
        nothing,
        cells=sum(new for new, _ in written),
        seeds=sum(seeds for _, seeds in written),
        reports=int(reports),
    )


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


def public(uri: str) -> str:
    """The URI without a user's name and password."""
    return re.sub(r"//[^/@]*@", "//", uri)


def _one_line(error: Exception) -> str:
    text = public(" ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= 200 else f"{text[:197]}..."


def _artefacts(store: Store, uri: str, experiment: str) -> str | None:
    """Where an experiment's files go: in the store, unless a server keeps them."""
    if is_server(uri) or urlsplit(uri).scheme == "databricks":
        return None
    return (store.root / moved.FOLDER / experiment).absolute().as_uri()


def _writer(uri: str) -> Writer:
    """With a client of its own: no global state of mlflow is set. Quiet, and impatient with servers that do
    not answer.
    """
    if is_server(uri):
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow.entities import Metric, Param
    from mlflow.tracking import MlflowClient

    # The import sets levels of its own, and so does each migration of a new database. Of each retry of a request
    # that fails in the end there is a warning too, and ours tells of it once.
    quiet = (
        "alembic",
        "alembic.runtime.migration",
        "mlflow",
        "mlflow.store.db.utils",
        "urllib3.connectionpool",
    )
    for name in quiet:
        logging.getLogger(name).setLevel(logging.ERROR)
    return Writer(MlflowClient(tracking_uri=uri), Metric, Param)
