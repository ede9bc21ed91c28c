"""What is rendered is parsed again: columns counted, braces balanced, and compiled where there is a TeX."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fabric import fill, judged, plan_of
from rich.console import Console

from suite.plan import expand
from suite.resources import names
from suite.spec import load_spec
from suite.store import Store
from suite.tables import render
from suite.tables.table import Table, build

NASTY = """
title = "A & B | 50 % of $x_1$ {braces} <script>alert(1)</script> [bold]red[/bold]"
description = "# not a heading, `code` \\\\input{/etc/passwd}"
seeds = [0, 1]
[table]
rows = ["dataset", "case"]
columns = ["train.batch", "score.views"]
groups = { "G_1 & |x|" = ["C_S&I|"] }
extra = ["parameters"]
footnotes = ["* 100 % of \\\\textbf{nothing} | ^ ~ # — γ 中"]
[[case]]
label = "C_S&I|"
set = { method = "csi" }
[[case]]
label = "*[x](http://a)\\\\\\\\"
set = { method = "csi", "train.lr" = 0.01 }
[grid]
dataset = ["phantom", "phantom_coarse"]
"train.batch" = [16, 32]
"score.views" = [1, 10]
"""


def made(tmp_path: Path, text: str | None = None) -> Table:
    store = Store(tmp_path / "runs")
    if text is not None:
        return build(plan_of(tmp_path, text, "nasty"), store, assessments=())
    plan = plan_of(tmp_path)
    fill(
        store,
        plan,
        {
            "CSI pneumonia_mnist": (0.82, 0.83, 0.85),
            "DIA pneumonia_mnist": (0.90, 0.91, 0.95),
            "CSI breast_mnist": (0.5, 0.6),
            "DIA breast_mnist": (0.7,),
        },
    )
    told = {plan.cells[3].runs[0].eval_key: ("failed", "failed before: no space left")}
    told |= {plan.cells[0].runs[0].eval_key: ("stale", "source changed")}
    return build(plan, store, assessments=list(judged(plan, store, told)))


def pipe_table(text: str) -> list[list[str]]:
    """The cells of the only pipe table in Markdown; escaped pipes do not part cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_cells(tmp_path: Path) -> None:
    head, rule, pneumonia, breast = pipe_table(render.markdown(made(tmp_path)))
    assert head == ["data set", "CSI", "CSI-1.5", "DIA"]
    assert rule == ["---", "---:", "---:", "---:"]
    assert pneumonia[0] == r"pneumonia\_mnist"
    assert pneumonia[1:] == [
        "0.833±0.015‡ (paper 0.834, −0.001: reproduced)",
        "-- (paper 0.838)",
        "**0.920±0.026** (paper 0.903, +0.017: reproduced)",
    ]
    assert breast[1:] == [
        "0.55±0.07 (2/3) (paper 0.546, +0.004)",
        "--† (paper 0.564)",
        "0.70 (1/3) (paper 0.750, −0.050)",
    ]


def test_markdown_says_caption_legend_and_what_is_missing(tmp_path: Path) -> None:
    text = render.markdown(made(tmp_path))
    assert text.startswith("# DIA against a batch-size increment\n")
    assert "(ddof 1) over n = 3 seeds (0, 1, 2)" in text
    assert "† a run of this cell failed; ‡ computed by another version" in text
    missing = text[text.index("## Missing") :]
    assert re.search(r"^- failed before: no space left: CSI-1\.5, breast\\_mnist \(seed 0\)$", missing, re.M)
    assert "\n\n\n" not in text
    assert text.endswith("\n")


def test_markdown_obeys_no_text(tmp_path: Path) -> None:
    table = made(tmp_path, NASTY)
    text = render.markdown(table)
    rows = pipe_table(text)
    assert len({len(row) for row in rows}) == 1
    assert len(rows[0]) == 2 + 4 + 1
    assert "<script" not in text
    assert r"\[x\](http://a)" in text
    assert re.findall(r"^#+ .*", text, re.M)[0].startswith("# A &amp; B")
    assert sum(line.startswith("#") for line in text.splitlines()) == 2  # the title and what is missing


