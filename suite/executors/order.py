"""In which order tasks are begun: artefacts before what needs them, and what begins the longest way first, so that
no long run is left alone at the end while other slots have nothing to do.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from suite.executors import Task
from suite.job import fit_serves
from suite.past import Past
from suite.registry import Need, Place
from suite.store import Store


def with_artefacts(tasks: Sequence[Task], store: Store, past: Past | None = None) -> list[Task]:
    """These tasks and before them the making of what they want and is not there, each once.

    A goal among them is left to its own task. ``past`` tells how long making one may take.
    """
    past = past or Past(store)
    making: dict[Place, Task] = {}
    given = {task.place for task in tasks}
    for task in tasks:
        if task.run and not task.force and fit_serves(task.run, task.folder(store)):
            continue
        for need in _absent(task.needs, store):
            made = Task(need=need, profile=task.profile)
            if made.place not in given and made.place not in making:
                making[made.place] = Task(need=need, profile=task.profile, seconds=past.seconds(need))
    return [*making.values(), *tasks]


def longest_first(tasks: Sequence[Task]) -> list[Task]:
    """The tasks by the length of the way that begins with them; those alike stay in their order."""
    length = ways(tasks)
    return sorted(tasks, key=lambda task: -length[task.place])


def ways(tasks: Iterable[Task]) -> dict[Place, float]:
    """Place of a task -> the seconds of the longest chain of tasks that begins there: its own, and those of what
    waits for it. One of unknown length counts as the others' median.
    """
    tasks = list(tasks)
    known = [one for one in map(_seconds, tasks) if one is not None]
    typical = statistics.median(known) if known else 1.0
    users: dict[Place, list[Task]] = {}
    for task in tasks:
        for need in task.needs:
            users.setdefault(need.place, []).append(task)
    found: dict[Place, float] = {}

    def way(task: Task) -> float:
        if task.place not in found:
            own = _seconds(task)
            found[task.place] = (typical if own is None else own) + max(
                map(way, users.get(task.place, ())), default=0.0
            )
        return found[task.place]

    for task in tasks:
        way(task)
    return found


def _seconds(task: Task) -> float | None:
    return task.rough if task.seconds is None else task.seconds


def _absent(needs: Iterable[Need], store: Store) -> Iterator[Need]:
    """Those of these artefacts that are not there, and what they need and is not there before them."""
    for need in needs:
        if store.artefact(need, thorough=True) is None:
            yield from _absent(need.needs, store)
            yield need
