"""The command line as people use it, in a folder of their own, with a fake method and data set."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine import Bench
from fabric import finish, outcome_of
from PIL import Image
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from suite.cli import app
from suite.store import Store
from suite.verbs import listing
from suite.vocabulary import IDENTITY

HEAVY = "{'torch', 'mlflow', 'pandas', 'pydantic', 'numpy', 'sklearn', 'ray'}"
VERBS = ["validate", "plan", "run", "status", "report", "list", "show", "retry", "gc", "score", "sync", "ui"]
VERBS += ["import", "export", "bundle"]


def test_help_is_light(bench: Bench) -> None:
    code = f"import sys, suite.cli; print(sorted({HEAVY} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
    before = os.times()
    text = bench.cli("--help")
    after = os.times()
    assert after.children_user - before.children_user < 0.4
    assert all(verb in text for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example(bench: Bench, verb: str) -> None:
    assert f"Example: suite {verb}" in bench.cli(verb, "--help")


def test_an_option_means_the_same_wherever_it_is_taken() -> None:
    """The same words, default and environment variable in every verb, but where a verb has a use of its own."""
    verbs = get_command(app)
    assert isinstance(verbs, TyperGroup)
    own = {("plan", "--force"), ("run", "--force"), ("import", "--dry-run")}
    own |= {("score", "--out"), ("bundle", "--out")}
    told: dict[str, dict[tuple[Any, ...], list[str]]] = {}
    for verb, command in verbs.commands.items():
        for one in command.params:
            if one.param_type_name == "option" and (verb, one.opts[0]) not in own:
                meant = (getattr(one, "help", None), tuple(one.opts), str(one.default), str(one.envvar))
                told.setdefault(one.opts[0], {}).setdefault(meant, []).append(verb)
    assert set(told["--store"].popitem()[1]) >= {"plan", "run", "retry", "status", "report", "show", "gc"}
    assert {option: list(meanings) for option, meanings in told.items() if len(meanings) > 1} == {}


def test_planning_needs_no_torch(bench: Bench) -> None:
    code = (
        "import sys\nfrom suite.cli import app\nsys.argv = ['suite', 'plan', 'toy.toml']\n"
        "try: app()\nexcept SystemExit as end: print(end.code)\n"
        "print(sorted({'torch', 'mlflow', 'pandas', 'ray'} & set(sys.modules)))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=bench.folder, capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines()[-2:] == ["0", "[]"]


def test_from_spec_to_table_and_never_twice(bench: Bench) -> None:
    out = bench.cli("run", "toy.toml", "-j", "1", "--no-mlflow")
    assert out.startswith("profile paper (the default)")
    assert "free; unknown what 4 of 4 runs, the data of toy take, as nothing like them is done" in out
    assert "[4/4] fake toy seed" in out
    assert "AUROC, mean" in out
    for suffix in ("md", "tex"):
        assert (bench.folder / "reports" / "out" / f"toy.{suffix}").exists()
    assert bench.told("fit") == 4
    start = time.monotonic()
    again = bench.cli("run", "toy.toml", "--no-mlflow")
    assert time.monotonic() - start < 15
    assert "4 runs: 4 done" in again
    assert bench.told("fit") == 4
    # Every verb that looks at what is there.
    assert "4 runs: 4 done" in bench.cli("status")
    told = json.loads(bench.cli("plan", "toy.toml", "--json"))
    planned = told["runs"]
    assert told["totals"]["distinct_runs"] == 4
    assert [entry["state"] for entry in planned] == ["done"] * 4
    assert "forced" in bench.cli("plan", "toy.toml", "--force")
    bench.cli("report", "--out", "tables", "--formats", "csv")
    assert (bench.folder / "tables" / "toy.csv").exists()
    key = planned[0]["eval_key"][:8]
    shown = json.loads(bench.cli("show", key, "--json"))
    assert shown["keys"]["evaluation"] == planned[0]["eval_key"]
    assert shown["cell"]["n"] == 2
    assert shown["packages"] == {}
    assert "weights.pt" in shown["files"]
    worst = json.loads(bench.cli("show", key, "--worst", "3", "--json"))
    assert len(worst) == 3
    assert worst[0]["wrong"] >= worst[2]["wrong"] > 0


@pytest.mark.long
def test_results_travel_and_are_checked(bench: Bench) -> None:
    """Exported in small archives, imported into another store, bundled there and checked anywhere."""
    bench.cli("run", "toy.toml", "--in-process", "--no-mlflow")
    assert "4 outcomes in 2 archives" in bench.cli("export", "out", "--max-mib", "0.02")
    archives = sorted((bench.folder / "out").iterdir())
    assert all(path.stat().st_size <= 0.02 * 2**20 for path in archives)
    told = bench.cli("import", *map(str, archives), "--store", "two")
    assert "4 outcomes of 4 fits" in told
    rendered = bench.cli("report", "--store", "two", "--out", "tables", "--formats", "md")
    assert "0.700±" in rendered
    assert "4 of 4 runs" in bench.cli("bundle", "toy.toml", "--store", "two")
    checked = bench.cli("bundle", "--check", "toy.zip", "--store", "three")
    assert "the table comes out the same (4 runs)" in checked
    assert "the same to the bit" in checked
    assert "--check looks at a bundle" in bench.cli("bundle", "toy.toml", "--check", "toy.zip", code=2)
    assert "is no bundle" in bench.cli("bundle", "--check", str(archives[0]), code=2)
    assert "there is no" in bench.cli("import", "nowhere.zip", code=2)
    assert "holds archives already" in bench.cli("export", "out", code=2)


def test_seeds_fitted_with_other_packages_are_told(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    from suite import files
    from suite.verbs import inspect

    first, second = (bench.run(seed) for seed in (0, 1))
    store = Store(bench.store)
    for run, numpy in ((first, "2.0"), (second, "1.26")):
        environment = {"lock": numpy, "torch": "2"}
        outcome = outcome_of(run, 0.8)
        store.write_outcome(
            replace(outcome, environment=environment),
            *(np.array(["a", "b"]), np.array([0, 1], np.uint8), np.array([0.1, 0.9]), {}),
        )
        listed = {"installed": {"numpy": numpy, "torch": "2"}}
        files.write_json(store.run_folder(run.train_key) / "environment.json", listed)
    assert inspect.show(store, first.eval_key[:8]) == 0
    assert "other than seed 1" in (told := capsys.readouterr().out)
    assert "numpy 2.0 (1.26)" in told


def test_scoring_a_folder_agrees_with_the_outcome(bench: Bench) -> None:
    """The test images, written to files and scored by the kept weights, get the scores they had."""
    bench.cli("run", "toy.toml", "--limit", "1", "--in-process", "--no-mlflow")
    store = Store(bench.store)
    (outcome,) = store.outcomes()
    kept = store.scores(outcome.train_key, outcome.eval_key)
    (pack,) = (bench.store / "artefacts" / "data").iterdir()
    images, ids = np.load(pack / "images.npy"), np.load(pack / "ids.npy")
    (bench.folder / "new" / "deep").mkdir(parents=True)
    for name, image in zip(ids, images, strict=True):
        Image.fromarray(image[0]).save(bench.folder / "new" / "deep" / f"{name}.png")
    bench.cli("score", outcome.eval_key[:6], "new", "--out", "scores.csv")
    lines = (bench.folder / "scores.csv").read_text().splitlines()
    assert lines[0] == "id,score"
    scored = dict(line.split(",") for line in lines[1:])
    assert len(scored) == len(ids)
    expected = {f"deep/{name}.png": score for name, score in zip(kept["ids"], kept["score"], strict=True)}
    assert all(float(scored[name]) == pytest.approx(score, rel=1e-6) for name, score in expected.items())


def test_faults_come_all_at_once_without_a_traceback(bench: Bench) -> None:
    bad = (
        bench.spec.read_text().replace('train.steps" = [8, 16]', 'train.stepz" = [8]').replace('toy"', 'toi"')
    )
    (bench.folder / "bad.toml").write_text(bad)
    out = bench.cli("run", "bad.toml", "none.toml", "--set", "nonsense", code=2)
    assert "Traceback" not in out
    assert "train.stepz" in out
    assert 'did you mean "toy"' in out
    assert "none.toml" in out
    assert "--set: nonsense" in out
    assert not bench.store.exists()
    assert "there are methods" in bench.cli("list", "nonsense", code=2)
    assert "has a key that begins so" in bench.cli("show", "abc", code=2)
    assert "leaves no cell" in bench.cli("plan", "toy.toml", "--only", "method=csi", code=2)


@pytest.mark.parametrize(
    ("setting", "values"),
    [
        ("train.optimiser", "adam, lars, sgd"),
        ("train.batch", "integer >= 1 or integer >= 2"),
        ("dissolve.steps", "[integer, integer]"),
        ("dissolve.bank", "integer >= 0, < 1000"),
        ("dissolve.source", "text or none"),
        ("diffusion.dim", "integer >= 8, in steps of 8"),
        ("diffusion.plain", "true, false"),
        ("data.normal_class", "list of integer or none"),
        ("score.crop", "number > 0, <= 1"),
    ],
)
def test_settings_are_listed_with_what_may_be_written(setting: str, values: str) -> None:
    header, rows = listing._settings()
    told = {row[0]: row[header.index("values")] for row in rows}
    assert told[setting] == values
    unsaid = {name for name, words in told.items() if not words or "any" in words.split()}
    assert unsaid == set(IDENTITY)


def test_failures_are_left_alone_until_retried(bench: Bench) -> None:
    text = bench.spec.read_text().replace('dataset = "toy"', 'dataset = "toy"\ntrouble = "fit"')
    bench.spec.write_text(text)
    arguments = ("toy.toml", "--seeds", "0", "--only", "train.steps=8", "--no-mlflow", "-j", "1")
    out = bench.cli("run", *arguments, code=1)
    assert "failed: RuntimeError: broke in the middle" in out
    again = bench.cli("run", *arguments, code=1)
    assert "suite retry" in again
    assert bench.told("fit") == 1
    told = bench.cli("status", code=1)
    assert "    | RuntimeError: broke in the middle" in told, "the end of its log"
    (line,) = (line for line in told.splitlines() if "seed 0: failed: RuntimeError" in line)
    shown = bench.cli("show", line.split()[0])
    assert "state: failed: RuntimeError: broke in the middle" in shown
    log = shown.partition("the end of log.txt:\n  ")[2]
    assert "fakes.py" in log
    assert "\n  RuntimeError: broke in the middle\n" in log
    bench.cli("retry", "--failed", *arguments, code=1)
    assert bench.told("fit") == 2


def test_in_process_errors_come_with_their_traceback(bench: Bench) -> None:
    out = bench.cli("run", "toy.toml", "--set", "trouble=fit", "--in-process", "--limit", "1", code=1)
    assert "Traceback" in out
    assert "fakes.py" in out


def test_missing_data_are_named_and_fail_only_when_nothing_else_is_there(bench: Bench) -> None:
    text = bench.spec.read_text().replace('dataset = "toy"\n', "") + 'dataset = ["toy", "absent"]\n'
    bench.spec.write_text(text)
    arguments = ("toy.toml", "--seeds", "0", "--only", "train.steps=8", "--no-mlflow")
    out = bench.cli("run", *arguments)
    assert "1 of absent blocked: data missing" in out
    assert "get it from nowhere" in out
    bench.cli("run", *arguments, "--only", "dataset=absent", code=1)


@pytest.mark.long
def test_a_stand_in_takes_the_place_of_what_is_absent_and_every_output_says_so(bench: Bench) -> None:
    text = bench.spec.read_text().replace('dataset = "toy"\n', '"data.size" = 16\n')
    bench.spec.write_text(text + 'dataset = ["toy", "absent"]\n')
    arguments = ("toy.toml", "--seeds", "0", "--only", "train.steps=8")
    said = "STAND-IN DATA, generated and not medical images, for what is not at hand: absent"
    planned = bench.cli("plan", *arguments, "--stand-in")
    assert said in planned
    assert "absent (stand-in)" in planned
    assert "toy (stand-in)" not in planned, "what is there is never replaced"
    assert "blocked" in bench.cli("plan", *arguments)
    names = [
        one["dataset"] for one in json.loads(bench.cli("plan", *arguments, "--stand-in", "--json"))["runs"]
    ]
    assert names == ["toy", "stand_in:absent"]
    out = bench.cli("run", *arguments, "--stand-in", "--in-process")
    assert said in out
    outcomes = {outcome.dataset: outcome for outcome in Store(bench.store).outcomes()}
    assert outcomes["stand_in:absent"].train["data"]["name"] == "stand_in:absent"
    assert outcomes["stand_in:absent"].data["stand_in"]
    written = next((bench.folder / "reports" / "out").glob("*stand_in*.md")).read_text()
    assert "STAND-IN DATA, generated and not medical images: stand" in written
    assert "◇ on generated stand-in data" in written
    # Without the option they are out of sight: the real data are still to come.
    assert "blocked" in bench.cli("plan", *arguments)
    assert "4 runs: 2 done" in bench.cli("status"), "what was run is remembered as it was"
    (bench.folder / "new").mkdir()
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(bench.folder / "new" / "one.png")
    key = outcomes["stand_in:absent"].eval_key[:8]
    bench.cli("score", key, "new", "--out", "scores.csv")
    first, second = (bench.folder / "scores.csv").read_text().splitlines()
    assert first == "id,score,trained_on"
    assert second.startswith("one.png,")
    assert second.endswith(",stand_in:absent")


def test_a_folder_given_by_its_absolute_path_reaches_the_worker(bench: Bench) -> None:
    generator = np.random.default_rng(0)
    for kind, low in (("normal", 0), ("anomalous", 60)):
        folder = bench.folder / "elsewhere" / "mine" / kind
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = generator.integers(low, low + 120, (16, 16), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    place = f"folder:{bench.folder / 'elsewhere' / 'mine'}"
    bench.spec.write_text(bench.spec.read_text().replace('"toy"', f'"{place}"\n"data.size" = 16'))
    bench.cli("run", "toy.toml", "--seeds", "0", "--only", "train.steps=8", "--no-mlflow", "-j", "1")
    (outcome,) = Store(bench.store).outcomes()
    assert outcome.data["name"] == "folder:mine"
    assert "0 folders" in bench.cli("gc")


def test_gc_takes_what_no_kept_spec_reaches(bench: Bench) -> None:
    bench.cli("run", "toy.toml", "--no-mlflow", "--seeds", "0", "-j", "1")
    assert "0 folders" in bench.cli("gc"), "what was run is remembered"
    lesser = bench.folder / "lesser.toml"
    lesser.write_text(bench.spec.read_text().replace("[8, 16]", "[8]"))
    assert "1 folders" in bench.cli("gc", "lesser.toml")
    assert len(list((bench.store / "runs").iterdir())) == 2, "dry by default"
    bench.cli("gc", "lesser.toml", "--yes")
    (left,) = (bench.store / "runs").iterdir()
    assert list((bench.store / "artefacts" / "data").iterdir())
    with Store(bench.store).claim(left):  # type: ignore[union-attr]
        lesser.write_text(bench.spec.read_text().replace("[8, 16]", "[99]"))
        assert "0 folders" in bench.cli("gc", "lesser.toml", "--yes"), "nobody's work is taken away"


def _slow(bench: Bench) -> tuple[str, ...]:
    """Arguments of runs that take some seconds each."""
    bench.spec.write_text(bench.spec.read_text().replace("[8, 16]", "[40]"))
    return ("run", "toy.toml", "--set", "train.pause=0.1", "--no-mlflow")


@pytest.mark.slow
def test_a_request_to_end_interrupts_with_a_checkpoint_and_130(bench: Bench) -> None:
    arguments = _slow(bench)
    process = bench.start(*arguments, "-j", "1", "--seeds", "0")
    bench.wait_for(lambda: bench.told("fit") == 1)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, output + errors
    assert "Traceback" not in output + errors
    assert not bench.workers()
    run = bench.run(train__pause=0.1)
    state = Store(bench.store).state(run)
    assert (state.name, state.reason) == ("interrupted", "asked to stop")
    bench.cli(*arguments, "-j", "1", "--seeds", "0")
    assert bench.told("resume") == 1


@pytest.mark.slow
def test_a_terminal_shows_what_runs_where_and_ctrl_c_reaches_the_parent_alone(bench: Bench) -> None:
    """A pseudo-terminal of 80 columns whose Ctrl-C goes to all of the foreground, as a real one's does."""
    bench.spec.write_text(bench.spec.read_text().replace("[8, 16]", "[400, 2]"))
    words = ("run", "toy.toml", "--set", "train.pause=0.05", "--no-mlflow", "-j", "2", "--seeds", "0")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(bench.folder)
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="24")
        os.execv(sys.executable, [sys.executable, "-P", "-m", "suite.cli", *words])
    seen, asked, end = "", False, time.monotonic() + 120
    with open(terminal, "rb", buffering=0) as screen, suppress(OSError):
        while (read := screen.read(4096)) and time.monotonic() < end:
            seen += read.decode(errors="replace")
            # Two runs at the same time, then one that is done; then Ctrl-C.
            if not asked and re.search(
                r"1 done, 0 failed, 1 left, about.*fit \d+/400 loss", plain(seen), re.DOTALL
            ):
                asked = True
                os.write(terminal, b"\x03")
    told = plain(seen)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130, told
    assert asked, told
    assert "0 done, 0 failed, 2 left" in told
    assert re.search(r"fake toy seed 0 \(cpu\) .*fit \d+/400 loss [\d.e-]+", told)
    assert re.search(r"\[1/2\] fake toy seed 0: AUROC 0\.\d+ in \d+ s", told)
    assert "stopping at the next checkpoint; Ctrl-C once more stops at once" in told
    assert told.rstrip().endswith("interrupted; the same command goes on from here")
    assert "Traceback" not in told
    assert not bench.workers()
    assert Store(bench.store).state(bench.run(train__pause=0.05)).name == "interrupted"


