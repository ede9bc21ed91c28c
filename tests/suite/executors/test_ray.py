"""Runs on a Ray cluster: what travels, what is said when it cannot be, and a real cluster that loses a machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from engine import SUPPORT, Bench

from suite import provenance, registry
from suite.cli.base import app
from suite.executors import Options, Task, ray_node
from suite.executors.parcel import checker, land, stamps
from suite.executors.ray import Share
from suite.executors.ray_code import requirements, stage
from suite.executors.ray_depot import Depot
from suite.executors.ray_node import Host, Order, Setting
from suite.job import Conditions
from suite.run import execute
from suite.store import Store

CHECKPOINTS = "runs/*/checkpoints/resume.pt"


def _same(chunk: Any) -> Any:
    return chunk


def test_room_for_runs() -> None:
    big = {"CPU": 16.0, "GPU": 2.0}
    assert Share(1, 0).on(big) == 16
    assert Share(4, 0.5).on(big) == 4
    assert Share(1, 0.3).on(big) == 6
    assert Share(1, 0.6).on(big) == 2, "a share is of one GPU"
    assert Share(1, 2).on(big) == 1
    assert Share(9, 1).on(big) == 1
    assert Share(1, 1).on({"CPU": 4.0}) == 0
    assert Share(1, None, 2).settled([{"CPU": 1.0}, big]).gpus == 0.5
    assert Share(1).settled([{"CPU": 1.0}]).gpus == 0
    assert str(Share(2, 0.5)) == "2 CPUs and 0.5 GPU"


def test_the_code_that_travels_works_alone(tmp_path: Path) -> None:
    """In an interpreter that has the suite's dependencies, but finds nothing of the suite but what came."""
    parts = stage(tmp_path)
    assert all(part.parent == tmp_path for part in parts)
    assert not list(tmp_path.rglob("__pycache__"))
    script = (
        "import suite.executors.worker, suite.provenance, suite.registry, suite.resources, json\n"
        "names = 'specs/quickstart', 'reports/published'\n"
        "shipped = [str(suite.resources.shipped(f'{name}.toml')) for name in names]\n"
        "methods, revision = sorted(suite.registry.methods()), suite.provenance.revision()[0]\n"
        "print(json.dumps([suite.__file__, methods, revision, *shipped]))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    environment.pop("SUITE_PLUGINS", None)
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        check=True,
    )
    file, methods, revision, *shipped = json.loads(done.stdout)
    assert all(Path(one).is_relative_to(tmp_path) for one in (file, *shipped))
    assert methods == sorted(registry.methods())
    assert revision == provenance.revision()[0]
    assert "torch" in requirements()


