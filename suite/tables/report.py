"""Reports: every plan's tables as files, made from the store alone (no MLflow, no data needed).

One file a spec and profile and format, ``<spec>[-<profile>].md``, ``.tex`` (to be read by ``\\input``) and a
tidy ``.csv`` with one row for each run; a spec whose cells are scored at several checkpoints gets one table
for each. Figures are ``.png`` and ``.pdf``, one of each a page. Beside them ``index.html``, one
page of all tables that needs nothing else (:mod:`suite.tables.html`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from suite import files
from suite.assess import History
from suite.goals import costs_of
from suite.plan import assess
from suite.tables import costs, html, render
from suite.tables.figures import figures
from suite.tables.frame import frame
from suite.tables.table import Table, build, selections

if TYPE_CHECKING:
    from suite.mirror.stamp import Links
    from suite.plan import Assessment, Plan
    from suite.store import Store

PICTURES = ("png", "pdf")
FORMATS = ("md", "tex", "csv", *PICTURES, "html")
LONGEST = 40
"""Characters of a change that stand in a file's name."""
_RENDERERS: dict[str, Callable[[Table], str]] = {"md": render.markdown, "tex": render.latex}


def tables(
    plan: Plan,
    store: Store,
    *,
    data_root: Path | None = None,
    assessments: Sequence[Assessment] | None = None,
) -> list[Table]:
    """The plan's tables: one, or one a checkpoint scored unless ``selection`` is an axis of the table; none
    for a figure that is not made of runs.
    """
    if costs_of(plan.spec):
        return [costs.build(plan, store, data_root=data_root)]
    if plan.goals:
        return []
    judged = assess(plan, store, data_root=data_root) if assessments is None else assessments
    asked = selections(plan)
    axes = (*plan.spec.table.rows, *plan.spec.table.columns)
    if len(asked) < 2 or "selection" in axes:
        return [build(plan, store, assessments=judged)]
    built = [build(plan, store, selection=one, assessments=judged) for one in asked]
    return [replace(table, title=f"{table.title} ({one})") for table, one in zip(built, asked, strict=True)]


@dataclass(frozen=True)
class Shown:
    """A plan as it stands in the store: the states of its runs, and its tables."""

    plan: Plan
    judged: Sequence[Assessment]
    tables: Sequence[Table]


def look_up(
    plans: Iterable[Plan], store: Store, *, data_root: Path | None = None, history: History | None = None
) -> list[Shown]:
    """What the store says of each plan. Its outcomes are read once for all of them, or were already."""
    history = history or History(store)
    found = []
    for plan in plans:
        judged = assess(plan, store, data_root=data_root, history=history)
        found.append(Shown(plan, judged, tables(plan, store, data_root=data_root, assessments=judged)))
    return found


def write(
    shown: Iterable[Shown],
    store: Store,
    out: Path,
    formats: Sequence[str] = FORMATS,
    *,
    data_root: Path | None = None,
    thumbnails: bool | None = None,
    links: Links | None = None,
) -> list[Path]:
    """Write tables into ``out`` and return the files. ValueError for an unknown format.

    ``thumbnails``: small pictures of the worst-scored images in the page, of every data set at hand (True), of
    none (False), or of those whose licence allows it (None). ``links``: of the page to a tracker.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ValueError(f"no format {unknown[0]!r}; there are {', '.join(FORMATS)}")
    written = []
    sections = []
    for one in shown:
        sections.append(html.Section(one.plan, one.tables))
        for name, content in rendered(one, store, formats, data_root):
            files.write_bytes(out / name, content)
            written.append(out / name)
    if "html" in formats:
        written.append(
            html.write(sections, store, out, thumbnails=thumbnails, data_root=data_root, links=links)
        )
    return written


def rendered(
    shown: Shown, store: Store, formats: Sequence[str] = FORMATS, data_root: Path | None = None
) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a plan's files but the page: its tables and figures in each of the formats."""
    pictures = []
    if not set(PICTURES).isdisjoint(formats):
        pictures = [one for one in figures(shown.plan, store, data_root=data_root) if one.png]
    for name in formats:
        if name in PICTURES:
            yield from ((f"{one.name}.{name}", one.png if name == "png" else one.pdf) for one in pictures)
        elif name != "html" and shown.tables:
            yield f"{stem(shown.plan)}.{name}", _text(shown, store, name).encode()


def _text(shown: Shown, store: Store, name: str) -> str:
    if name != "csv":
        return "\n".join(_RENDERERS[name](table) for table in shown.tables)
    if shown.plan.goals:
        return "".join(costs.csv(table) for table in shown.tables)
    return frame(shown.plan, store, assessments=shown.judged).to_csv(index=False)


def stem(plan: Plan) -> str:
    """The name of a plan's files: the spec's, the profile unless it is the paper's, and what the command line
    changed (``--set``, ``--seeds``), so that no variant is written over another.
    """
    parts = [plan.spec.name, *([plan.profile] if plan.profile not in (None, "", "paper") else [])]
    changes = [f"{name}={value}" for name, value in sorted(plan.sets.items())]
    changes += ["stand_in"] * bool(plan.stand_ins)
    seeds = {run.seed for run in plan.runs}
    if seeds and seeds != set(plan.spec.seeds):
        changes.append(f"seeds={','.join(map(str, sorted(seeds)))}")
    return "-".join([*parts, *map(_file_name, changes)])


def _file_name(text: str) -> str:
    """A change as part of a file's name. What had to be left out of it is told apart by a digest."""
    plain = re.sub(r"[^A-Za-z0-9.,=_]+", "_", text)[:LONGEST]
    return plain if plain == text else f"{plain}_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