def plain(text: str) -> str:
    """Without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


@pytest.mark.slow
def test_a_second_ctrl_c_is_immediate(bench: Bench) -> None:
    bench.spec.write_text(bench.spec.read_text().replace("[8, 16]", "[4]"))
    # A step of a minute: the checkpoint that the first signal asks for is far away.
    process = bench.start("run", "toy.toml", "--set", "train.pause=60", "--no-mlflow", "-j", "1")
    bench.wait_for(lambda: bench.told("fit") == 1)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130, output + errors
    assert not bench.workers()


@pytest.mark.slow
def test_after_kill_nine_the_same_command_goes_on(bench: Bench, tmp_path: Path) -> None:
    """No manual unlock, no orphan, and the outcome of an undisturbed run."""
    arguments = (*_slow(bench), "-j", "1", "--seeds", "0")
    process = bench.start(*arguments)
    bench.wait_for(lambda: bench.told("fit") == 1)
    time.sleep(1)
    process.kill()
    process.communicate()
    bench.wait_for(lambda: not bench.workers(), 20)
    bench.cli(*arguments)
    assert bench.told("resume") == 1
    bench.cli(*arguments, "--store", "undisturbed")
    results = []
    for root in (bench.store, bench.folder / "undisturbed"):
        store = Store(root)
        (outcome,) = store.outcomes()
        kept = store.scores(outcome.train_key, outcome.eval_key)
        results.append((outcome.metrics, {name: array.tolist() for name, array in kept.items()}))
    assert results[0] == results[1]


@pytest.mark.long
def test_two_commands_at_once_do_each_run_once(bench: Bench) -> None:
    arguments = (*_slow(bench), "-j", "1", "--seeds", "0,1,2")
    processes = [bench.start(*arguments) for _ in range(2)]
    outputs = [process.communicate(timeout=180) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert bench.told("fit") == 3
    assert bench.told("score") == 3
    assert len(list(Store(bench.store).outcomes())) == 3


@pytest.mark.long
def test_a_batch_system_s_jobs_share_a_store_and_end_in_their_time(bench: Bench) -> None:
    """Three jobs at once, each shorter than the work; then as many again."""
    bench.spec.write_text(bench.spec.read_text().replace("[8, 16]", "[150]"))
    arguments = ("run", "toy.toml", "--set", "train.pause=0.1", "--no-mlflow", "-j", "1", "--seeds", "0-3")
    start = time.monotonic()
    jobs = [bench.start(*arguments, "--max-time", "18s") for _ in range(3)]
    outputs = [job.communicate(timeout=120)[0] for job in jobs]
    assert time.monotonic() - start < 50, "the work would take longer; starting Python is not counted"
    assert [job.returncode for job in jobs] == [3, 3, 3], outputs
    assert all("unfinished: the time is up, 4 of 4 are left" in output for output in outputs), outputs
    assert not bench.workers()
    before = bench.told("fit")
    jobs = [bench.start(*arguments, "--max-time", "10m") for _ in range(3)]
    outputs = [job.communicate(timeout=240)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], outputs
    assert len(list(Store(bench.store).outcomes())) == bench.told("score") == 4, "each done once"
    assert bench.told("fit") - before == 4
    assert bench.told("resume") == before, "what was begun, if the machine was quick enough, went on"
    assert not bench.workers()


@pytest.mark.slow
def test_in_process_stops_in_time_too(bench: Bench) -> None:
    arguments = ("run", "toy.toml", "--set", "train.pause=3", "--no-mlflow", "--in-process", "--seeds", "0")
    assert "unfinished: the time is up, 2 of 2 are left" in bench.cli(*arguments, "--max-time", "12", code=3)


def test_a_disk_that_cannot_hold_the_work_is_said_before_it_begins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(Store(bench.store), bench.run(seed=0), 0.8)
    monkeypatch.setattr("suite.executors.foresight._free", lambda folder: 10)
    words = ["run", str(bench.spec), "--store", str(bench.store), "--no-mlflow", "--keep", "last"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 2
    told = found.output.splitlines()[-1]
    assert re.fullmatch(
        rf"{bench.store}: .* of disk are needed at least, and 0.0 kB are free: free some, .*", told
    )
    assert len(list((bench.store / "runs").iterdir())) == 1, "nothing was begun"
    assert not (bench.store / "specs").exists()


def test_where_and_how_long_is_told_wrongly(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = bench.cli("run", "toy.toml", "--devices", "cpu,cuda:0", code=2)
    assert told == "--devices: cuda:0: no such device; there is cpu\n"
    told = bench.cli("run", "toy.toml", "--max-time", "soon", code=2)
    assert told == "--max-time: soon: write a time such as 3h, 90m, 1h30m, or seconds\n"
    assert not bench.store.exists()


@pytest.mark.slow
def test_mlflow_mirrors_once_and_is_then_left_alone(bench: Bench) -> None:
    bench.cli("run", "toy.toml", "--seeds", "0", "-j", "1")
    database = bench.store / "mlflow.db"
    before = database.stat().st_mtime_ns
    start = time.monotonic()
    bench.cli("run", "toy.toml", "--seeds", "0")
    assert time.monotonic() - start < 15
    assert database.stat().st_mtime_ns == before
    assert "written" in bench.cli("sync")


def test_an_audit_refuses_what_it_would_ignore(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every option of ``report`` but the two it uses; a store that the environment names is no such option."""
    given = {
        "--store": "runs",
        "--data-root": ".",
        "--profile": "cpu",
        "--set": "train.batch=8",
        "--only": "method=dia",
        "--seeds": "0",
        "--stand-in": None,
        "--formats": "md",
        "--thumbnails": None,
        "--mlflow-url": "http://127.0.0.1:5001",
    }
    verbs = get_command(app)
    assert isinstance(verbs, TyperGroup)
    options = {one.opts[0] for one in verbs.commands["report"].params if one.param_type_name == "option"}
    assert options == {*given, "--out", "--audit"}
    for option, value in given.items():
        words = [option] if value is None else [option, value]
        found = CliRunner().invoke(app, ["report", "--audit", *words])
        told = f"--audit reads published numbers, not results: leave out {option}\n"
        assert (found.exit_code, found.output) == (2, told)
    told = bench.cli("report", "--audit", "--seeds", "0", "--only", "method=dia", code=2)
    assert told.endswith("leave out --only, --seeds\n")
    assert not (bench.folder / "reports" / "out").exists()
    monkeypatch.setenv("SUITE_STORE", str(bench.folder / "elsewhere"))
    monkeypatch.setenv("SUITE_DATA", str(bench.folder))
    assert "contradict" in bench.cli("report", "batch_control", "--audit", "--out", "audit")
    assert (bench.folder / "audit" / "audit.md").exists()
