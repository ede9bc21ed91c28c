"""What the surroundings may do to an experiment: full and read-only disks, files that other programs spoil, servers
that no longer answer. Each ends in a clear line, and in a state from which the next command goes on.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import results
from disks import fill, read_only, small
from engine import Bench
from typer.testing import CliRunner

from suite import files
from suite.cli import app
from suite.job import Conditions
from suite.plan import Run
from suite.run import execute
from suite.store import Store


def _typed(bench: Bench, monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str]:
    """Exit code and output of ``suite ...`` in the bench's folder, carried out in this process."""
    monkeypatch.chdir(bench.folder)
    done = CliRunner().invoke(app, [*words])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.output
    return done.exit_code, done.output


# Disks


def _carried_out(run: Run, store: Store) -> str:
    """What in the surroundings stopped the run; empty when nothing did."""
    try:
        execute(run, store)
    except OSError as error:
        return files.surroundings(error) or str(error)
    return ""


@pytest.mark.parametrize("leave", [0, 4_096, 16_384, 40_960, 65_536, 98_304, 200_000])
def test_however_soon_the_disk_is_full_the_run_is_not_to_blame_and_goes_on_later(
    bench: Bench, tmp_path: Path, leave: int
) -> None:
    run = bench.run(uses="artefact", selection="best_test", train__pause=1e-6)
    expected = execute(run, Store(tmp_path / "undisturbed"))
    with small(tmp_path / "disk", "8m") as disk:
        store = Store(disk / "runs")
        filler = fill(disk, leave=leave)
        told = _carried_out(run, store)
        assert bool(told) >= (leave < 65_536)
        if told:
            assert told.endswith("the disk is full: make room, then give the same command again")
            assert store.state(run).name in (None, "interrupted")
            assert results.outcomes(store.root) == {}
        filler.unlink()
        assert execute(run, store).metrics == expected.metrics
        assert results.outcomes(store.root) == results.outcomes(tmp_path / "undisturbed")
        assert results.litter(store.root) == []


@pytest.mark.long
def test_a_full_disk_ends_the_command_in_a_line_and_room_is_made_by_gc(bench: Bench) -> None:
    with small(bench.store, "4m"):
        bench.cli("run", "toy.toml", "--seeds", "7", "--no-mlflow", "-j", "1")
        filler = fill(bench.store)
        out = bench.cli("run", "toy.toml", "--no-mlflow", "-j", "1", code=2)
        assert re.search("the disk is full: make room|kB are free: free some", out)
        assert "Traceback" not in out
        assert len(out.splitlines()) < 12
        lesser = bench.folder / "lesser.toml"
        lesser.write_text(bench.spec.read_text().replace("[8, 16]", "[8]"))
        assert "2 of 2 folders removed" in bench.cli("gc", "lesser.toml", "--yes")
        bench.cli("run", "lesser.toml", "--no-mlflow", "-j", "1", "--seeds", "0", code=0)
        filler.unlink()
        bench.cli("run", "toy.toml", "--no-mlflow", "-j", "1")
        assert len(results.outcomes(bench.store)) == 4


@pytest.mark.long
def test_a_disk_that_fills_up_under_the_workers_ends_the_command(bench: Bench) -> None:
    with small(bench.store, "4m"):
        process = bench.start("run", "toy.toml", "--no-mlflow", "-j", "1", "--set", "train.pause=0.1")
        bench.wait_for(lambda: bench.told("fit") == 1, 180)
        filler = fill(bench.store)
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 1, output + errors
        assert "Traceback" not in output + errors
        assert "halted: " in output
        assert "stopping: the rest would fare alike" in output
        assert bench.told("fit") == 1
        filler.unlink()
        bench.cli("run", "toy.toml", "--no-mlflow", "-j", "1", "--set", "train.pause=0.1")
        assert len(results.outcomes(bench.store)) == 4


