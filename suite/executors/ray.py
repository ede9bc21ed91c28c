"""Runs on an existing Ray cluster: the schedule of all executors over slots that come and go with its machines.

Code and data need not be on a shared disk: the suite's code, packs and artefacts travel to the machines, the
folders of finished runs travel back, and this process alone writes the store. A machine that dies costs only the
runs on it, which are begun again elsewhere; where the store is on a disk that all machines share (``shared``),
their workers write in it themselves and such a run goes on from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from suite.executors import Finished, Options, Task
from suite.executors.display import Display
from suite.executors.schedule import Answers, Schedule
from suite.store import Store
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from suite.executors.ray_slots import RaySlot

LOOK = 1.0
"""Seconds between two looks at what the cluster offers."""
IDLE = 20.0
"""Seconds after which a slot that nothing waits for is given back."""
_PASSED_ON = ("SUITE_PLUGINS", "SUITE_MODELS")
"""Environment variables that the machines get as they are here."""
_REACH = 5.0
_GONE = 3
"""Hosts of one machine that may fail to start before it is left out."""


@dataclass(frozen=True)
class Share:
    """What a run asks for. ``gpus``: its share of a GPU, or so many of them; None: one where the cluster has any,
    divided by ``per_device``.
    """

    cpus: int = 1
    gpus: float | None = None
    per_device: int = 1

    def on(self, offered: Mapping[str, float]) -> int:
        """How many such runs a machine has room for; ``gpus`` must be known."""
        room = int(offered.get("CPU", 0) // self.cpus)
        if not self.gpus:
            return room
        count = offered.get("GPU", 0)
        # Ray deals whole GPUs to shares: two runs of 0.6 do not fit on one of 1.
        on_gpus = int(count) * int(1 / self.gpus + 1e-9) if self.gpus <= 1 else int(count // self.gpus)
        return min(room, on_gpus)

    def settled(self, nodes: Iterable[Mapping[str, float]]) -> Share:
        """With ``gpus`` known."""
        if self.gpus is not None:
            return self
        some = any(one.get("GPU", 0) for one in nodes)
        return Share(self.cpus, 1 / self.per_device if some else 0.0)

    def __str__(self) -> str:
        return f"{self.cpus} CPU{'s' * (self.cpus > 1)}" + (f" and {self.gpus:g} GPU" if self.gpus else "")


class Cluster:
    """A connection to a Ray cluster. ``share`` is what each run asks for."""

    def __init__(self, address: str, share: Share) -> None:
        self.address = address
        offered = self.nodes()
        self.share = share.settled(offered.values())
        if not self.places():
            most = Counter[str]()
            for one in offered.values():
                most |= Counter({name: int(one.get(name, 0)) for name in ("CPU", "GPU")})
            raise SpecErrors(
                [
                    f"--executor ray: no machine of the cluster at {address} has room for a run of {self.share}: the "
                    f"largest has {most['CPU']} CPUs and {most['GPU']} GPUs (--threads, --gpus-per-run)"
                ]
            )

    @property
    def device(self) -> str:
        """What a run computes on. Ray shows it its own GPU only."""
        return "cuda:0" if self.share.gpus else "cpu"

    def nodes(self) -> dict[str, dict[str, float]]:
        """The machines that live: id -> resources, such as CPU and GPU."""
        import ray

        return {one["NodeID"]: dict(one["Resources"]) for one in ray.nodes() if one["Alive"]}

    def places(self) -> int:
        """How many runs have room at a time."""
        return sum(self.share.on(offered) for offered in self.nodes().values())


@contextmanager
def connected(address: str, share: Share) -> Iterator[Cluster]:
    """The cluster at an address (``auto``: the one that this machine belongs to). SpecErrors, each with its remedy."""
    # Read when Ray is imported: a thread that outlives the connection must not start a cluster of its own.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    try:
        import ray
    except ImportError:
        raise SpecErrors(
            ["--executor ray: ray is not installed: pip install 'dissolving-suite[ray]'"]
        ) from None
    from suite.executors.ray_code import stage

    target = os.environ.get("RAY_ADDRESS", "") or address if address == "auto" else address
    start = "start one: ray start --head (and on other machines: ray start --address=HOST:6379)"
    if target != "auto":
        _reach(target, start)
    with tempfile.TemporaryDirectory(prefix="suite-code-") as folder:
        runtime = {
            "py_modules": [str(part) for part in stage(Path(folder))],
            "env_vars": {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        }
        try:
            ray.init(target, log_to_driver=False, logging_level=logging.ERROR, runtime_env=runtime)
        except ConnectionError as error:
            raise SpecErrors(
                [f"--address {address}: there is no Ray cluster ({_line(error)}); {start}"]
            ) from None
        except Exception as error:
            why = f"--address {address}: cannot join the cluster: {_line(error)}"
            raise SpecErrors([f"{why}; is this machine part of it? ray start --address={target}"]) from None
    try:
        yield Cluster(target, share)
    finally:
        ray.shutdown()


def _reach(address: str, remedy: str) -> None:
    """Whether something answers at an address: Ray itself tries for most of a minute."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in address:
        raise SpecErrors(
            [f"--address {address}: write auto or HOST:PORT, and run the command on a machine of the cluster"]
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH).close()
    except OSError as error:
        raise SpecErrors(
            [f"--address {address}: there is no Ray cluster ({_line(error)}); {remedy}"]
        ) from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def carry_out(
    tasks: Iterable[Task], options: Options, display: Display, cluster: Cluster, *, shared: bool = False
) -> Finished:
    """Carry out runs and make artefacts on the cluster, at most ``options.slots`` at a time; see
    :meth:`Schedule.work`. ``shared``: every machine sees the store under the same path.
    """
    with _sight(options.store) if shared else contextlib.nullcontext() as sight:
        pool = Pool(cluster, options, display, sight)
        try:
            return Schedule(tasks, options, display, pool.slots, pool.answers, pool.grow).work()
        finally:
            pool.close()


