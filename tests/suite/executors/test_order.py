"""Artefacts before what needs them, the longest way first."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from suite.executors import Task
from suite.executors.order import longest_first, ways, with_artefacts
from suite.plan import Run
from suite.registry import Need
from suite.store import Store

INNER = Need("diffusion", 1, {"seed": 0}, "a:b")
OUTER = Need("strip", 1, {"seed": 0}, "a:b", needs=(INNER,))
OTHER = Need("diffusion", 1, {"seed": 1}, "a:b")


def _run(name: str, *needs: Need) -> Run:
    return Run(name, "toy", 0, {}, {}, {}, name * 64, name * 64, needs)


def _names(tasks: list[Task]) -> list[str]:
    return [
        task.run.method if task.run else f"{task.need.kind} {task.need.identity['seed']}"
        for task in tasks
        if task.run or task.need
    ]


def test_what_begins_the_longest_way_is_first() -> None:
    tasks = [
        Task(_run("a"), seconds=50.0),
        Task(_run("b", OTHER), seconds=20.0),
        Task(need=OTHER, seconds=35.0),
        Task(_run("c"), seconds=90.0),
        Task(_run("d"), rough=60.0),
        Task(_run("e"), seconds=10.0, rough=500.0),
    ]
    assert _names(longest_first(tasks)) == ["c", "d", "diffusion 1", "a", "b", "e"]
    assert ways(tasks)[Task(need=OTHER).place] == 55.0


def test_without_any_knowledge_the_order_stays_but_artefacts_come_first() -> None:
    tasks = [Task(_run("a")), Task(_run("b", OTHER)), Task(_run("c")), Task(need=OTHER)]
    assert _names(longest_first(tasks)) == ["diffusion 1", "a", "b", "c"]


def test_an_unknown_length_counts_as_the_others_median() -> None:
    tasks = [
        Task(_run("a"), seconds=1.0),
        Task(_run("b")),
        Task(_run("c"), seconds=9.0),
        Task(_run("d"), seconds=5.5),
    ]
    assert _names(longest_first(tasks)) == ["c", "b", "d", "a"]


lengths = st.none() | st.floats(0.0, 1e6)


@given(st.lists(st.tuples(lengths, st.sampled_from([(), (INNER,), (OUTER,), (OTHER, OUTER)])), max_size=12))
def test_whatever_the_lengths_nothing_stands_before_what_it_needs(
    given: list[tuple[float | None, tuple[Need, ...]]],
) -> None:
    runs = [
        Task(_run(f"{number:x}", *needs), seconds=seconds) for number, (seconds, needs) in enumerate(given)
    ]
    tasks = longest_first(with_artefacts(runs, Store(Path("/nowhere"))))
    assert sorted(_names([task for task in tasks if task.run])) == sorted(_names(runs))
    places = [task.place for task in tasks]
    assert len(set(places)) == len(places), "each artefact once"
    for at, task in enumerate(tasks):
        assert {Task(need=need).place for need in task.needs} <= set(places[:at])


def test_what_is_there_is_not_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tasks = [Task(_run("a", OUTER)), Task(need=OTHER, goal=True), Task(_run("b", OTHER))]
    assert _names(with_artefacts(tasks, store)) == ["diffusion 0", "strip 0", "a", "diffusion 1", "b"]
    folder = store.artefact_folder(INNER.kind, INNER.key)
    folder.mkdir(parents=True)
    (folder / "done.json").write_text(f'{{"key": "{INNER.key}"}}')
    assert _names(with_artefacts(tasks, store))[0] == "strip 0"