def test_a_store_that_is_read_only_can_be_read_and_says_that_it_cannot_be_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "toy.toml", "--no-mlflow", "--in-process", "--seeds", "0")
    assert _typed(bench, monkeypatch, *run)[0] == 0
    (outcome, *_) = Store(bench.store).outcomes()
    with read_only(bench.store):
        for words in (
            ("plan", "toy.toml"),
            ("status",),
            ("show", outcome.eval_key[:8]),
            ("show", outcome.eval_key[:8], "--worst", "2"),
            ("report", "toy.toml", "--out", "tables"),
            run,
        ):
            code, out = _typed(bench, monkeypatch, *words)
            assert code == 0, out
        code, out = _typed(bench, monkeypatch, *run[:-1], "1")
        assert code == 2
        (line,) = [line for line in out.splitlines() if "read-only" in line]
        assert str(bench.store) in line or "runs" in line
        assert "choose another place (--store)" in line
        code, out = _typed(bench, monkeypatch, "gc", "toy.toml", "--seeds", "0", "--yes")
        assert code in (0, 2), out
    code, out = _typed(bench, monkeypatch, *run[:-1], "1")
    assert code == 0, out


# Files that other programs spoil


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _none(content: bytes) -> bytes:
    return b""


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


TRUNCATED = (_half, _none)
SPOILT: list[tuple[str, Callable[[bytes], bytes]]] = [
    *(
        (name, how)
        for name in ("fit.json", "settings.json", "environment.json", "log.txt")
        for how in TRUNCATED
    ),
    *((f"eval/*/{name}", how) for name in ("outcome.json", "scores.npz") for how in TRUNCATED),
    *((name, how) for name in ("weights.pt", "checkpoints/snapshot-3.pt") for how in (*TRUNCATED, _flipped)),
    *((f"../../artefacts/fake/*/{name}", how) for name in ("mean.txt", "done.json") for how in TRUNCATED),
    ("../../artefacts/fake/*/mean.txt", _flipped),
    *(
        (f"../../artefacts/data/*/{name}", how)
        for name in ("images.npy", "manifest.json")
        for how in TRUNCATED
    ),
    ("../../artefacts/data/*/images.npy", _flipped),
]


