"""Writing records into an MLflow experiment so that writing them again changes nothing.

Works on a client that :mod:`suite.tracking` made (the only module that imports mlflow); what is there already
is found by the tags that carry the keys. A description that somebody has edited in the tracker stays as it is.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from suite.mirror.records import NOTE, REPORT, CellRecord, SeedRecord
from suite.mirror.report import ReportRecord
from suite.mirror.stamp import Links, Put, Written
from suite.tables.escape import markdown

BATCH = 90
"""Parameters in one request: a server takes 100."""
POINTS = 900
"""Metric values in one request: a server takes 1,000 entities in all."""
FEW = 20
"""So many cells are asked for one by one; for more of them the whole experiment is read."""
MARK = "suite.note"
"""Tells our own description from one that somebody has edited."""
PRINT, FILES = "suite.fingerprint", "suite.files"


class Writer:
    """Writes records into one experiment; ``written`` says what stands where in it."""

    def __init__(self, client: Any, metric: Callable[..., Any], param: Callable[..., Any]) -> None:
        self._client, self._metric, self._param = client, metric, param
        self._cells: dict[str, Any] = {}
        self._seeds: dict[tuple[str, str], Any] = {}
        self._reports: dict[str, Any] = {}
        self._tags: dict[str, str] = {}
        self._report = ""
        self._new_cells = False
        self.written = Written()

    def open(self, name: str, artefacts: str | None, cells: Collection[str] | None = None) -> None:
        """Find the experiment and read which runs it has, or create it with this place for files (None: the
        server's own). ``cells``: keys of the records to be written; None: all may be.
        """
        found = self._client.get_experiment_by_name(name)
        if found is None:
            self.written.id = str(self._client.create_experiment(name, artifact_location=artefacts))
            return
        self.written.id = str(found.experiment_id)
        self._tags = dict(found.tags)
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(self.written.id)
        if cells is None or len(cells) > FEW:
            self._read("")
            return
        self._read("tags.`suite.kind` = 'report'")
        for key in cells:
            self._read(f"tags.`suite.cell_key` = '{key}'")

    def _read(self, which: str) -> None:
        token = None
        while True:
            page = self._client.search_runs(
                [self.written.id], filter_string=which, max_results=1000, page_token=token
            )
            for run in page:
                tags = run.data.tags
                if "suite.eval_key" in tags:
                    self._seeds[tags.get("suite.cell_key", ""), tags["suite.eval_key"]] = run
                elif "suite.cell_key" in tags:
                    self._cells[tags["suite.cell_key"]] = run
                elif tags.get("suite.kind") == "report":
                    self._reports[tags["suite.report"]] = run
            token = page.token
            if not token:
                return

    def place(self, report: ReportRecord) -> None:
        """Make a run for the tables and figures, if there is none; descriptions of cells link to it."""
        found = self._reports.get(report.key)
        if found is None:
            tags = dict(report.tags)
            found = self._client.create_run(self.written.id, start_time=report.start, tags=tags)
            self._reports[report.key] = found
        self._report = f"#/experiments/{self.written.id}/runs/{found.info.run_id}/artifacts"

    def cell(self, cell: CellRecord) -> tuple[bool, int]:
        """Write a cell and those of its seeds that are not there; whether its own run changed, and how many
        seeds.
        """
        parent, changed = self._parent(cell)
        written = 0
        for seed in cell.seeds:
            found = self._seeds.get((cell.key, seed.key))
            if found is not None and not _is_current(found, seed):
                # Half written by a process that died, or of a result that was computed anew since.
                self._client.delete_run(found.info.run_id)
                found = None
            if found is None:
                self.written.seeds[seed.key] = self._seed(seed, parent)
                written += 1
            else:
                self._retag(found, {**seed.tags, "mlflow.parentRunId": parent})
                self.written.seeds[seed.key] = str(found.info.run_id)
        self.written.cells[cell.key] = Put(cell.fingerprint, parent, cell.cell)
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
            tags = self._due({}, cell.tags)
            run = self._client.create_run(self.written.id, start_time=cell.start, tags=tags).info.run_id
            self._log(run, params=cell.params)
            self._new_cells = True
        else:
            run = found.info.run_id
            changed = self._retag(found, cell.tags)
            if _count(found) == cell.n:
                return str(run), changed
        self._log(run, points=[(name, cell.n, value) for name, value in cell.metrics.items()], time=cell.end)
        self._client.set_terminated(run, _status(cell), cell.end)
        return str(run), True

    def _seed(self, seed: SeedRecord, parent: str) -> str:
        tags = self._due({}, {**seed.tags, "mlflow.parentRunId": parent})
        created = self._client.create_run(self.written.id, start_time=seed.start, tags=tags)
        run = str(created.info.run_id)
        points = [(name, 0, value) for name, value in seed.metrics.items()]
        self._log(run, params=seed.params, points=[*points, *seed.curves()], time=seed.end)
        self._client.set_terminated(run, "FINISHED", seed.end)
        return run

    def _due(self, held: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
        """The tags that are not yet as they should be. What somebody wrote as a description is kept."""
        wanted = dict(wanted)
        if NOTE in wanted:
            wanted[NOTE] = wanted[NOTE].replace(REPORT, self._report)
            wanted[MARK] = _mark(wanted[NOTE])
            if NOTE in held and _mark(held[NOTE]) != held.get(MARK):
                del wanted[NOTE], wanted[MARK]
        return {name: value for name, value in wanted.items() if held.get(name) != value}

    def _retag(self, found: Any, wanted: Mapping[str, str]) -> bool:
        due = self._due(found.data.tags, wanted)
        for name, value in due.items():
            self._client.set_tag(found.info.run_id, name, value)
        return bool(due)

    def _log(
        self,
        run: str,
        params: Any = None,
        points: Sequence[tuple[str, int, float]] = (),
        time: int = 0,
    ) -> None:
        named = [self._param(name, value) for name, value in (params or {}).items()]
        for start in range(0, len(named), BATCH):
            self._client.log_batch(run, params=named[start : start + BATCH])
        values = [self._metric(name, value, time, step) for name, step, value in points]
        for start in range(0, len(values), POINTS):
            self._client.log_batch(run, metrics=values[start : start + POINTS])

    def draw(self, report: ReportRecord, links: Links, *, check: bool) -> bool:
        """Put the tables and figures into their run, unless they are there; whether anything was written.
        ``check``: look whether the files are really there.
        """
        found = self._reports[report.key]
        run = str(found.info.run_id)
        self.written.reports[report.key] = Put(report.fingerprint, run)
        if not self._new_cells and self._has(found, report, check):
            return False
        shown = report.shown()
        with tempfile.TemporaryDirectory(prefix="suite-mlflow-") as folder:
            names = []
            for name, content in report.files(shown, links):
                path = Path(folder) / name
                path.write_bytes(content)
                # One by one: all together would go in threads that the end of the program waits for.
                self._client.log_artifact(run, str(path))
                names.append(name)
        tags = {**report.tags, NOTE: report.note(shown), FILES: "\n".join(names)}
        # The fingerprint last: it says that all the rest is there.
        self._retag(found, tags)
        self._retag(found, {PRINT: report.fingerprint})
        self._client.set_terminated(run, "FINISHED", report.end)
        return True

    def _has(self, found: Any, report: ReportRecord, check: bool) -> bool:
        tags = found.data.tags
        if found.info.status != "FINISHED" or tags.get(PRINT) != report.fingerprint:
            return False
        held = {one.path for one in self._client.list_artifacts(found.info.run_id)} if check else None
        return held is None or held >= set(tags.get(FILES, "").split("\n"))

    def prune(self, is_done: Callable[[str, str], bool]) -> None:
        """Take away the runs of results that are no longer in the store, and cells that have none left;
        ``is_done`` is told the keys of a fit and of an evaluation.
        """
        for key, run in list(self._seeds.items()):
            if not is_done(run.data.tags.get("suite.train_key", ""), key[1]):
                self._client.delete_run(run.info.run_id)
                del self._seeds[key]
        alive = {cell for cell, _ in self._seeds} | self.written.cells.keys()
        for cell, run in self._cells.items():
            if cell not in alive and run.data.tags.get("suite.kind") != "trial":
                self._client.delete_run(run.info.run_id)

    def describe(self, title: str, tags: Mapping[str, str]) -> None:
        """What the experiment itself says, in Markdown, with the way to each run of tables and figures; ``tags``:
        further tags of it.
        """
        ways = [title]
        for _, run in sorted(self._reports.items()):
            name = run.data.tags.get("mlflow.runName", "")
            at = f"#/experiments/{self.written.id}/runs/{run.info.run_id}"
            ways.append(f"- [{markdown(name)}]({at}/artifacts)")
        for name, value in self._due(self._tags, {**tags, NOTE: "\n".join([ways[0], "", *ways[1:]])}).items():
            self._client.set_experiment_tag(self.written.id, name, value)


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _count(found: Any) -> int:
    return int(found.data.metrics.get("auroc_n", 0))


def _status(cell: CellRecord) -> str:
    return "FAILED" if cell.failed else "FINISHED"


def _contradicts(found: Any, cell: CellRecord) -> bool:
    """Whether a mirrored cell is half written, or has values for this many seeds or more that are not the
    cell's.
    """
    held, n = found.data.metrics, _count(found)
    same = all(held.get(name) == value for name, value in cell.metrics.items())
    return bool(found.info.status != _status(cell) or n > cell.n or (n == cell.n and not same))


def _is_current(found: Any, seed: SeedRecord) -> bool:
    return bool(found.info.status == "FINISHED" and found.data.tags.get("suite.finished") == seed.finished)
