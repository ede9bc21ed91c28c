"""The soak: runs under random ``kill -9`` of the command or its workers must end as if nothing had happened.

``python tests/soak.py --runs 60 --kills 200`` carries out a table twice: undisturbed, then with kills 3 to 15 s
apart, each time starting the command again where it was the one killed. (Runs that are done before the kills are
used up begin anew in a further store.) At the end

- every outcome equals the undisturbed one to the bit: metrics, scores, settings, final weights and snapshots,
- nothing was done twice to the end: no ``outcome.json``, ``fit.json`` or ``done.json`` was written again once it
  stood, nothing was moved to ``previous/``, and no log tells of two ends of a fit or of an evaluation,
- no process is left (each carries a mark in its environment), and no checkpoint, claim or half-written file,
- MLflow, brought up to date by ``suite sync``, holds the store's numbers, and a second ``sync`` has nothing to do.

``--toy`` takes a method that mostly sleeps, for a soak of a minute. The exit code is 0 when all holds.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "support"), str(HERE.parent)]

import results  # noqa: E402

SPEC = """
title = "Soak"
seeds = [{seeds}]
profile = "smoke"
[settings]
dataset = "{dataset}"
{settings}
[table]
rows = ["method"]
[grid]
method = [{methods}]
"""
METHODS = ("dia", "csi", "ganomaly", "uniad", "fastflow", "pixel_knn")
REAL = """
"data.size" = 32
"data.max_train" = 100
[[override]]
where = { method = ["csi", "dia"] }
set = { selection = "best_val", "train.epochs" = 4, "score.views" = 1 }
"""
TOY = """
"train.steps" = 20
"train.pause" = 0.1
"""
MARK = "SUITE_SOAK"
DONE = ("runs/*/fit.json", "runs/*/eval/*/outcome.json", "artefacts/*/*/done.json")


@dataclass
class Soak:
    """One soak in ``folder``. ``faults`` is what did not hold, a line each."""

    folder: Path
    arguments: argparse.Namespace
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    seen: dict[Path, tuple[int, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    kills: dict[str, int] = field(default_factory=lambda: {"command": 0, "worker": 0})

    def __post_init__(self) -> None:
        self.random = random.Random(self.arguments.seed)
        toy = self.arguments.toy
        methods = ("fake",) if toy else METHODS[: self.arguments.runs]
        seeds = range(-(-self.arguments.runs // len(methods)))
        self.environment = {
            **os.environ,
            MARK: self.mark,
            "PYTHONPATH": os.pathsep.join([str(HERE / "support"), str(HERE.parent)]),
            **({"SUITE_PLUGINS": "fakes:FAKE,fakes:TOY"} if toy else {}),
        }
        os.environ.update(self.environment)
        settings = TOY if toy else REAL
        tables = settings.index("[[") if "[[" in settings else len(settings)
        text = SPEC.format(
            seeds=", ".join(map(str, seeds)),
            dataset="toy" if toy else "phantom_coarse",
            settings=settings[:tables],
            methods=", ".join(f'"{name}"' for name in methods),
        )
        self.spec = self.folder / "soak.toml"
        self.spec.write_text(text + settings[tables:])
        self.runs = len(methods) * len(seeds)

    def start(self, verb: str, store: Path, *more: str) -> subprocess.Popen[str]:
        """``suite VERB soak.toml`` in a folder of its own, its output appended to ``output.txt``."""
        with (self.folder / "output.txt").open("a") as stream:
            stream.write(f"--- {verb} {store.name} {' '.join(more)}\n")
            stream.flush()
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "suite.cli", verb, "soak.toml", "--store", store.name, *more],
                cwd=self.folder,
                env=self.environment,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                text=True,
            )

    def compute(self, verb: str, store: Path) -> subprocess.Popen[str]:
        """A command that computes, with checkpoints every second."""
        more = ["-j", str(self.arguments.jobs), "--checkpoint-every", "1"]
        return self.start(verb, store, *more, *(["--no-mlflow"] if self.arguments.toy else []))

    # The kills

    def disturb(self) -> list[Path]:
        """Use up the kills; the stores in which they fell, each finished."""
        stores: list[Path] = []
        left = self.arguments.kills
        while left > 0:
            store = self.folder / f"disturbed-{len(stores)}"
            stores.append(store)
            left = self._disturbed(store, left)
        return stores

    def _disturbed(self, store: Path, left: int) -> int:
        """Carry out the table in a store under at most ``left`` kills; how many are left at its end."""
        command = self.compute("run", store)
        while left > 0 and self._wait(command, store, self.random.uniform(*self.arguments.apart)):
            victim = self._victim(command)
            if victim is None:
                continue
            left -= 1
            if victim == command.pid:
                command.wait()
                command = self.compute("run", store)
        for _ in range(10):
            self._wait(command, store, float("inf"))
            if command.returncode == 0:
                return left
            # A run that lost its worker three times under one command counts as failed, which a person looks at.
            command = self.compute("retry" if command.returncode == 1 else "run", store)
        self.faults.append(f"{store.name}: does not come to an end (see output.txt)")
        return 0

    def _wait(self, command: subprocess.Popen[str], store: Path, seconds: float) -> bool:
        """Watch for some time; whether the command is still at work then."""
        end = time.monotonic() + seconds
        while command.poll() is None and time.monotonic() < end:
            self.watch(store)
            time.sleep(0.2)
        self.watch(store)
        return command.returncode is None

    def _victim(self, command: subprocess.Popen[str]) -> int | None:
        """Kill the command, or one of its workers (those of an earlier one count too), whichever it hits."""
        workers = [number for number, line in self.processes() if "suite.executors.worker" in line]
        kind = self.random.choice(["command", "worker"] if workers else ["command"])
        victim = command.pid if kind == "command" else self.random.choice(sorted(workers))
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.kills[kind] += 1
        return victim

    def processes(self) -> Iterator[tuple[int, str]]:
        """Number and command line of each living process of this soak but this one."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                mine = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if mine and line and int(folder.name) != os.getpid():
                yield int(folder.name), line

    # What must hold

    def watch(self, store: Path) -> None:
        """What says that something is done is written once."""
        for path in (one for pattern in DONE for one in store.glob(pattern)):
            try:
                found = path.stat()
            except FileNotFoundError:
                if path in self.seen:
                    self.faults.append(f"{path}: was there and is gone")
                continue
            now = found.st_ino, found.st_mtime_ns
            if self.seen.setdefault(path, now) != now:
                self.seen[path] = now
                self.faults.append(f"{path}: was written again")

    def compare(self, whole: Path, store: Path) -> None:
        """The bits, the logs, and what is left lying about."""
        found, expected = results.outcomes(store), results.outcomes(whole)
        if len(expected) != self.runs:
            self.faults.append(f"{whole.name}: {len(expected)} outcomes instead of {self.runs}")
        for what, mine, other in (
            ("outcome", found, expected),
            ("weights", results.weights(store), results.weights(whole)),
        ):
            self.faults += [f"{store.name}: {what} {key} differs" for key in results.differing(mine, other)]
        self.faults += [f"{store.name}: {name} is left" for name in results.litter(store)]
        self.faults += [f"{path}: a result was replaced" for path in store.glob("runs/*/eval/*/previous")]
        for path in store.glob("runs/*/log.txt"):
            lines = path.read_text(errors="replace").splitlines()
            for word, most in (("fitted in", 1), ("done: AUROC", len(list(path.parent.glob("eval/*"))))):
                count = sum(re.match(rf"\S+ {word}", line) is not None for line in lines)
                if count > most:
                    self.faults.append(f"{path}: {count} times {word!r}")

    def orphans(self) -> None:
        """Whatever still runs ten seconds after the last command has ended."""
        end = time.monotonic() + 10
        while (left := list(self.processes())) and time.monotonic() < end:
            time.sleep(0.5)
        self.faults += [f"process {number} is left: {line}" for number, line in left]

    def mirror(self, store: Path) -> None:
        """MLflow against the store, after a sync; a second one has nothing to do."""
        for turn in range(2):
            done = subprocess.run(
                [sys.executable, "-P", "-m", "suite.cli", "sync", "soak.toml", "--store", store.name],
                cwd=self.folder, env=self.environment, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode or (turn and not re.search(r"\b0 cells\b.*\b0 runs\b", done.stdout)):
                self.faults.append(f"{store.name}: sync {turn + 1}: {done.stdout}{done.stderr}".strip())
        expected = {key: one["outcome"]["metrics"]["auroc"] for key, one in results.outcomes(store).items()}
        self.faults += [f"{store.name}: MLflow: {line}" for line in _unlike(store, expected)]


def _unlike(store: Path, expected: dict[str, float]) -> Iterator[str]:
    """What MLflow does not hold as the store does."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{store.absolute() / 'mlflow.db'}")
    runs = [
        run
        for one in client.search_experiments()
        for run in client.search_runs([one.experiment_id], max_results=5000)
    ]
    seeds = [run for run in runs if "suite.eval_key" in run.data.tags]
    cells = [
        run for run in runs if "suite.cell_key" in run.data.tags and "suite.eval_key" not in run.data.tags
    ]
    keys = [run.data.tags["suite.eval_key"] for run in seeds]
    if not cells:
        yield "no cell"
    if sorted(keys) != sorted(expected):
        yield f"{len(keys)} runs, {len(set(keys))} different, instead of {len(expected)}"
    for run in runs:
        if run.info.status != "FINISHED":
            yield f"{run.info.run_name} is {run.info.status}"
    for run, key in zip(seeds, keys, strict=True):
        if run.data.metrics.get("auroc") != expected.get(key):
            yield f"{run.info.run_name}: AUROC {run.data.metrics.get('auroc')} instead of {expected.get(key)}"
    for cell in cells:
        children = [run for run in seeds if run.data.tags.get("mlflow.parentRunId") == cell.info.run_id]
        mean = statistics.fmean(run.data.metrics["auroc"] for run in children) if children else None
        held = cell.data.metrics.get("auroc_mean")
        if mean is None or held is None or abs(mean - held) > 1e-12:
            yield f"{cell.info.run_name}: mean {held} instead of {mean}"
        if cell.data.metrics.get("auroc_n") != len(children):
            yield f"{cell.info.run_name}: n {cell.data.metrics.get('auroc_n')} instead of {len(children)}"


def soak(folder: Path, arguments: argparse.Namespace) -> int:
    """The whole of it; 0 when all holds."""
    began = time.monotonic()
    made = Soak(folder, arguments)
    whole = folder / "undisturbed"
    if made.compute("run", whole).wait() != 0:
        print(f"the undisturbed runs failed: {folder / 'output.txt'}")
        return 1
    print(f"{made.runs} runs undisturbed: {_minutes(began)}", flush=True)
    disturbed = time.monotonic()
    stores = made.disturb()
    print(
        f"{made.runs} runs, {len(stores)} time(s), under {made.kills['command']} kills of the command and "
        f"{made.kills['worker']} of a worker: {_minutes(disturbed)}",
        flush=True,
    )
    made.orphans()
    for store in stores:
        made.mirror(store)
        made.compare(whole, store)
    for fault in made.faults:
        print(f"FAULT {fault}")
    print(f"{len(made.faults)} faults; {_minutes(began)} in all; seed {arguments.seed}")
    return 1 if made.faults else 0


def _minutes(since: float) -> str:
    return f"{(time.monotonic() - since) / 60:.1f} min"


def main() -> int:
    """Read the options; the folder is kept when something did not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=60, help="how many runs")
    parser.add_argument("--kills", type=int, default=200, help="how many kills")
    parser.add_argument("--apart", type=float, nargs=2, default=(3.0, 15.0), help="seconds between two kills")
    parser.add_argument("--jobs", type=int, default=2, help="workers")
    parser.add_argument("--seed", type=int, default=0, help="of the kills' random times and victims")
    parser.add_argument(
        "--store", type=Path, help="an empty folder to work in, kept (a temporary one otherwise)"
    )
    parser.add_argument("--toy", action="store_true", help="a toy method and no MLflow while kills fall")
    arguments = parser.parse_args()
    folder = arguments.store or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    code = soak(folder.absolute(), arguments)
    if code:
        print(f"everything is left in {folder}")
    elif arguments.store is None:
        shutil.rmtree(folder)
    return code


if __name__ == "__main__":
    sys.exit(main())