@pytest.mark.parametrize(("name", "how"), SPOILT, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_spoilt_is_made_anew_and_nothing_else_changes(
    bench: Bench, name: str, how: Callable[[bytes], bytes]
) -> None:
    """The run itself and one more evaluation of it, for which the fit has to serve."""
    run = bench.run(uses="artefact", selection="best_test")
    store = Store(bench.store)
    execute(run, store)
    expected, fitted = results.outcomes(store.root), results.weights(store.root)
    (path,) = store.run_folder(run.train_key).glob(name)
    path.write_bytes(how(path.read_bytes()))
    louder = bench.run(uses="artefact", selection="best_val", score__gain=2.0)
    again = Store(bench.store)  # another command: it has warned of nothing yet
    execute(louder, again)
    if name.endswith(("mean.txt", "done.json")):
        # An artefact is not asked for while the fit that used it stands; the next one that needs it makes it anew.
        execute(bench.run(seed=1, uses="artefact"), again)
    execute(run, again)
    found = results.outcomes(store.root)
    assert results.differing({key: found[key] for key in expected}, expected) == []
    assert results.differing({key: results.weights(store.root)[key] for key in fitted}, fitted) == []
    assert again.state(run).name == "done"
    if "artefacts/fake" in name:
        assert bench.told("make") == 2


@pytest.mark.parametrize("how", [_half, _none, _flipped])
def test_a_checkpoint_that_is_spoilt_costs_only_itself(
    bench: Bench, how: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    import numpy as np
    import torch

    from suite.detector import Context, Interrupted
    from suite.training.checkpoint import Checkpoint

    state: dict[str, Any] = {"weights": torch.zeros(5000), "step": 3}
    context = Context(torch.device("cpu"), 0, folder=tmp_path, stop=lambda: True)
    with pytest.raises(Interrupted):
        Checkpoint(context, lambda: state, state.update).pulse()
    path = tmp_path / "resume.pt"
    path.write_bytes(how(path.read_bytes()))
    restored: dict[str, Any] = {}
    assert not Checkpoint(context, lambda: state, restored.update).resume()
    assert (restored, path.exists()) == ({}, False)
    assert np.isfinite(state["weights"].numpy()).all()


def test_a_checkpoint_that_does_not_fit_is_dropped_and_says_so(tmp_path: Path) -> None:
    import torch

    from suite.detector import Context
    from suite.training.checkpoint import Checkpoint

    context = Context(torch.device("cpu"), 0, folder=tmp_path)
    Checkpoint(context, lambda: {"step": 3}, lambda state: None).save()

    def restore(state: Any) -> None:
        raise KeyError("network")

    with pytest.raises(RuntimeError, match=r"resume\.pt: does not fit .*'network'.* starts afresh"):
        Checkpoint(context, dict, restore).resume()
    assert not (tmp_path / "resume.pt").exists()


# Servers


@contextmanager
def _silent_server() -> Iterator[tuple[str, list[socket.socket]]]:
    """Takes every connection and never answers; its address, and the connections so far."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def take() -> None:
            try:
                while True:
                    held.append(listening.accept()[0])
            except OSError:
                return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", held
        listening.shutdown(socket.SHUT_RDWR)
        for one in held:
            one.close()


@pytest.mark.slow
def test_a_tracking_server_that_no_longer_answers_delays_nothing_for_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each request costs the time that is set for one, so few are made."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with _silent_server() as (uri, asked):
        code, out = _typed(
            bench, monkeypatch, "run", "toy.toml", "--limit", "1", "--in-process", "--tracking-uri", uri
        )
        assert code == 0, out
        assert 1 <= len(asked) <= 4
    warnings = [line for line in caplog.messages if "MLflow" in line]
    assert 1 <= len(warnings) <= 2
    assert all(one.endswith(("`suite sync` tries again", "`suite sync` completes it")) for one in warnings)
    assert len(list(Store(bench.store).outcomes())) == 1
    code, out = _typed(bench, monkeypatch, "sync", "toy.toml")
    assert (code, "1 cells, 1 runs and 1 tables or figures written" in out) == (0, True), out


# Many at once


@pytest.mark.long
def test_eight_commands_at_the_same_instant_on_a_fresh_folder_do_each_run_once(bench: Bench) -> None:
    words = (
        "run",
        "toy.toml",
        "--no-mlflow",
        "-j",
        "1",
        "--set",
        "train.pause=0.02",
        "--set",
        "uses=artefact",
    )
    processes = [bench.start(*words) for _ in range(8)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert "Traceback" not in str(outputs)
    assert "warning" not in str(outputs)
    assert (bench.told("make"), bench.told("fit"), bench.told("score")) == (1, 4, 4)
    assert bench.told("resume") == 0
    assert len(results.outcomes(bench.store)) == 4
    assert len(list((bench.store / "artefacts" / "data").iterdir())) == 1
    assert results.litter(bench.store) == []
    assert not bench.workers()


def test_a_lost_claim_ends_a_run_before_its_outcome_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept (a laptop's lid) while another host took the run over leaves the end to that one."""
    from suite import claims, stages
    from suite.job import Busy

    run = bench.run()
    store = Store(bench.store)
    select = stages.select

    def slept(*arguments: Any) -> Any:
        done = select(*arguments)
        path = store.run_folder(run.train_key) / claims.NAME
        path.write_text(path.read_text().replace('"token": "', '"token": "0'))
        return done

    monkeypatch.setattr(stages, "select", slept)
    with pytest.raises(Busy):
        execute(run, store, Conditions())
    assert store.outcome(run.train_key, run.eval_key) is None
