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

from suite import files, tensors
from suite.executors import slots
from suite.tensors import channels_last, halve, linear, products, read_torch, write_torch

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


@pytest.mark.parametrize("by_onednn", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("biased", [True, False])
def test_a_product_is_torchs_whoever_computes_it(
    monkeypatch: pytest.MonkeyPatch, by_onednn: bool, dtype: torch.dtype, biased: bool
) -> None:
    monkeypatch.setattr(tensors, "_mkl_holds_back", lambda: by_onednn)
    generator = torch.Generator().manual_seed(0)
    x, weight, bias, upstream = (
        torch.randn(shape, generator=generator, dtype=dtype) for shape in ((6, 5), (4, 5), (4,), (6, 4))
    )
    given = [x, weight, bias][: 3 if biased else 2]
    found = []
    for product in (linear, torch.nn.functional.linear):
        leaves = [one.clone().requires_grad_() for one in given]
        y = product(*leaves)
        found.append([y, *torch.autograd.grad(y, leaves, upstream)])
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, theirs)
    with torch.inference_mode():
        torch.testing.assert_close(linear(*given), found[1][0])


def test_under_autocast_a_product_is_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "_mkl_holds_back", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(torch.ones(2, 3), torch.ones(4, 3)).dtype == torch.bfloat16


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("before", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_follows_the_layout_of_one_channel_too(
    channels: int, before: torch.memory_format
) -> None:
    x = torch.rand(2, channels, 6, 5).contiguous(memory_format=before).requires_grad_()
    weight = torch.rand(8, channels, 3, 3)
    laid = channels_last(x)
    assert laid.stride() == (30 * channels, 1, 5 * channels, channels)
    assert torch.equal(laid, x)
    y = torch.nn.functional.conv2d(laid, channels_last(weight))
    assert y.stride() == (12 * 8, 1, 3 * 8, 8)
    torch.testing.assert_close(y, torch.nn.functional.conv2d(x, weight))
    assert torch.equal(torch.autograd.grad(laid.sum(), x)[0], torch.ones_like(x))
