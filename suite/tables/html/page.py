"""One self-contained page of all tables and figures: it opens offline, from a disk, in any browser.

Styles, scripts and images stand in the page, and its content security policy forbids everything else: nothing is
loaded from anywhere, and of scripts only the three shipped ones run, known by their hashes. Every text that
comes from a spec, a data set or a file is escaped by the template, or drawn by the browser as text.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from suite import files, registry, resources
from suite.mirror.stamp import Links
from suite.tables import caption, render, text
from suite.tables.cells import MARKS, anchor, cell_key
from suite.tables.escape import clean
from suite.tables.html.details import Details, to_json
from suite.tables.html.thumbnails import Thumbnails
from suite.tables.table import Table

if TYPE_CHECKING:
    from suite.plan import Plan
    from suite.store import Store

TEMPLATES = "reports/templates/html"
SCRIPTS = ("sort.js", "charts.js", "details.js")
NAME = "index.html"
TITLE = "Dissolving is amplifying: results beside the published ones"


@dataclass(frozen=True)
class Section:
    """What the page shows of one plan: its tables."""

    plan: Plan
    tables: Sequence[Table]


def write(
    sections: Iterable[Section],
    store: Store,
    out: Path,
    *,
    thumbnails: bool | None = None,
    data_root: Path | None = None,
    links: Links | None = None,
) -> Path:
    """Write the page into ``out`` and return its path; arguments as for :func:`page`."""
    path = out / NAME
    files.write_text(
        path, page(sections, store, out, thumbnails=thumbnails, data_root=data_root, links=links)
    )
    return path


def page(
    sections: Iterable[Section],
    store: Store,
    out: Path | None,
    *,
    thumbnails: bool | None = None,
    data_root: Path | None = None,
    links: Links | None = None,
) -> str:
    """The page as text. ``out`` is where it will stand, for links to the run folders (None: elsewhere, so that
    they are only named). ``thumbnails``: see :class:`suite.tables.html.thumbnails.Thumbnails`. ``links``: where
    the cells and runs stand in a tracker.
    """
    kept = list(sections)
    links = links or Links()
    details = Details(store, out, Thumbnails(thumbnails, store.root, data_root), links.seeds)
    runs = {
        id(entry): " ".join(details.add(entry.observations))
        for one in kept
        for table in one.tables
        for entry in table.entries
    }
    blocks = details.blocks()
    style, scripts = _shipped("page.css"), [_shipped(name) for name in SCRIPTS]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            title=TITLE,
            sections=kept,
            runs=runs,
            places=_places(kept, links),
            blocks=blocks,
            shared=to_json(details.shared()),
            style=style,
            scripts=scripts,
            policy=_policy(style, scripts),
            datasets=_datasets(kept),
            render=render,
            text=text,
            caption=caption,
            anchors=_anchors(kept),
            progress=_progress,
            marks=MARKS,
        )
    )


def _anchors(sections: Iterable[Section]) -> dict[int, str]:
    """The address of each table in the page, by its identity: ``main_results-cpu-last``, numbered where several
    share it.
    """
    found: dict[int, str] = {}
    used: dict[str, int] = {}
    for table in (table for one in sections for table in one.tables):
        name = "-".join((table.name, table.profile, *table.selections))
        name = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
        used[name] = used.get(name, 0) + 1
        found[id(table)] = name if used[name] == 1 else f"{name}-{used[name]}"
    return found


@dataclass(frozen=True)
class _Place:
    """Where a cell stands: its name in the page (empty for what is in it once already) and its page in a tracker."""

    name: str
    tracker: str


def _places(sections: Iterable[Section], links: Links) -> dict[int, _Place]:
    """The place of every entry that is made of runs, by its identity."""
    found: dict[int, _Place] = {}
    used: set[str] = set()
    for entry in (entry for one in sections for table in one.tables for entry in table.entries):
        if entry.cell.runs:
            key = cell_key(entry.cell)
            found[id(entry)] = _Place("" if key in used else anchor(key), links.cells.get(key, ""))
            used.add(key)
    return found


def _progress(table: Table) -> dict[str, int]:
    """How many cells are complete, and how many runs are done."""
    own = [entry for entry in table.entries if entry.observations]
    rows = [row for entry in own for row in entry.observations]
    return {
        "cells": len(own),
        "complete": sum(entry.complete for entry in own),
        "runs": len(rows),
        "done": sum(row.outcome is not None for row in rows),
    }


def _datasets(sections: Sequence[Section]) -> list[registry.DataInfo]:
    """The facts of every data set that a table has, in order."""
    found = []
    for name in dict.fromkeys(cell.dataset for one in sections for cell in one.plan.cells):
        try:
            found.append(registry.dataset(name))
        except (registry.UnknownNameError, ValueError):
            continue
    return found


def _policy(style: str, scripts: Sequence[str]) -> str:
    """The content security policy: nothing from anywhere but what stands in the page."""
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_hash(style)}",
            f"script-src {' '.join(map(_hash, scripts))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text_: str) -> str:
    digest = hashlib.sha256(text_.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _shipped(name: str) -> str:
    return resources.shipped(f"{TEMPLATES}/{name}").read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.shipped(TEMPLATES)),
        autoescape=True,
        finalize=lambda value: value if hasattr(value, "__html__") else clean(value),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "groupby_in_order": lambda rows, name: groupby(rows, key=lambda row: getattr(row, name)),
        "id": id,
        "sum_of_lengths": lambda pairs: sum(len(members) for _, members in pairs),
    }
    environment.tests["web"] = lambda address: str(address).startswith(("https://", "http://"))
    return environment


__all__ = ["Section", "page", "write"]
