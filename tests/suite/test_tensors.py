"""Tensor files are whole or not there, hold no code, and weights come back within half precision."""

from __future__ import annotations

import os
import pickle
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from suite import files
from suite.executors import slots
from suite.tensors import halve, products, read_torch, write_torch

CPU = torch.device("cpu")


class Trap:
    """What an attacker would put into a file."""

    def __reduce__(self) -> Any:
        return (print, ("opened",))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    state = {"w": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), "step": 7, "names": ["a"]}
    write_torch(tmp_path / "weights.pt", state)
    read = read_torch(tmp_path / "weights.pt", CPU)
    assert torch.equal(read.pop("w"), state.pop("w"))  # type: ignore[arg-type]
    assert read == state
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    write_torch(path, {"step": 1})
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        write_torch(path, {"step": 2, "hook": lambda: None})
    assert read_torch(path, CPU) == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["weights.pt"]


def test_code_in_a_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"trap": Trap()}, tmp_path / "weights.pt")
    with pytest.raises(pickle.UnpicklingError):
        read_torch(tmp_path / "weights.pt", CPU)
    assert "opened" not in capsys.readouterr().out


def test_only_matrices_and_kernels_are_halved() -> None:
    state = {
        "kernel": torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)),
        "bias": torch.rand(4),
        "count": torch.tensor([[1, 2]]),
    }
    kept = halve(state)
    assert {name: value.dtype for name, value in kept.items()} == {
        "kernel": torch.float16,
        "bias": torch.float32,
        "count": torch.int64,
    }
    assert torch.allclose(kept["kernel"].float(), state["kernel"], rtol=1e-3)


def test_a_changed_byte_or_a_cut_is_found(tmp_path: Path) -> None:
    """Which torch does not look for: it would give other numbers without a word."""
    path = tmp_path / "weights.pt"
    write_torch(path, {"w": torch.zeros(5000), "more": [torch.ones(10)]})
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", whole[:middle], whole[:-1], whole[:middle] + b"\1" + whole[middle + 1 :]):
        path.write_bytes(content)
        with pytest.raises(files.FileFault, match=r"weights\.pt: is damaged"):
            read_torch(path, CPU)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other ways")
@pytest.mark.parametrize("called", [True, False])
def test_large_blocks_are_given_back_although_the_worker_keeps_its_memory(called: bool) -> None:
    """256 MiB, freed beneath a small block that stays."""
    lines = [
        "from pathlib import Path",
        "import torch",
        "from suite.tensors import give_back_large_blocks",
        "def resident():",
        "    lines = Path('/proc/self/status').read_text().splitlines()",
        "    return int(next(line for line in lines if line.startswith('VmRSS')).split()[1]) // 1024",
        "give_back_large_blocks()" if called else "",
        "before = resident()",
        "large = torch.ones(2**26)",
        "small = torch.ones(2**10)",
        "del large",
        "print(resident() - before)",
    ]
    environment = {**os.environ, **slots.ALLOCATOR}
    told = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert int(told) < 32 if called else int(told) > 224


def precisions() -> list[str]:
    backends: Any = torch.backends
    return [place.fp32_precision for place in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)]


def test_products_are_as_asked_for_within_and_as_before_after_it() -> None:
    before = precisions()

    @products("tf32")
    def stopped() -> None:
        assert precisions() == ["tf32"] * 3
        raise InterruptedError

    with products("full"):
        assert precisions() == ["ieee"] * 3
        with pytest.raises(InterruptedError):
            stopped()
        assert precisions() == ["ieee"] * 3
    assert precisions() == before