@contextmanager
def _sight(store: Path) -> Iterator[Path]:
    """A file in the store that every machine must see while a command runs."""
    store.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".shared.", dir=store)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@dataclass
class _Coming:
    """A host that was asked for: it is a slot as soon as the cluster has room for it."""

    node: str
    host: Any
    unfit: Any


class Pool:
    """The slots of a command: as many as the cluster has room for and tasks want."""

    def __init__(self, cluster: Cluster, options: Options, display: Display, sight: Path | None) -> None:
        import ray

        from suite.executors.ray_code import requirements
        from suite.executors.ray_depot import Depot
        from suite.executors.ray_node import Host, Setting

        self.cluster, self.display, self.limit = cluster, display, max(1, options.slots)
        self.store, self.shared = Store(options.store), sight is not None
        # What the machines need to know of the options, and nothing that is only of use here.
        travelling = Options(
            store=options.store,
            data_root=options.data_root if self.shared else None,
            threads=options.threads,
            checkpoint_every=options.checkpoint_every,
        )
        self.setting = Setting(
            uuid.uuid4().hex[:12], travelling, cluster.device, tuple(requirements()), sight
        )
        self.depot = Depot(options, _put)
        self.slots: list[RaySlot] = []
        self.answers: Answers = SimpleQueue()
        self.coming: list[_Coming] = []
        self.unfit: dict[str, str] = {}
        self.gone = Counter[str]()
        self.made = 0
        self.host = ray.remote(Host)
        self.looked = -LOOK

    def grow(self, wanted: int) -> None:
        """Take in hosts that have come, drop those that are lost or idle, and ask for more if more are wanted."""
        self._take_in()
        for slot in [slot for slot in self.slots if slot.task is None]:
            idle = len(self.slots) > wanted and time.monotonic() - slot.began > IDLE
            if slot.lost or idle:
                self.slots.remove(slot)
                slot.dismiss()
                slot.close()
        if time.monotonic() - self.looked < LOOK:
            return
        self.looked = time.monotonic()
        nodes = self.cluster.nodes()
        self.coming = [one for one in self.coming if one.node in nodes]
        room = {
            node: self.cluster.share.on(offered) for node, offered in nodes.items() if node not in self.unfit
        }
        if nodes and not any(room.values()) and self.unfit:
            raise SpecErrors([f"--executor ray: {why}" for why in self.unfit.values()])
        for taken in [*(slot.node for slot in self.slots), *(one.node for one in self.coming)]:
            room[taken] = room.get(taken, 0) - 1
        for _ in range(min(wanted, self.limit) - len(self.slots) - len(self.coming)):
            self._ask_for_one(room)

    def _ask_for_one(self, room: dict[str, int]) -> None:
        """Ask for a host on the machine with the most room."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = max(room, key=lambda one: room[one], default="")
        if not node or room[node] < 1:
            return
        room[node] -= 1
        share = self.cluster.share
        made = self.host.options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_concurrency=4,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        )
        host = made.remote(self.setting, node)
        self.coming.append(_Coming(node, host, host.unfit.remote()))

    def _take_in(self) -> None:
        import ray
        from ray.exceptions import RayError

        from suite.executors.ray_slots import RaySlot

        for one in list(self.coming):
            if not ray.wait([one.unfit], timeout=0)[0]:
                continue
            self.coming.remove(one)
            try:
                unfit, name = ray.get(one.unfit)
            except RayError as error:
                self.gone[one.node] += 1
                unfit = (
                    f"no worker starts on a machine: {_line(error)}" if self.gone[one.node] >= _GONE else ""
                )
                name = ""
            if unfit and one.node not in self.unfit:
                self.unfit[one.node] = unfit
                self.display.line(f"left out: {unfit}")
            if name and not unfit:
                device = f"{name} GPU" if self.cluster.share.gpus else name
                self.slots.append(
                    RaySlot(
                        self.made,
                        device,
                        one.node,
                        one.host,
                        self.store,
                        self.depot,
                        self.answers,
                        self.shared,
                    )
                )
                self.made += 1

    def close(self) -> None:
        """Give back hosts that never came to be slots (the schedule closes the slots)."""
        import ray

        for one in self.coming:
            with suppress(Exception):
                ray.kill(one.host)


def _put(chunk: bytes) -> Any:
    import ray

    return ray.put(chunk)
