"""The benchmark measures what it says, for every method; how long anything takes is no test."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from benchmarks import others, table
from benchmarks.case import LeftOut
from benchmarks.counting import counted
from benchmarks.machine import SAMPLES, shares
from benchmarks.timing import judged

from baselines.info import common
from suite import registry
from suite.dia.network import SmallMapConv
from suite.executors import slots

BENCH = Path(__file__).with_name("bench.py")
CHEAP = "start-up: suite --help"


def bench() -> ModuleType:
    """The script as a module."""
    spec = spec_from_file_location("bench", BENCH)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_registered_method_is_measured_or_left_out_with_a_reason() -> None:
    measured = {method for case in bench().cases() for method in case.methods}
    assert measured.isdisjoint(others.LEFT_OUT)
    assert measured | set(others.LEFT_OUT) == set(registry.declared())
    assert all(others.LEFT_OUT.values())


def test_one_case_is_written_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    older = tmp_path / "older.json"
    older.write_text(json.dumps({"results": {CHEAP: {"seconds": 1.0, "rates": [1.0]}}}))
    bench().main(["--only", CHEAP, "--out", str(tmp_path), "--compare", str(older)])
    found = json.loads((tmp_path / "bench.json").read_text())["results"]
    assert set(found) == {CHEAP}
    assert found[CHEAP]["seconds"] > 0
    assert len(found[CHEAP]["rates"]) == len(found[CHEAP]["copies"]) == SAMPLES
    lines = (tmp_path / "bench.md").read_text().splitlines()
    head, row = ([cell.strip() for cell in line.strip("|").split("|")] for line in (lines[0], lines[2]))
    assert len(head) == len(row)
    assert head[-2:] == list(table.COMPARED)
    assert row[0] == CHEAP
    assert row[-2:] == [f"{one:.2f}" for one in table.ratios(found[CHEAP], {"seconds": 1.0, "rates": [1.0]})]
    assert lines[2] in capsys.readouterr().out


def test_a_text_in_no_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench().main(["--only", "no such case", "--out", str(tmp_path / "out")])
    assert CHEAP in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_slow_day_changes_one_ratio_and_not_the_other() -> None:
    fast = {"seconds": 2.0, "rates": [40.0, 50.0]}
    slow = {"seconds": 4.0, "rates": [25.0, 20.0]}
    assert table.ratios(slow, fast) == (2.0, 1.0)


def test_arithmetic_and_bytes_are_counted() -> None:
    a, b = torch.ones(8, 16), torch.ones(16, 32)
    product = counted(lambda: a @ b)
    assert product == {"gflop": 2 * 8 * 16 * 32 / 1e9, "gbyte": 4 * (8 * 16 + 16 * 32 + 8 * 32) / 1e9}
    assert counted(lambda: a.T.view(4, 4, 8))["gbyte"] == 0
    assert counted(lambda: a.add_(1))["gbyte"] == 2 * 4 * 8 * 16 / 1e9
    assert counted(lambda: torch._foreach_add_([a, a], 1.0))["gbyte"] == 4 * 4 * 8 * 16 / 1e9
    assert counted(lambda: b[:2].expand(16, 2, 32).sum())["gbyte"] == (4 * 16 * 32 + 4) / 1e9
    assert counted(lambda: torch.index_select(b, 0, torch.tensor([3])))["gbyte"] < 4 * 3 * 32 / 1e9


@pytest.mark.parametrize(("inside", "groups"), [(False, 1), (True, 1), (True, 4)])
@pytest.mark.parametrize("kind", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_gradients_of_convolutions_are_counted(
    kind: type[torch.nn.Module], inside: bool, groups: int
) -> None:
    """Those of the weights, and if asked for of the input: each costs what the way forward does."""
    layer = kind(8, 12, 3, stride=2, padding=1, groups=groups)
    x = torch.ones(2, 8, 9, 9, requires_grad=inside)
    forward = counted(lambda: layer(x.detach()))["gflop"]
    assert forward > 0
    assert counted(lambda: layer(x).sum().backward())["gflop"] - forward == pytest.approx(
        (1 + inside) * forward
    )


def test_attention_on_a_cpu_is_counted() -> None:
    q = torch.ones(1, 2, 16, 8)
    found = counted(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))
    assert found["gflop"] == 2 * 2 * (2 * 16 * 16 * 8) / 1e9


def test_padding_is_counted_beside() -> None:
    convolution = SmallMapConv(4, 4, 3, 1)
    ours = SmallMapConv.forward
    found = counted(lambda: convolution(torch.ones(1, 4, 1, 1)))
    assert found["gflop_padded"] == pytest.approx(9 * found["gflop"])
    assert found["gflop"] > 0
    assert SmallMapConv.forward is ours


def test_readings_are_held_against_the_best_rates() -> None:
    rates = [(40.0, 5.0), (50.0, 10.0)]
    found = judged([(1.0, 9.0), (2.0, 6.0), (4.0, 8.0)], False, rates, {"gflop": 25.0, "gbyte": 2.0})
    assert (found["seconds"], found["best"], found["wall"]) == (2.0, 1.0, 6.0)
    assert (found["share"], found["share_copies"]) == (0.25, 0.1)
    assert "share_padded" not in found
    assert judged([(1.0, 9.0)], True, rates, {})["seconds"] == 9.0


@pytest.mark.parametrize("repeats", [1, 3, 5, 20])
def test_samples_are_spread_over_the_repeats(repeats: int) -> None:
    gaps = shares(repeats + 1)
    assert sum(gaps) == SAMPLES
    assert max(gaps) - min(gaps) <= 1


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "LITE0_PACKAGE", "nowhere_to_be_found")
    with pytest.raises(LeftOut, match="pip install"):
        others.built("cfa")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few images, and nothing of them kept."""
    monkeypatch.setattr(others, "COUNT", 50)
    others.trainings.cache_clear()
    others.fitted.cache_clear()
    yield
    others.trainings.cache_clear()
    others.fitted.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("method", sorted(others.PARTS))
def test_what_is_measured_of_a_method_can_be_repeated(method: str) -> None:
    for number, part in enumerate(others.PARTS[method]):
        work = others.prepared(method, part, number)
        steps = []
        for _ in range(2):
            work.run()
            steps += [others.trainings(method)[number][0].step] if part.endswith("step") else []
        assert steps in ([], [1, 2])


@pytest.mark.usefixtures("few")
def test_a_method_whose_fit_makes_other_trainings_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(others.PARTS, "ganomaly", ("teacher's training step", "student's training step"))
    with pytest.raises(RuntimeError, match="makes 1 trainings, not 2"):
        others.trainings("ganomaly")


@pytest.mark.skipif(os.name != "posix", reason="a process takes its allocator's settings otherwise")
def test_memory_is_kept_as_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda program, arguments, environment: begun.append(environment))
    for name in slots.ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1")
    script = bench()
    script.with_the_allocator_of_workers()
    (environment,) = begun
    assert environment["MALLOC_MMAP_MAX_"] == "0"
    assert environment["MALLOC_TOP_PAD_"] == "1", "what the user has set stays"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    script.with_the_allocator_of_workers()
    assert len(begun) == 1
