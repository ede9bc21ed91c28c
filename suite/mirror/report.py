"""A run that holds the rendered tables and figures of a plan, for those who look at an experiment in the tracker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from suite import files
from suite.goals import assess_goals
from suite.mirror.records import FORMAT, NAME, CellRecord
from suite.mirror.stamp import Links
from suite.mirror.values import milliseconds
from suite.plan import assess
from suite.search.told import PICTURES
from suite.search.told import read as read_trials
from suite.settings import key_of
from suite.store import now
from suite.tables import html, render, report
from suite.tables.escape import clean, markdown
from suite.tables.report import Shown

if TYPE_CHECKING:
    from suite.plan import Assessment, Plan
    from suite.store import Store

PAGE = "index.html"
NOTE_LENGTH = 7_500
"""A description holds at most 8,000 characters."""


@dataclass(frozen=True)
class ReportRecord:
    """The tables and figures of one plan, under the name of their files. ``fingerprint``: all that they are made of;
    empty while the plan runs and they are not to be drawn yet. ``searched``: the settings of a search.
    """

    plan: Plan
    store: Store
    key: str
    tags: Mapping[str, str]
    start: int
    end: int
    fingerprint: str = ""
    judged: Sequence[Assessment] = ()
    data_root: Path | None = None
    searched: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()

    def shown(self) -> Shown:
        """What is to be rendered; of a figure no tables."""
        made = report.tables(self.plan, self.store, data_root=self.data_root, assessments=self.judged)
        return Shown(self.plan, self.judged, made)

    def note(self, shown: Shown) -> str:
        """The tables as a description, where they are short enough for one."""
        text = "\n".join(map(render.markdown, shown.tables))
        spec = self.plan.spec
        told = f"# {markdown(clean(spec.title))}\n\n{markdown(clean(spec.description))}"
        return text if 0 < len(text) <= NOTE_LENGTH else told[:NOTE_LENGTH]

    def files(self, shown: Shown, links: Links) -> Iterator[tuple[str, bytes]]:
        """Names and contents: tables and figures in all formats, and the page, with links to the tracker. It shows
        no test images.
        """
        yield from report.rendered(shown, self.store, data_root=self.data_root)
        yield from ((path.name, path.read_bytes()) for path in self.pictures)
        section = html.Section(self.plan, shown.tables)
        yield PAGE, html.page([section], self.store, None, thumbnails=False, links=links).encode()


def report_of(
    plan: Plan, store: Store, cells: Sequence[CellRecord], *, draw: bool, data_root: Path | None = None
) -> ReportRecord | None:
    """The record of a plan's tables and figures; None while there is nothing to show. ``draw``: not only to have a
    place for them.
    """
    goals = assess_goals(plan, store, data_root=data_root) if draw and plan.goals else []
    made = sum(goal.state in ("done", "stale") for goal in goals)
    if not cells and not made:
        return None
    total = len(plan.goals) or len(plan.cells)
    done = made if plan.goals else sum(cell.n > 0 for cell in cells)
    kind = "Figure" if plan.spec.figure is not None else "Table"
    key = report.stem(plan)
    variant = key.removeprefix(plan.spec.name).lstrip("-")
    title = f"{kind}: {clean(plan.spec.title)}"
    trials = read_trials(store.root, plan.spec.name, plan.profile)
    tags = {
        "suite.kind": "report",
        "suite.report": key,
        "suite.row": "0000",
        "suite.profile": plan.profile,
        "suite.complete": f"{done}/{total} cells" if not plan.goals else f"{done}/{total} artefacts",
        NAME: f"{title} ({variant})" if variant else title,
    }
    record = ReportRecord(
        plan=plan,
        store=store,
        key=key,
        tags=tags,
        start=min((cell.start for cell in cells), default=milliseconds(now())),
        end=max((cell.end for cell in cells), default=milliseconds(now())),
        searched=trials.searched,
        data_root=data_root,
    )
    if not draw:
        return record
    judged = assess(plan, store, data_root=data_root) if plan.runs else []
    pictures = tuple(sorted((trials.folder / PICTURES).glob("*.*"))) if trials.trials else ()
    told = {
        "format": FORMAT,
        "cells": {cell.key: cell.fingerprint for cell in cells},
        "states": [
            [one.run.eval_key, one.state] for one in judged if one.state in ("done", "stale", "failed")
        ],
        "goals": [[goal.need.key, goal.state] for goal in goals],
        "pictures": [[path.name, files.size_of(path)] for path in pictures],
        "spec": plan.spec.path.read_text(encoding="utf-8"),
        "tags": tags,
    }
    return replace(record, fingerprint=key_of(told), judged=judged, pictures=pictures)
