"""Writing records into an MLflow experiment so that writing them again changes nothing.

Works on a client that :mod:`suite.tracking` made (the only module that imports mlflow); what is there already
is found by the tags that carry the keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from suite.mirror import CellRecord, SeedRecord

BATCH = 90
"""Parameters in one request: a server takes 100."""
POINTS = 900
"""Metric values in one request: a server takes 1,000 entities in all."""


class Writer:
    """Writes records into one experiment; ``_found`` holds what is there, by key."""

    def __init__(self, client: Any, metric: Callable[..., Any], param: Callable[..., Any]) -> None:
        self._client, self._metric, self._param = client, metric, param
        self._experiment = ""
        self._cells: dict[str, Any] = {}
        self._seeds: dict[str, Any] = {}

    def open(self, name: str, artefacts: str | None) -> None:
        """Find the experiment and read which runs it has, or create it with this place for files (None: the
        server's own).
        """
        found = self._client.get_experiment_by_name(name)
        if found is None:
            self._experiment = self._client.create_experiment(name, artifact_location=artefacts)
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
        named = [self._param(name, value) for name, value in (params or {}).items()]
        for start in range(0, len(named), BATCH):
            self._client.log_batch(run, params=named[start : start + BATCH])
        values = [self._metric(name, value, time, step) for name, step, value in points]
        for start in range(0, len(values), POINTS):
            self._client.log_batch(run, metrics=values[start : start + POINTS])

    def describe(self, text: str) -> None:
        """The experiment's description, in Markdown."""
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
