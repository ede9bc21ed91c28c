"""Which executor a command works with: processes of this machine, this very process, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from suite.executors import Finished, Options, Task
from suite.executors.display import Display

Work = Callable[[Sequence[Task], Options, Display], Finished]


@dataclass(frozen=True)
class Remote:
    """A Ray cluster: its address, what a run asks for (see :class:`suite.executors.ray.Share`), at most how many
    ``jobs`` at a time, and whether all its machines see the store.
    """

    address: str = "auto"
    gpus: float | None = None
    per_device: int = 1
    jobs: int | None = None
    shared_store: bool = False


@dataclass(frozen=True)
class Executor:
    """``where`` it works, for people; on which kind of ``device``; how many runs at a time (``places``) there, and
    how many ``at_most`` when machines join.
    """

    where: str
    device: str
    places: int
    at_most: int | None
    carry_out: Work


@contextmanager
def executor(
    slots: Sequence[str],
    threads: int,
    *,
    in_process: bool = False,
    remote: Remote | None = None,
    needed: bool = True,
) -> Iterator[Executor]:
    """The executor that was asked for. A cluster is only joined when there is something to do (``needed``);
    SpecErrors when it cannot be.
    """
    if remote is None or not needed:
        devices = (
            ", ".join(dict.fromkeys(slots)) if remote is None else f"the Ray cluster at {remote.address}"
        )
        yield Executor(devices, slots[0], len(slots), len(slots), _in_process if in_process else _local)
        return
    from suite.executors import ray

    share = ray.Share(threads, remote.gpus, remote.per_device)
    with ray.connected(remote.address, share) as cluster:
        work = partial(ray.carry_out, cluster=cluster, shared=remote.shared_store)
        places = min(cluster.places(), remote.jobs or cluster.places())
        yield Executor(f"the Ray cluster at {cluster.address}", cluster.device, places, remote.jobs, work)


def _local(tasks: Sequence[Task], options: Options, display: Display) -> Finished:
    from suite.executors.local import carry_out

    return carry_out(tasks, options, display)


def _in_process(tasks: Sequence[Task], options: Options, display: Display) -> Finished:
    from suite.executors.in_process import carry_out

    return carry_out(tasks, options)
