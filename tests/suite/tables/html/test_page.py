"""The page is parsed again: what it shows, what it would load (nothing), and that hostile texts stay text."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from fabric import DIGEST, fill, plan_of, reported
from pages import HOSTILE, block, filled, hostile_plan, text_of, tree, words

from suite import resources
from suite.mirror.stamp import Links
from suite.store import Store
from suite.tables import text
from suite.tables.cells import anchor, cell_key
from suite.tables.escape import clean
from suite.tables.html import page, write
from suite.tables.report import tables


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_the_cells_are_those_of_the_table(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.91, 0.95), "CSI breast_mnist": (0.5, 0.6)})
    document = tree(text_of(store, tmp_path, plan))
    (table,) = tables(plan, store, assessments=())
    (shown,) = document.xpath("//table[contains(@class, 'results')]")
    assert [words(head) for head in shown.xpath(".//thead//th")] == ["Data set", "CSI", "CSI-1.5", "DIA"]
    rows = shown.xpath(".//tbody/tr")
    assert [words(row.xpath("./th")[0]) for row in rows] == ["pneumonia_mnist", "breast_mnist"]
    for row, line in zip(table.rows, rows, strict=True):
        for entry, cell in zip(row.entries, line.xpath("./td"), strict=True):
            assert entry is not None
            assert words(cell.xpath(".//*[@class='value']")[0]) == text.value(entry)
            assert [words(one) for one in cell.xpath(".//*[@class='beside']")] == [text.published(entry)]
            number = cell.get("data-sort")
            assert number == (None if entry.mean is None else str(entry.mean))
            assert cell.xpath(".//button/@data-runs")[0].split() == [
                run.eval_key[:12] for run in entry.cell.runs
            ]
    assert "0.920±0.026" in words(shown)
    assert [cell.get("class") for cell in shown.xpath(".//td")].count("num best") == sum(
        entry.best for entry in table.entries
    )
    assert words(shown.xpath("./caption")[0]).startswith("AUROC, mean ± sample")


def test_every_run_stands_in_the_page_once(tmp_path: Path, store: Store) -> None:
    first, second = plan_of(tmp_path), plan_of(tmp_path, name="another")
    fill(store, first, {"DIA pneumonia_mnist": (0.90, 0.91, 0.95)})
    document = tree(text_of(store, tmp_path, first, second))
    ids = document.xpath("//*[@id]/@id")
    assert len(ids) == len(set(ids))
    runs = [name for name in ids if name.startswith("run-")]
    assert sorted(runs) == sorted(f"run-{run.eval_key[:12]}" for run in first.runs)
    asked = {key for keys in document.xpath("//@data-runs") for key in keys.split()}
    assert {f"run-{key}" for key in asked} == set(runs)
    assert len(document.xpath("//table[contains(@class, 'results')]")) == 2


def test_links_within_the_page_lead_somewhere(tmp_path: Path, store: Store) -> None:
    # Two tables of one name: specs in two folders, or one under two sets of changes.
    plans = [plan_of(tmp_path), plan_of(tmp_path / "other")]
    document = tree(text_of(store, tmp_path, *plans))
    targets = [link[1:] for link in document.xpath("//a/@href") if link.startswith("#")]
    assert set(targets) <= set(document.xpath("//@id"))
    assert len(set(document.xpath("//nav//a/@href"))) == 3


def test_nothing_is_loaded_and_nothing_else_may_run(tmp_path: Path, store: Store) -> None:
    plan = hostile_plan(tmp_path)
    filled(store, plan, lambda number, run: 0.5)
    document = tree(text_of(store, tmp_path, plan))
    assert not document.xpath("//link | //iframe | //object | //embed | //base | //form | //audio | //video")
    assert not document.xpath("//@srcset | //@background | //@style | //script/@src | //*[name()='use']")
    assert all(source.startswith("data:image/") for source in document.xpath("//@src"))
    assert not any(
        name.startswith("on") for element in document.iter() for name in getattr(element, "attrib", ())
    )
    style = document.xpath("//style")
    assert len(style) == 1
    assert not re.search(r"url\(|@import|expression", style[0].text)
    scripts = [script.text for script in document.xpath("//script[not(@type)]")]
    assert len(scripts) == 3
    (policy,) = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    rules = {name: values for name, *values in (rule.split() for rule in policy.split(";"))}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == [_hash(script) for script in scripts]
    assert rules["style-src"] == [_hash(style[0].text)]
    assert rules["img-src"] == ["data:"]
    assert "unsafe" not in policy


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@pytest.mark.parametrize("name", ["sort.js", "charts.js", "details.js"])
def test_the_scripts_only_write_text_and_reach_for_nothing(name: str) -> None:
    script = resources.shipped(f"reports/templates/html/{name}").read_text()
    for forbidden in (
        *(
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "setTimeout",
        ),
        *("fetch(", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon", "import(", "localStorage"),
        *("</script", "<!--", "createContextualFragment", "DOMParser", "setHTML"),
    ):
        assert forbidden not in script


def test_hostile_texts_stay_text(tmp_path: Path, store: Store) -> None:
    plan = hostile_plan(tmp_path)
    filled(store, plan, lambda number, run: 0.5, notes=(HOSTILE,))
    document = tree(text_of(store, tmp_path, plan))
    told = " ".join(clean(HOSTILE).split())
    assert words(document.xpath("//section/h2")[1]) == told
    assert told in [words(row) for row in document.xpath("//tbody//th[@scope='row']")]
    assert told in [words(note) for note in document.xpath("//p[@class='note']")]
    assert document.xpath("//button/@data-place")[0].startswith(told)
    assert not document.xpath("//img")
    run = block(document, f"run-{plan.runs[0].eval_key[:12]}")
    assert block(document, "shared")["data"][run["data"]]["notes"] == [HOSTILE]


def test_what_limits_the_numbers_stands_above_them(tmp_path: Path, store: Store) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "tiny.toml").write_text('[settings]\n"train.epochs" = 2\n')
    plan = hostile_plan(tmp_path)
    filled(store, plan, lambda number, run: 0.5)
    tiny = plan_of(tmp_path, profile=str(profiles / "tiny.toml"))
    document = tree(text_of(store, tmp_path, plan, tiny))
    stand_in, reduced = document.xpath("//section[@class='table']")
    assert "STAND-IN DATA" in words(stand_in.xpath("./p[@class='warning']")[0])
    (note,) = [one for one in reduced.xpath("./p[@class='warning']") if "NOT the paper's" in words(one)]
    assert "train.epochs 2 (200)" in words(note)
    assert note.getnext() is not None
    assert note.xpath("following-sibling::div//table[contains(@class, 'results')]")
    assert not tree(text_of(store, tmp_path, plan_of(tmp_path))).xpath("//section//p[@class='warning']")


def test_what_is_missing_is_said(tmp_path: Path, store: Store) -> None:
    document = tree(text_of(store, tmp_path, plan_of(tmp_path)))
    assert {words(one) for one in document.xpath("//td//*[@class='value']")} == {"--"}
    (missing,) = document.xpath("//details[@class='missing']")
    assert "not run yet: CSI, pneumonia_mnist" in words(missing)
    assert "0 of 6" in words(document.xpath("//table[contains(@class, 'overview')]")[0])


def test_the_data_sets_are_credited(tmp_path: Path, store: Store) -> None:
    document = tree(text_of(store, tmp_path, plan_of(tmp_path)))
    (credit,) = document.xpath("//section[@aria-labelledby='data-sets']//tr[th='pneumonia_mnist']")
    assert "CC BY 4.0" in words(credit)
    assert credit.xpath(".//a/@href") == ["https://medmnist.com"]


def test_an_empty_report_is_a_page(tmp_path: Path, store: Store) -> None:
    assert tree(page([], store, tmp_path)).xpath("//h1")


def test_writing_again_gives_the_same_bytes(tmp_path: Path, store: Store) -> None:
    plan = plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.90, 0.91, 0.95)})
    (first,) = reported([plan], store, tmp_path / "out", ["html"])
    assert first == tmp_path / "out" / "index.html"
    before = first.read_bytes()
    reported([plan], store, tmp_path / "out", ["html"])
    assert first.read_bytes() == before
    assert DIGEST[:12] in before.decode()
    assert write([], store, tmp_path / "elsewhere") == tmp_path / "elsewhere" / "index.html"


def test_a_cell_links_to_the_tracker_and_has_a_name(tmp_path: Path) -> None:
    store, plan = Store(tmp_path / "runs"), plan_of(tmp_path)
    fill(store, plan, {"DIA pneumonia_mnist": (0.9,), "CSI pneumonia_mnist": (0.8,)})
    keys = {" ".join(cell.labels.values()): cell_key(cell) for cell in plan.cells}
    address = "http://127.0.0.1:5000/#/experiments/1/runs/abc"
    wrong = "javascript:alert(1)"
    links = Links({keys["DIA pneumonia_mnist"]: address, keys["CSI pneumonia_mnist"]: wrong})
    document = tree(text_of(store, tmp_path, plan, links=links))
    (link,) = document.xpath("//a[@class='tracker']")
    assert (link.get("href"), link.get("target")) == (address, "_blank")
    assert "noopener" in link.get("rel")
    assert link.getparent().get("id") == anchor(keys["DIA pneumonia_mnist"])
    names = document.xpath("//td/@id")
    assert len(names) == len(set(names)) == len(plan.cells)
    again = tree(text_of(store, tmp_path, plan, plan))
    assert again.xpath("//a[@class='tracker']") == []
    assert len(again.xpath("//td/@id")) == len(set(again.xpath("//td/@id"))) == len(plan.cells)
