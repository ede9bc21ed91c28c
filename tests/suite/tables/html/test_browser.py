"""The report in a real browser: a column sorts, a cell opens its runs, a hostile label stays text, and the page
asks for nothing but itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Watched, chromium
from fabric import plan_of
from pages import HOSTILE, filled, hostile_plan, section

from suite.plan import Run
from suite.store import Store
from suite.tables import text
from suite.tables.escape import clean
from suite.tables.html import write
from suite.tables.report import tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def auroc(number: int, run: Run) -> float | None:
    """Other values in each cell, one cell with nothing, one with a seed alone."""
    if number == 4 or (number == 5 and run.seed):
        return None
    return 0.5 + ((number * 7) % 12) / 40 + run.seed / 100


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Store, Any, Path]:
    """A filled store, its plan and the page, with the worst of labels."""
    store, plan = Store(tmp_path / "runs"), hostile_plan(tmp_path)
    filled(store, plan, auroc, digest="f" * 64)
    return store, plan, write([section(plan, store)], store, tmp_path / "out")


def column(page: Any, number: int) -> list[list[str]]:
    """The values that a column shows, top to bottom, one list for each group."""
    return page.evaluate(
        """number => [...document.querySelector("table.results").tBodies].map(body =>
            [...body.rows].filter(row => !row.classList.contains("group"))
                .map(row => (row.cells[number].querySelector(".value") || row.cells[number]).textContent.trim()))""",
        number,
    )


def leading(value: str) -> float:
    """The mean in a cell's text; what has none counts as less than everything."""
    return -1.0 if value == "--" else float(value.partition("±")[0].split()[0])


def test_a_column_sorts_by_mouse_and_keyboard(context: Any, hostile: tuple[Store, Any, Path]) -> None:
    watched = Watched(context, hostile[2])
    page, start = watched.page, column(watched.page, 2)
    assert [len(group) for group in start] == [4, 2]
    head = page.locator("table.results thead tr:last-child th").nth(2)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    falling = column(page, 2)
    assert falling == [sorted(group, key=leading, reverse=True) for group in start]
    assert falling != start
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    rising = column(page, 2)
    for group, before in zip(rising, start, strict=True):
        known = [value for value in group if value != "--"]
        assert known == sorted((value for value in before if value != "--"), key=leading)
        assert group[len(known) :] == ["--"] * (len(group) - len(known)), "what has no value stays last"
    other = page.locator("table.results thead tr:last-child th").nth(1)
    other.locator("button").click()
    assert other.get_attribute("aria-sort") == "ascending"
    assert head.get_attribute("aria-sort") is None
    names = column(page, 1)
    assert names == [sorted(group) for group in names] or names[0][0] == clean(HOSTILE)
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    assert other.get_attribute("aria-sort") is None
    assert column(page, 2) == start
    assert watched.quiet(hostile[2]), watched.trouble + watched.requests
    page.close()


def test_a_cell_opens_its_runs(context: Any, hostile: tuple[Store, Any, Path]) -> None:
    store, plan, file = hostile
    (table,) = tables(plan, store, assessments=())
    watched = Watched(context, file)
    page = watched.page
    buttons = page.locator("button.cell")
    entries = [entry for entry in table.entries if entry.observations]
    assert buttons.count() == len(entries) == 12
    for number in (0, 7):
        entry, button = entries[number], buttons.nth(number)
        button.click()
        dialog = page.locator("dialog[open]")
        shown = " ".join(dialog.inner_text().split())
        assert " ".join(clean(", ".join(entry.cell.labels.values())).split()) in shown
        assert text.value(entry) in shown
        rows = dialog.locator("table tbody tr")
        assert rows.count() == len(entry.cell.runs)
        for row, run in enumerate(entry.cell.runs):
            outcome = store.outcome(run.train_key, run.eval_key)
            cells = [" ".join(one.split()) for one in rows.nth(row).locator("td").all_inner_texts()]
            if outcome is None:
                assert cells[:3] == [str(run.seed), "to run: new", "--"]
                continue
            low, high = (outcome.metrics[f"auroc_{end}"] for end in ("low", "high"))
            assert cells[2:4] == [f"{outcome.metrics['auroc']:.3f}", f"{low:.3f} to {high:.3f}"]
            assert cells[6] == "234 + 390"
        assert dialog.locator("svg[role=img]").count() == 1 + len(entry.values) + 1, "ROC, histograms, loss"
        assert not dialog.locator("svg").evaluate_all(
            "all => all.filter(one => /NaN|undefined|Infinity/.test(one.outerHTML)).length"
        )
        assert dialog.locator(".images li").count() == 8 * len(entry.values)
        dialog.get_by_text("Settings", exact=False).first.click()
        assert "train.epochs" in dialog.inner_text()
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0
        assert button.evaluate("one => one === document.activeElement"), "the focus returns to the cell"
    assert watched.quiet(file), watched.trouble + watched.requests
    page.close()


def test_every_cell_opens(context: Any, hostile: tuple[Store, Any, Path]) -> None:
    watched = Watched(context, hostile[2])
    opened = watched.page.evaluate(
        """() => [...document.querySelectorAll("button.cell")].map(button => {
            button.click();
            const told = document.querySelector("dialog[open] tbody").rows.length;
            document.querySelector("dialog .close").click();
            return told;
        })"""
    )
    assert opened == [2] * 12
    assert watched.quiet(hostile[2]), watched.trouble + watched.requests
    watched.page.close()


def test_a_hostile_label_stays_text(context: Any, hostile: tuple[Store, Any, Path]) -> None:
    watched = Watched(context, hostile[2])
    page = watched.page
    told = " ".join(clean(HOSTILE).split())
    assert page.locator("tbody th[scope=row]", has_text="alert(1)").first.inner_text() == told
    before = page.evaluate("() => [document.scripts.length, document.images.length]")
    for cell in page.locator("button.cell").all()[:4]:
        cell.click()
        page.keyboard.press("Escape")
    assert page.evaluate("() => [document.scripts.length, document.images.length]") == before
    # Three scripts, what they share, and one block for each of the 24 runs.
    assert before == [3 + 1 + 24, 0]
    assert watched.quiet(hostile[2]), watched.trouble + watched.requests
    page.close()


def test_its_policy_stops_what_is_not_its_own(context: Any, hostile: tuple[Store, Any, Path]) -> None:
    watched = Watched(context, hostile[2])
    page = watched.page
    stopped: dict[str, str | None] = {}
    page.on("requestfailed", lambda request: stopped.update({request.url: request.failure}))
    page.evaluate(
        """() => {
            const image = document.createElement("img");
            image.src = "https://example.org/x.png";
            const script = document.createElement("script");
            script.textContent = "window.broken = true";
            document.body.append(image, script);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.evaluate("() => window.broken") is None
    assert sum("Content Security Policy" in line for line in watched.trouble) >= 2
    # The browser tells of the request that it did not make; had it made it, the name would not be found.
    assert stopped == {"https://example.org/x.png": "csp"}
    page.close()


def test_a_table_without_axes_or_results_opens(context: Any, tmp_path: Path) -> None:
    store, plan = Store(tmp_path / "runs"), plan_of(tmp_path)
    file = write([section(plan, store)], store, tmp_path)
    watched = Watched(context, file)
    watched.page.locator("button.cell").first.click()
    assert "to run" in watched.page.locator("dialog[open]").inner_text()
    assert watched.quiet(file), watched.trouble + watched.requests
    watched.page.close()