def tabular(text: str) -> tuple[str, list[list[str]]]:
    """Column specification and rows of cells of the only tabular; a joined cell counts as many as it spans."""
    found = re.search(r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", text, re.S)
    assert found
    rows = []
    for line in found[2].splitlines():
        if not line.endswith(r"\\"):
            assert re.fullmatch(
                r"\\(top|mid|bottom)rule|\\addlinespace\[2pt\]|(\\cmidrule\(lr\)\{\d+-\d+\} ?)+", line
            ), line
            continue
        cells: list[str] = []
        for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\")):
            joined = re.match(r"\s*\\multicolumn\{(\d+)\}\{[lcr]\}\{(.*)\}\s*$", cell)
            cells += [joined[2], *[""] * (int(joined[1]) - 1)] if joined else [cell.strip()]
        rows.append(cells)
    return found[1], rows


def balanced(text: str) -> bool:
    depth = 0
    for character in re.sub(r"\\[{}\\]", "", re.sub(r"(?m)^%.*$", "", text)):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def test_latex_cells(tmp_path: Path) -> None:
    text = render.latex(made(tmp_path))
    columns, rows = tabular(text)
    assert columns == "lccc"
    assert {len(row) for row in rows} == {4}
    assert rows[0] == ["data set", "CSI", "CSI-1.5", "DIA"]
    assert rows[1][3] == r"\textbf{0.920\ensuremath{\pm}0.026}"
    assert rows[2][3] == r"\footnotesize paper 0.903, +0.017 \ensuremath{\approx}"
    assert rows[3][2] == r"--\ensuremath{^\dagger}"
    assert balanced(text)


def test_latex_obeys_no_text(tmp_path: Path) -> None:
    text = render.latex(made(tmp_path, NASTY))
    columns, rows = tabular(text)
    assert columns == "llccccr"
    assert {len(row) for row in rows} == {7}
    assert rows[0][2:6] == ["train.batch 16", "", "train.batch 32", ""]
    assert balanced(text)
    assert r"\input{" not in text.replace(r"\input.", "")
    assert not re.search(r"(?<!\\)[%]", re.sub(r"(?m)^%.*$|%$", "", text))


def compiled(folder: Path, tables: list[str]) -> str:
    """What a real TeX says of a document of these tables; skipped where there is none."""
    engine = next(filter(shutil.which, ("pdflatex", "tectonic", "xelatex")), None)
    if engine is None:
        pytest.skip("no TeX here: neither pdflatex nor tectonic nor xelatex")
    for number, table in enumerate(tables):
        (folder / f"table{number}.tex").write_text(table, encoding="utf-8")
    body = "\n".join(f"\\input{{table{number}}}\\clearpage" for number in range(len(tables)))
    (folder / "paper.tex").write_text(
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
        f"\\begin{{document}}\n{body}\n\\end{{document}}\n",
        encoding="utf-8",
    )
    options = (
        [] if engine == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
    )
    done = subprocess.run(
        [engine, *options, "paper.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "paper.pdf").stat().st_size > 1000
    return done.stdout


@pytest.mark.parametrize("text", [None, NASTY], ids=["plain", "nasty"])
def test_latex_compiles(tmp_path: Path, text: str | None) -> None:
    assert "Overfull" not in compiled(tmp_path, [render.latex(made(tmp_path, text))])


def test_every_shipped_table_compiles(tmp_path: Path) -> None:
    plans = [expand(load_spec(name)) for name in names("specs")]
    store = Store(tmp_path / "runs")
    shipped = [build(plan, store, assessments=()) for plan in plans if plan.spec.figure is None]
    assert len(shipped) > 10
    assert "too large" not in compiled(tmp_path, [render.latex(table) for table in shipped])


def test_a_table_that_no_page_holds_is_printed_in_parts(tmp_path: Path) -> None:
    """No row is lost, each part starts with its outer label, and only the first has a caption."""
    plan = expand(load_spec("natural_images"))
    table = build(plan, Store(tmp_path / "runs"), assessments=())
    parts = render.latex(table).split("\\end{table}")[:-1]
    assert len(parts) > 1
    assert [part.count("\\caption{") for part in parts] == [1] + [0] * (len(parts) - 1)
    bodies = [[row for row in tabular(part)[1] if "paper" not in "".join(row)][1:] for part in parts]
    assert [body[0][0] for body in bodies] == ["cifar10"] + ["cifar100"] * (len(parts) - 1)
    assert [row[1] for body in bodies for row in body] == [row.labels[1] for row in table.rows]


def shown(table: Table, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(render.terminal(table))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_terminal(tmp_path: Path) -> None:
    text = shown(made(tmp_path))
    assert re.search(r"pneumonia_mnist +│ +0\.833±0\.015‡ +│ +-- +│ +0\.920±0\.026", text)
    assert re.search(r"paper 0\.834 +│ +paper 0\.838 +│ +paper 0\.903", text)
    assert "-- failed before: no space left" in text


def test_terminal_obeys_no_markup(tmp_path: Path) -> None:
    table = made(tmp_path, NASTY)
    assert "[bold]red[/bold]" in shown(table)
    assert "\x1b" not in shown(replace(table, title="\x1b[31mred"))


def test_formats_agree(tmp_path: Path) -> None:
    """Every number of the Markdown table stands in the other two."""
    table = made(tmp_path)
    numbers = re.findall(
        r"\d\.\d+", " ".join(" ".join(row) for row in pipe_table(render.markdown(table))[2:])
    )
    latex, terminal = render.latex(table), shown(table)
    assert len(numbers) > 15
    assert all(number in latex and number in terminal for number in numbers)
