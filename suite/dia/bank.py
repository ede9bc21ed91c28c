"""The bank: the training images as the diffusion model dissolves them at one step t, computed once (an option; the
paper dissolves as it trains).

Training then draws t from a lattice instead of from every step of the range, and looks the dissolved images up. Each
is kept twice, as it is and mirrored (a UNet's answer to a mirrored image is not the mirrored answer), at the
dissolving resolution and in half precision: nothing else differs from dissolving at those t. One bank is one
artefact, memory-mapped, so that step ranges, seeds, tables and search trials share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from suite.data import select
from suite.data.mapped import HELD, Reader, let_go
from suite.detector import Context
from suite.dia import dissolve, info
from suite.dia.dissolve import StepDissolver, from_resolution
from suite.tensors import fits, onto
from suite.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from suite.data.pack import Pack

FILE = "dissolved.npy"
BLOCK = 64
"""Images dissolved at once."""
MEMORY_LIMIT = 2**27
"""Banks of one run up to this many bytes, or that fit on a CUDA device, are kept; more are read from their files."""


def make(identity: Mapping[str, Any], pack: Pack, context: Context) -> dict[str, Any]:
    """Make the artefact ``bank``: ``dissolved.npy``, 2 x N x C x S x S in [0, 1], of the N training images and of
    these mirrored.
    """
    if context.folder is None:
        raise ValueError("a bank needs a folder to be written to")
    data = identity["data"]
    chosen = select.training(pack, data, int(data.get("contamination_seed", 0))).indices
    kept = {name: identity[name] for name in ("size", "range", "weights")}
    dissolver = dissolve.build(info.DissolveDiffusion.parse(kept), context.artefacts, context.device)
    images, channels = Reader(pack.images), pack.images.shape[1]
    work = _Work(context.folder / FILE, (2, len(chosen), channels, kept["size"], kept["size"]))
    checkpoint = Checkpoint(context, work.state, work.restore)
    if not checkpoint.resume():
        work.begin()
    while work.done < len(chosen):
        rows = slice(work.done, work.done + BLOCK)
        x = onto(torch.from_numpy(images[chosen[rows]]), context.device).float() / 255
        t = torch.full((len(x),), identity["t"], device=context.device)
        for half, seen in enumerate((x, x.flip(-1))):
            work.file[half, rows] = dissolver.small(seen, t).half().cpu().numpy()
        let_go(work.file)
        work.done += len(x)
        context.progress(work.done, len(chosen), {})
        checkpoint.pulse()
    work.file.flush()
    return {"images": len(chosen)}


class _Work:
    """The file while it is written, and how many images stand in it."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path, self.shape = path, shape
        self.done = 0
        self.file: Any = None

    def begin(self) -> None:
        """A new file."""
        self.file = open_memmap(self.path, "w+", np.float16, self.shape)

    def state(self) -> dict[str, Any]:
        self.file.flush()
        return {"done": self.done}

    def restore(self, state: Mapping[str, Any]) -> None:
        try:
            self.file = open_memmap(self.path, "r+")
        except (OSError, ValueError):
            return self.begin()
        if self.file.shape != self.shape:
            return self.begin()
        self.done = int(state["done"])
        return None


class Bank:
    """The banks of a run's lattice, by their steps t."""

    def __init__(self, folders: Mapping[int, Path], device: torch.device) -> None:
        steps = sorted(folders)
        self.times = torch.tensor(steps, device=device)
        files = [np.load(folders[t] / FILE, mmap_mode="r", allow_pickle=False) for t in steps]
        self.files = [Reader(file, HELD // len(files)) for file in files]
        self.held: Tensor | None = None
        size = sum(file.nbytes for file in files)
        if size <= MEMORY_LIMIT or fits(size, device):
            self.held = torch.from_numpy(np.stack(files)).to(device)
            for file in files:
                let_go(file)

    def of(self, chosen: Tensor, flipped: Tensor) -> Rows:
        """The dissolver of the training images ``chosen`` (B,), of which the ``flipped`` (B,) ones are mirrored."""
        device = self.times.device
        return Rows(self, onto(chosen, device), onto(flipped.long(), device))

    def look(self, places: Tensor, chosen: Tensor, flipped: Tensor) -> Tensor:
        """What is held of images (B,) at ``places`` (B,) of the lattice: B x C x S x S."""
        if self.held is not None:
            return self.held[places, flipped, chosen].float()
        rows = zip(places.tolist(), flipped.tolist(), chosen.tolist(), strict=True)
        found = np.stack([self.files[place][half, row] for place, half, row in rows])
        return torch.from_numpy(found).to(self.times.device).float()


class Rows(StepDissolver):
    """A dissolver of one batch of training images, by looking them up."""

    def __init__(self, bank: Bank, chosen: Tensor, flipped: Tensor) -> None:
        self.bank, self.chosen, self.flipped = bank, chosen, flipped

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """``count`` steps of the lattice, (count,)."""
        times = self.bank.times
        drawn = torch.randint(len(times), (count,), generator=generator, device=generator.device)
        return times[onto(drawn, times.device)]

    def at(self, x: Tensor, t: Tensor) -> Tensor:
        """The batch ``x``, whose rows these are, dissolved at the steps ``t`` (B,) of the lattice."""
        places = torch.searchsorted(self.bank.times, t.contiguous())
        return from_resolution(self.bank.look(places, self.chosen, self.flipped), x.shape[-1])