class Machine:
    """A driver and one machine of a cluster without Ray: chunks are handed over as they are."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.options = Options(store=bench.store, slots=1)
        self.depot = Depot(self.options, self.put)
        self.put_chunks = 0
        self.host = Host(Setting("command", self.options, "cpu", ("torch",)), "node1234567890")
        self.store = Store(bench.store)

    def put(self, chunk: bytes) -> bytes:
        self.put_chunks += 1
        return chunk

    def do(self, task: Task) -> dict[str, Any]:
        """As a slot does it."""
        order = self.depot.order(task, "all")
        answer = self.host.carry_out(order)
        land(
            answer.pop("parcel"),
            _same,
            task.folder(self.store),
            {*order.own.names, "progress.json"} if order.own else (),
            checker(task, done=answer["end"] == "done"),
        )
        return answer


@pytest.fixture
def machine(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    monkeypatch.setattr(ray_node, "_get", _same)
    monkeypatch.setattr(ray_node, "_put", _same)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    made = Machine(bench, tmp_path)
    assert made.host.unfit()[0] == ""
    yield made
    made.host.close()
    assert not list((tmp_path / "scratch").rglob("*.npy")), "nothing is left on the machine"


def test_artefacts_and_runs_are_made_on_a_machine_and_land_in_the_store(
    machine: Machine, bench: Bench
) -> None:
    """Packs and artefacts are put once and fetched once; an evaluation more of a fit finds the fit that landed."""
    run = bench.run(uses="artefact")
    (need,) = run.needs
    assert machine.do(Task(need=need))["end"] == "done"
    assert machine.store.artefact(need) is not None
    put = machine.put_chunks
    assert machine.do(Task(run))["end"] == "done"
    again = bench.run(uses="artefact", score__gain=2.0)
    assert machine.do(Task(again))["end"] == "done"
    broken = bench.run(trouble="fit")
    assert machine.do(Task(broken))["reason"] == "RuntimeError: broke in the middle"
    assert machine.store.state(broken).name == "failed"
    assert machine.put_chunks == put + 2, "the artefact, and the fit for its second evaluation"
    assert (bench.told("make"), bench.told("fit"), bench.told("score")) == (1, 2, 2)
    assert not list(bench.store.rglob("progress.json")) or machine.store.state(broken).name == "failed"
    local = execute(run, Store(bench.folder / "local"))
    landed = machine.store.outcome(run.train_key, run.eval_key)
    assert landed is not None
    assert landed.metrics == local.metrics
    assert landed.data["digest"] == local.data["digest"]


def test_what_a_machine_was_stopped_in_comes_back_and_goes_on(machine: Machine, bench: Bench) -> None:
    run = bench.run(train__pause=0.1, train__steps=30)
    begun = partial(bench.wait_for, lambda: bench.told("fit") == 1, 240)
    stop = threading.Thread(target=lambda: (begun(), machine.host.stop()))
    stop.start()
    assert machine.do(Task(run))["end"] == "interrupted"
    assert machine.store.state(run).name == "interrupted"
    assert "checkpoints/resume.pt" in stamps(machine.store.run_folder(run.train_key))
    assert execute(run, machine.store).metrics == execute(run, Store(bench.folder / "local")).metrics
    assert bench.told("resume") == 1


def test_two_tasks_of_a_machine_fetch_once(
    machine: Machine, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, fetched = machine.depot.order(Task(bench.run()), "all"), list[int]()

    def slowly(chunk: bytes) -> bytes:
        time.sleep(0.2)
        fetched.append(len(chunk))
        return chunk

    monkeypatch.setattr(ray_node, "_get", slowly)
    roots = [machine.host.home / name for name in ("one", "two", "three")]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda root: machine.host._lay(order.pieces[0], root), roots))
    assert len(fetched) == len(order.pieces[0].parcel.chunks) == 1
    assert all((root / order.pieces[0].place / "images.npy").is_file() for root in roots)


def test_a_store_that_the_machine_sees_is_written_there(machine: Machine, bench: Bench) -> None:
    run = bench.run()
    assert machine.host.carry_out(Order(Task(run), "all"))["end"] == "done"
    assert machine.store.state(run).name == "done"


def test_a_host_that_does_not_answer_holds_nobody_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C a second time is immediate."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from suite.executors import ray_slots

    over = threading.Event()

    def wait(refs: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        if over.wait(timeout):
            raise ConnectionError("the test is over")
        return [], refs

    silent = SimpleNamespace(wait=wait, get=lambda ref, **_: {})
    deaf = SimpleNamespace(remote=lambda *given: None)
    host = SimpleNamespace(carry_out=deaf, kill=deaf, progress=deaf, stop=deaf)
    monkeypatch.setattr(ray_slots, "ray", silent)
    monkeypatch.setattr(ray_slots, "PATIENCE", 0.1)
    answers: Any = SimpleQueue()
    options = Options(store=bench.store)
    slot = ray_slots.RaySlot(0, "there", "node", host, Store(bench.store), Depot(options, _same), answers)
    task = Task(bench.run())
    slot.give(task, "all")
    bench.wait_for(lambda: slot.progress() == {"stage": "starting"})
    slot.kill()
    told, answer = answers.get(timeout=5)
    ended = slot.finish(answer)
    assert told is slot
    assert slot.lost
    assert ended is not None
    assert (ended.end, ended.task, slot.task) == ("died", task, None)
    over.set()
    assert slot._thread is not None
    slot._thread.join(10)  # or it would go on with the real Ray, in which it would start a cluster
    assert not slot._thread.is_alive()


def test_images_in_a_folder_of_the_drivers_are_known_by_the_listing_that_came(
    machine: Machine, bench: Bench, tmp_path: Path
) -> None:
    """The machine sees the pack only, and the name of a pack of a folder depends on the files in it."""
    from images import as_folder, png

    source = tmp_path / "mine"
    names = [
        f"{split}/{kind}/{n}.png" for split in ("train", "test") for kind in ("good", "bad") for n in range(8)
    ]
    as_folder(source, {name: png(n, 8) for n, name in enumerate(names)})
    run = bench.run(dataset=f"folder:{source}")
    order = machine.depot.order(Task(run), "all")
    shutil.rmtree(source)
    assert order.listings
    assert machine.host.carry_out(order)["end"] == "done"


def test_a_machine_that_lacks_something_says_so(bench: Bench) -> None:
    setting = Setting("command", Options(store=bench.store), "cpu", ("torch", "no-such-thing"))
    assert "lacks no-such-thing: install dissolving-suite there too" in Host(setting, "node")._unfit()
    unseen = replace(setting, requirements=(), sight=bench.folder / "not there")
    assert Host(unseen, "node")._unfit().endswith("does not see the store: leave out --shared-store")


def _refused(capsys: pytest.CaptureFixture[str], bench: Bench, *options: str) -> str:
    with pytest.raises(SystemExit) as left:
        app(["run", str(bench.spec), "--store", str(bench.store), "--no-mlflow", *options])
    assert left.value.code == 2
    assert not bench.store.exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_without_ray_the_extra_is_named(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'dissolving-suite[ray]'" in _refused(capsys, bench, "--executor", "ray")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--executor", "ray", "--address", "127.0.0.1:9"], "there is no Ray cluster"),
        (["--executor", "ray", "--address", "ray://head:10001"], "write auto or HOST:PORT"),
        (["--executor", "ray", "--devices", "cpu"], "leave out --devices"),
        (["--shared-store"], "--executor local: leave out --shared-store"),
    ],
)
def test_what_cannot_be(
    bench: Bench, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    if "--address" in options:
        pytest.importorskip("ray", reason="the extra [ray] is not installed")
    error = _refused(capsys, bench, *options)
    assert said in error
    assert "ray start --head" in error or "no Ray cluster" not in error


@pytest.fixture
def cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and one more machine, with one processor each, on loopback addresses."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))  # the machines' own: without the suite
    lean: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_log_monitor": False}
    made = Cluster()
    try:
        # 127.0.0.1 itself would be taken for this machine's address in its network.
        _patiently(made, node_ip_address="127.0.0.2", include_dashboard=False, no_monitor=True, **lean)
        _patiently(made, node_ip_address="127.0.0.3", **lean)
        yield made
    finally:
        made.shutdown()


def _patiently(cluster: Any, **options: Any) -> None:
    """Add a machine, however busy this one is: Ray gives it 30 seconds to start."""
    for left in (2, 1, 0):
        try:
            cluster.add_node(**options)
            return
        except Exception as error:
            if left == 0 or "timed out during startup" not in str(error):
                raise


@pytest.mark.long
def test_a_cluster_loses_a_machine(bench: Bench, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted once, on a shared store, and robbed of a machine once, on none, it ends with every outcome, each
    as on this machine.
    """
    sets = {"uses": "artefact", "train.pause": 0.15}
    command = ["run", "toy.toml", "--executor", "ray", "--address", cluster.address, "--no-mlflow"]
    command += [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])]))
    runs = bench.plan(**{name.replace(".", "__"): value for name, value in sets.items()}).runs
    store = Store(bench.store)

    scratch = Path(tempfile.gettempdir(), f"dissolving-suite-{os.getuid()}")
    before = set(scratch.glob("*"))  # of clusters that were killed

    def working_on(node: str) -> list[Path]:
        """Checkpoints of what a machine works on."""
        places = set(scratch.glob("*")) - before
        return [path for place in places for path in place.glob(f"{node[:12]}/hosts/*/*/{CHECKPOINTS}")]

    def at_work() -> list[Path]:
        return list(bench.store.glob(CHECKPOINTS))

    (lost,) = cluster.worker_nodes
    driver = bench.start(*command, "--shared-store")
    bench.wait_for(lambda: bool(at_work()) or driver.poll() is not None, 240)
    assert not working_on("*")
    driver.send_signal(signal.SIGINT)
    output = driver.communicate(timeout=240)
    assert driver.returncode == 130, output
    assert "the same command goes on from here" in output[0]
    stopped = [run for run in runs if store.state(run).name == "interrupted"]
    assert stopped
    assert at_work()

    driver = bench.start(*command)
    bench.wait_for(lambda: bool(working_on(lost.node_id)) or driver.poll() is not None, 240)
    cluster.remove_node(lost, allow_graceful=False)
    output = driver.communicate(timeout=240)
    assert driver.returncode == 0, output
    assert "[4/4]" in output[0]
    assert bench.told("make") == 1
    assert bench.told("resume") >= 1

    here = Store(bench.folder / "here")
    for run in runs:
        outcome, local = store.outcome(run.train_key, run.eval_key), execute(run, here, Conditions())
        assert outcome is not None
        assert outcome.metrics == local.metrics
        ours, theirs = (one.scores(run.train_key, run.eval_key) for one in (here, store))
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
        assert outcome.environment["revision"] == local.environment["revision"]
    bench.wait_for(lambda: not bench.workers(), 30)
    assert not working_on("*") or working_on(lost.node_id)
