"""A table as Markdown, as LaTeX (booktabs) and for a terminal (rich).

The templates in ``reports/templates`` write every value escaped for their format; what is markup already is
wrapped in :class:`Raw` by the functions here. Beside each value stand the published one and the difference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import jinja2

from suite import resources
from suite.tables import escape, text
from suite.tables.cells import METRICS, Entry
from suite.tables.table import Row, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_AXES = ("case", "dataset", "method", "cost")
"""Axes whose labels speak for themselves; a label of another axis stands behind the axis's name."""


class Raw(str):
    """Text that is markup of the output format already and is written as it stands."""


def markdown(table: Table) -> str:
    """GitHub-flavoured Markdown: heading, one pipe table, caption, legend, average ranks, footnotes, what is
    missing.
    """
    names = [axis_name(axis) for axis in table.row_axes]
    header = [*names, *(column_name(table, column) for column in table.columns), *table.extra]
    body: list[list[str]] = []
    for group, rows in groupby(table.rows, key=lambda row: row.group):
        if group:
            body.append([Raw(f"**{escape.markdown(group)}**"), *[""] * (len(header) - 1)])
        for row in rows:
            cells = (_markdown_cell(entry) for entry in row.entries)
            body.append([*row.labels, *cells, *map(text.extra, row.extra)])
    template = environment("markdown").get_template("table.md.jinja")
    return template.render(table=table, heading=heading(table), header=header, body=body, text=text)


def _markdown_cell(entry: Entry | None) -> str:
    shown = escape.markdown(text.value(entry))
    if entry is not None and entry.best:
        shown = f"**{shown}**"
    beside = text.beside(entry)
    return Raw(f"{shown}{text.marks(entry)}" + (f" ({escape.markdown(beside)})" if beside else ""))


PAGE_LINES = 36
"""Lines of a LaTeX table that leave room for its caption on an ordinary page."""
NOTES = 1500
"""Characters of notes that find room below a table; more have a page of their own."""


@dataclass(frozen=True)
class _Line:
    """A row of a LaTeX tabular. ``rules``: cmidrules below it; ``rule_above``: a midrule before it;
    ``space_below``: a little space after it.
    """

    cells: list[str]
    rules: tuple[str, ...] = ()
    rule_above: bool = False
    space_below: bool = False


def latex(table: Table) -> str:
    r"""A ``table`` environment to be read by ``\input``; a small second line under each row holds the
    published values. A table that is taller than a page goes on in further environments.
    """
    template = environment("latex").get_template("table.tex.jinja")
    marked = "; ".join(f"{mark} {meaning}" for mark, meaning in table.legend)
    notes = [f"{marked}."] * bool(marked)
    if table.paired:
        notes.append("Paired, with the 95 % bootstrap interval over the test images:")
        notes += [f"{text.sentence(pair, table.compare)}." for pair in table.paired]
    notes += [sentence] if (sentence := text.ranking(table.ranks)) else []
    return template.render(
        table=table,
        heading=heading(table),
        label=re.sub(
            r"[^A-Za-z0-9]+", "-", f"{table.name}-{table.profile}-{'-'.join(table.selections)}"
        ).strip("-"),
        header=_latex_header(table),
        parts=[list(_latex_body(table, rows)) for rows in _parts(table)],
        notes=(below := [*notes, *table.footnotes]),
        apart=sum(map(len, below)) > NOTES,
        comments=[escape.clean(f"Not computed, {why}: {'; '.join(cells)}") for why, cells in table.missing],
    )


def header_levels(table: Table) -> list[list[tuple[tuple[str, ...], int]]]:
    """The header, outermost line first: groups if there are any, then one line for each column axis; equal
    neighbours are one. Each is the names from the outermost down to its own, and the columns it spans.
    """
    levels: list[list[tuple[str, ...]]] = []
    if any(table.column_groups):
        levels.append([(group,) for group in table.column_groups])
    prefix: list[tuple[str, ...]] = [(group,) for group in table.column_groups]
    for depth in range(max(1, len(table.column_axes))):
        names = [_level_name(table, column, depth) for column in table.columns]
        prefix = [(*above, name) for above, name in zip(prefix, names, strict=True)]
        levels.append(list(prefix))
    return [[(key, len(list(members))) for key, members in groupby(level)] for level in levels]


def _latex_header(table: Table) -> list[_Line]:
    first = len(table.row_axes)
    levels = header_levels(table)
    lines = []
    for number, level in enumerate(levels, start=1):
        last = number == len(levels)
        cells = [escape.latex(axis_name(axis)) if last else "" for axis in table.row_axes]
        rules: list[str] = []
        start = first + 1
        for key, span in level:
            name = escape.latex(key[-1])
            cells.append(name if span == 1 else rf"\multicolumn{{{span}}}{{c}}{{{name}}}")
            if key[-1] and not last:
                rules.append(Raw(rf"\cmidrule(lr){{{start}-{start + span - 1}}}"))
            start += span
        cells += [escape.latex(name) if last else "" for name in table.extra]
        lines.append(_Line([Raw(cell) for cell in cells], tuple(rules)))
    return lines


def _level_name(table: Table, column: tuple[str, ...], depth: int) -> str:
    return _named(table.column_axes[depth], column[depth]) if column else METRICS[table.metric][0]


