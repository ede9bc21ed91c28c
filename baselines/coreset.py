"""PatchCore's memory bank: a greedy coreset (k-centre) of patch features, in bounded memory.

As in the official code, distances are taken after a random linear projection, and the search starts from the
mean distance to a few patches drawn at random. Here they are never held as a matrix: each pick costs one product
of the projected features with one of them.

A set of more than ``coreset.chunk`` patches is gone through in chunks of equal size, made of whole images drawn
at random, each of which gives its part of the bank. Being random samples, the chunks are alike, and each is
covered by its picks within twice the least radius that so many can reach, which is what the greedy search
guarantees (Gonzalez 1985); the whole set is covered by the union. Memory is that of the bank and one chunk
whatever the number of images, and the time is linear in it: the search over all patches at once is quadratic.

The bank is capped at ``coreset.bank`` patches. With the defaults a chunk and the bank take 1.6 GB each, at 1,024
values a patch: every set of the paper but OCT keeps its tenth under that cap at 224 px, and OCT (83,484
images), whose tenth would be 6.5 million patches or 27 GB, keeps more than a tenth of the 4,500 images
that the paper cut it down to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from baselines.info.patchcore import Coreset
from suite.detector import Context
from suite.training.checkpoint import Checkpoint

Patches = Callable[[Tensor, Context], Iterable[Tensor]]
"""The features (any number of rows x width) of the images with these indices, batch by batch, in order."""
_EVERY = 256
"""Picks between two looks at whether to stop."""


class MemoryBank:
    """The bank of ``count`` images of ``rows`` patches each. :meth:`fill` computes ``features``,
    ``size`` x ``width``, on the context's device; it goes on from a checkpoint, chunk by chunk.
    """

    def __init__(
        self, count: int, rows: int, width: int, settings: Coreset, context: Context, patches: Patches
    ) -> None:
        self.rows, self.settings, self.context, self.patches = rows, settings, context, patches
        whole = int(settings.share * count * rows)
        self.size = max(1, min(whole, settings.bank))
        parts = min(count, math.ceil(count * rows / settings.chunk))
        self.edges = [count * part // parts for part in range(parts + 1)]
        self.order = torch.randperm(count, generator=context.generator("coreset", "order"))
        self.features = torch.empty(self.size, width, device=context.device)
        self.projection = _projection(width, settings.projection, context)
        self.done = 0
        if parts > 1:
            context.notes.append(f"coreset taken in {parts} chunks of at most {settings.chunk:,} patches")
        if self.size < whole:
            context.notes.append(f"bank capped at {self.size:,} patches, {settings.share:g} is {whole:,}")

    def fill(self) -> None:
        checkpoint = Checkpoint(self.context, self._state, self._restore)
        checkpoint.resume()
        most = max(end - start for start, end in zip(self.edges, self.edges[1:], strict=False))
        chunk = self.features.new_empty(most * self.rows, self.features.shape[1])
        while self.done < len(self.edges) - 1:
            self._thin_out(chunk)
            self.done += 1
            if self.done < len(self.edges) - 1:
                checkpoint.pulse()

    def _thin_out(self, chunk: Tensor) -> None:
        """One chunk's part of the bank."""
        start, end = self.edges[self.done : self.done + 2]
        first, last = self._filled(self.done), self._filled(self.done + 1)
        total = self.edges[-1] + self.size

        def told(done: int) -> None:
            self.context.progress(start + first + done, total, {})

        reading = replace(self.context, progress=lambda done, _, more: told(done))
        filled = 0
        for part in self.patches(self.order[start:end].sort().values, reading):
            chunk[filled : filled + len(part)] = part
            filled += len(part)
        held = chunk[:filled]

        def pulse(turn: int) -> None:
            self.context.pulse()
            told(end - start + turn)

        picked = greedy(
            held if self.projection is None else held @ self.projection,
            last - first,
            self.settings.starts,
            self.context.generator("coreset", "starts", self.done),
            pulse,
        )
        torch.index_select(held, 0, picked, out=self.features[first:last])

    def _filled(self, part: int) -> int:
        """Rows of the bank that the chunks before ``part`` give."""
        return self.size * self.edges[part] // self.edges[-1]

    def _state(self) -> Mapping[str, Any]:
        return {"done": self.done, "bank": self.features[: self._filled(self.done)]}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.done = int(state["done"])
        self.features[: len(state["bank"])] = state["bank"]


def _projection(width: int, to: int, context: Context) -> Tensor | None:
    """``width`` x ``to``, drawn as torch draws a linear layer; None where it would not make features narrower."""
    if width <= to:
        return None
    drawn = torch.rand(width, to, generator=context.generator("coreset", "projection"))
    return ((2 * drawn - 1) / math.sqrt(width)).to(context.device)


def greedy(
    features: Tensor,
    count: int,
    starts: int,
    generator: torch.Generator,
    pulse: Callable[[int], None] = lambda turn: None,
) -> Tensor:
    """Indices (``count``,) of rows of ``features`` (N x D), no row twice: each time the row that is furthest from
    those chosen, where at first every row is as far as its mean distance to ``starts`` rows drawn at random.
    """
    if count == len(features):
        return torch.arange(count, device=features.device)
    # Lengths are subtracted from each other below: about the mean they are small.
    features = features - features.mean(0)
    lengths = torch.linalg.vector_norm(features, dim=1).square_()

    def squared(at: Tensor) -> Tensor:
        """Squared distances (N,) to the row ``at`` (1,), without waiting for the device."""
        row = features.index_select(0, at)[0]
        far = torch.addmv(lengths, features, row, alpha=-2)
        return far.add_(lengths.index_select(0, at)).clamp_(min=0)

    drawn = torch.randperm(len(features), generator=generator)[:starts].to(features.device)
    nearest = torch.zeros_like(lengths)
    for at in drawn:
        nearest += squared(at[None]).sqrt_()
    nearest = (nearest / len(drawn)).square_()
    chosen = torch.empty(count, dtype=torch.int64, device=features.device)
    for turn in range(count):
        if turn % _EVERY == 0:
            pulse(turn)
        at = nearest.argmax(0, keepdim=True)
        chosen[turn : turn + 1] = at
        torch.minimum(nearest, squared(at), out=nearest)
        nearest.index_fill_(0, at, -1.0)
    return chosen
