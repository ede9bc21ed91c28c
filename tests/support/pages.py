"""Stores filled with made-up runs that look real (scores, curves), and the HTML page of them, read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fabric import outcome_of, plan_of
from lxml import html

from suite.plan import Plan, Run
from suite.store import Store
from suite.tables.html import Section, page
from suite.tables.report import tables

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"q\" 'q' \\ {{ 7*7 }} & \u202e"
"""What a label may be at its worst."""
SPEC = """
title = %(hostile)s
description = %(hostile)s
seeds = [0, 1]
[table]
rows = ["dataset", "case"]
columns = ["score.views"]
groups = { "Controls" = ["plain"] }
extra = ["parameters"]
footnotes = [%(hostile)s]
[[case]]
label = %(hostile)s
set = { method = "csi" }
[[case]]
label = "plain"
set = { method = "csi", "train.lr" = 0.01 }
[[case]]
label = "third"
set = { method = "csi", "train.lr" = 0.02 }
[grid]
dataset = ["phantom", "pneumonia_mnist"]
"score.views" = [1, 10]
"""


def hostile_plan(folder: Path) -> Plan:
    """Twelve cells of two runs, whose texts try to be markup."""
    return plan_of(folder, SPEC % {"hostile": json.dumps(HOSTILE, ensure_ascii=False)}, "hostile")


def scored(
    store: Store, run: Run, auroc: float, *, images: int = 40, points: int = 5, **changes: Any
) -> None:
    """Write an outcome with scores of so many test images and a training curve of so many points."""
    generator = np.random.default_rng(run.seed)
    labels = np.arange(images) % 2
    score = generator.normal(size=images) + 2 * labels
    ids = np.array([f"test/{number:04d}" for number in range(images)])
    store.write_outcome(
        outcome_of(run, auroc, **changes), ids, labels.astype(np.uint8), score, {"plain": score}
    )
    lines = (
        json.dumps({"step": n, "total": points, "loss": 1 / n, "time": 0.0}) for n in range(1, points + 1)
    )
    (store.run_folder(run.train_key) / "metrics.jsonl").write_text("\n".join(lines))


def filled(store: Store, plan: Plan, value: Callable[[int, Run], float | None], **changes: Any) -> None:
    """Finish the runs of each cell with ``value(number of the cell, run)``; None leaves a run undone."""
    for number, cell in enumerate(plan.cells):
        for run in cell.runs:
            auroc = value(number, run)
            if auroc is not None:
                scored(store, run, auroc, **changes)


def section(plan: Plan, store: Store) -> Section:
    """The plan's tables, assessed without looking at data or sources."""
    return Section(plan, tables(plan, store, assessments=()))


def text_of(store: Store, out: Path, *plans: Plan, **options: Any) -> str:
    """The page of these plans."""
    return page([section(plan, store) for plan in plans], store, out, **options)


def tree(text: str) -> Any:
    """The page as elements."""
    return html.document_fromstring(text)


def words(element: Any) -> str:
    """What an element shows, its spaces joined."""
    return " ".join(element.text_content().split())


def block(document: Any, name: str) -> Any:
    """A JSON object in the page."""
    (found,) = document.xpath(f"//script[@id='{name}']")
    assert found.get("type") == "application/json"
    return json.loads(found.text)