def _parts(table: Table) -> list[list[Row]]:
    """The rows that stand on a page together; what belongs together is parted only where it fits on none."""
    most = PAGE_LINES // (2 if any(map(text.beside, table.entries)) else 1)
    parts: list[list[Row]] = [[]]
    for _, members in groupby(table.rows, key=lambda row: (row.group, row.labels[:-1][:1])):
        rows = list(members)
        if parts[-1] and len(parts[-1]) + len(rows) > most:
            parts.append([])
        size = math.ceil(len(rows) / math.ceil(len(rows) / most))
        parts[-1] += rows[:size]
        parts += [rows[start : start + size] for start in range(size, len(rows), size)]
    return parts


def _latex_body(table: Table, rows: Iterable[Row]) -> Iterable[_Line]:
    width = len(table.row_axes) + len(table.columns) + len(table.extra)
    above: Row | None = None
    for row in rows:
        new_group = above is not None and row.group != above.group
        if row.group and (above is None or new_group):
            name = rf"\multicolumn{{{width}}}{{l}}{{\textit{{{escape.latex(row.group)}}}}}"
            yield _Line([Raw(name)], rule_above=new_group)
            new_group = False
        outer = above is not None and len(row.labels) > 1 and row.labels[0] != above.labels[0]
        same = len(row.labels) > 1 and above is not None and not outer and not new_group
        labels = ["" if same and number == 0 else label for number, label in enumerate(row.labels)]
        values = [Raw(_latex_cell(entry)) for entry in row.entries]
        yield _Line([*labels, *values, *map(text.extra, row.extra)], rule_above=new_group or outer)
        beside = [text.beside(entry, symbols=True) for entry in row.entries]
        if any(beside):
            small = [Raw(rf"\footnotesize {escape.latex(one)}") if one else Raw("") for one in beside]
            yield _Line([*[""] * len(row.labels), *small, *[""] * len(row.extra)], space_below=True)
        above = row


def _latex_cell(entry: Entry | None) -> str:
    shown = escape.latex(text.value(entry))
    if entry is not None and entry.best:
        shown = rf"\textbf{{{shown}}}"
    return shown + escape.latex(text.marks(entry))


def terminal(table: Table) -> RenderableType:
    """For ``rich.print``: the published value under each of ours, in dim letters; nothing in it is read as
    markup.
    """
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=Text(escape.clean(heading(table)), style="bold"), title_justify="left")
    for axis in table.row_axes:
        shown.add_column(Text(escape.clean(axis_name(axis))))
    for name in (*(column_name(table, column) for column in table.columns), *table.extra):
        shown.add_column(Text(escape.clean(name)), justify="right")
    for group, rows in groupby(table.rows, key=lambda row: row.group):
        if group:
            shown.add_section()
            shown.add_row(Text(escape.clean(group), style="italic"))
        for row in rows:
            labels = [Text(escape.clean(label)) for label in row.labels]
            cells = [_terminal_cell(entry) for entry in row.entries]
            shown.add_row(*labels, *cells, *(Text(text.extra(value)) for value in row.extra))
    below = [Text(escape.clean(table.verdicts.sentence))] if table.verdicts.total else []
    below.append(Text(escape.clean(" ".join(table.caption)), style="dim"))
    below += [Text(escape.clean(f"{mark} {meaning}"), style="dim") for mark, meaning in table.legend]
    below += [Text(escape.clean(text.sentence(pair, table.compare)), style="dim") for pair in table.paired]
    below += [Text(escape.clean(told), style="dim")] if (told := text.ranking(table.ranks)) else []
    below += [Text(escape.clean(note), style="dim") for note in table.footnotes]
    below += [
        Text(escape.clean(f"-- {reason}: {'; '.join(cells)}"), style="yellow")
        for reason, cells in table.missing
    ]
    return Group(shown, *below)


def _terminal_cell(entry: Entry | None) -> Any:
    from rich.text import Text

    cell = Text(text.value(entry), style="bold" if entry is not None and entry.best else "")
    cell.append(text.marks(entry), style="red")
    verdict = f"{text.difference(entry)} {text.verdict(entry)}".strip()
    for line in filter(None, (text.published(entry), verdict, text.also(entry))):
        cell.append(f"\n{line}", style="not bold dim")
    return cell


def heading(table: Table) -> str:
    return table.title


def axis_name(axis: str) -> str:
    """How an axis is called above its labels."""
    return {"case": "", "dataset": "data set", "data.normal_class": "normal class"}.get(axis, axis)


def column_name(table: Table, column: tuple[str, ...]) -> str:
    """A column's labels in one line, outermost first; with no column axis the metric's name."""
    if not column:
        return METRICS[table.metric][0]
    return ", ".join(_named(axis, label) for axis, label in zip(table.column_axes, column, strict=True))


def _named(axis: str, label: str) -> str:
    return label if axis in PLAIN_AXES else f"{axis_name(axis)} {label}"


@cache
def environment(kind: str) -> jinja2.Environment:
    """Templates whose values are escaped on writing; LaTeX templates use other delimiters, braces being its
    own.
    """
    escapes: dict[str, Callable[[object], str]] = {"markdown": escape.markdown, "latex": escape.latex}
    escaped = escapes[kind]
    latex_marks: dict[str, Any] = {
        "block_start_string": "<%",
        "block_end_string": "%>",
        "variable_start_string": "<<",
        "variable_end_string": ">>",
        "comment_start_string": "<#",
        "comment_end_string": "#>",
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.shipped("reports/templates")),
        finalize=lambda value: value if isinstance(value, Raw) else escaped(value),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(latex_marks if kind == "latex" else {}),
    )
    environment.globals["raw"] = Raw
    # Separators are the template's own and stand as they are; what they join is escaped like any value.
    environment.filters["join"] = lambda values, between="": Raw(
        between.join(value if isinstance(value, Raw) else escaped(value) for value in values)
    )
    return environment
