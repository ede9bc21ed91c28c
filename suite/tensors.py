"""Tensors on disk: written atomically, read without pickle, weights in half precision."""

from __future__ import annotations

import ctypes
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from suite import files
from suite.provenance import processor

_M_MMAP_THRESHOLD, _M_MMAP_MAX = -3, -4


def write_torch(path: Path, content: Mapping[str, Any]) -> None:
    """``torch.save`` to a temporary file beside ``path``, then a rename: a reader sees the old file or the
    new one.
    """
    files.write(path, lambda stream: torch.save(dict(content), stream))


def halve(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with its matrices and kernels in half precision; vectors (biases, norms, statistics) stay as
    they are.
    """
    return {
        name: value.detach().cpu().half()
        if value.is_floating_point() and value.ndim > 1
        else value.detach().cpu()
        for name, value in state.items()
    }


def fits(size: int, device: torch.device) -> bool:
    """Whether ``size`` bytes may be kept on a CUDA device: a quarter of its free memory. Never on a CPU, where data
    stay where they lie.
    """
    return device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] // 4


def onto(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on the device; a CUDA device is not waited for."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


@contextmanager
def products(precision: Literal["full", "tf32"]) -> Iterator[None]:
    """How a CUDA device multiplies matrices and convolves single precision within: in full, or with factors rounded
    to ten bits (TF32), which is several times as fast. torch by itself rounds for convolutions alone.
    """
    backends: Any = torch.backends
    places = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = "ieee" if precision == "full" else "tf32"
        yield
    finally:
        for place, kept in zip(places, before, strict=True):
            place.fp32_precision = kept


def channels_last(x: Tensor) -> Tensor:
    """N x C x H x W images or kernels with their channels last in memory. Of a single channel the strides say so too,
    which torch otherwise takes for the other layout, in which a convolution costs twice and answers in it.
    """
    n, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(n, -1).view(n, height, width, channels).permute(0, 3, 1, 2)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W^T + b for x N x C and W D x C, as torch.nn.functional.linear but for rounding; by oneDNN where that is
    faster (:func:`_mkl_holds_back`).
    """
    single = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if not (single and _mkl_holds_back()):
        return F.linear(x, weight, bias)
    result: Tensor = F.linear(x.to_mkldnn(), weight, bias).to_dense()
    return result


@cache
def _mkl_holds_back() -> bool:
    """Whether torch multiplies by MKL, which uses half of the width of an AMD processor's vectors, while oneDNN (which
    convolves) uses all of it.
    """
    backends: Any = torch.backends
    wide = "AVX512" in backends.cpu.get_cpu_capability()
    return wide and backends.mkl.is_available() and backends.mkldnn.is_available() and "AMD" in processor()


@cache
def give_back_large_blocks() -> None:
    """From now on memory of 32 MiB and more goes back to the system when it is freed, where glibc allocates: workers
    are told to keep it (:mod:`suite.executors.slots`), which is faster and lets large blocks of many sizes pile up.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**25)
        mallopt(_M_MMAP_MAX, 2**16)


def read_torch(path: Path, device: torch.device) -> dict[str, Any]:
    """What :func:`write_torch` wrote. Only tensors and plain containers are accepted.

    FileFault when the file was cut short or a byte of it has changed, which torch itself does not look for.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except zipfile.BadZipFile as error:
        raise files.FileFault(f"{path}: is damaged ({error})") from error
    if damaged:
        raise files.FileFault(f"{path}: is damaged ({damaged})")
    content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return content
