"""Exact nearest neighbours in bounded memory, by blocks of matrix products.

|q - b|^2 is taken as |q|^2 + |b|^2 - 2 qb in double precision: exact for whole numbers such as pixels, and
for features to about 1e-12 of their squared length, so that a score depends on the other images of its batch
by no more than that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

QUERIES = 512
BANK = 8192


def nearest(
    queries: Tensor, bank: Tensor, k: int = 1, pulse: Callable[[], None] = lambda: None
) -> tuple[Tensor, Tensor]:
    """Squared distances and indices of the ``k`` nearest rows of ``bank`` (M x D) to each of ``queries`` (N x
    D).

    Both N x k, nearest first, double precision, on the device of the bank. Holds one block of 512 x 8192
    distances at a time. ``pulse`` is called once a block. ValueError when the bank has fewer than ``k`` rows
    or another D.
    """
    if len(bank) < k:
        raise ValueError(f"k = {k} nearest neighbours among {len(bank)} training images: lower score.k")
    if queries.shape[1] != bank.shape[1]:
        raise ValueError(f"images have {queries.shape[1]} values, those of training {bank.shape[1]}")
    distances, indices = [], []
    for block in queries.split(QUERIES):
        best, at = _nearest_in_bank(double(block, bank.device), bank, k, pulse)
        distances.append(best)
        indices.append(at)
    if not distances:
        return torch.zeros(0, k, dtype=torch.float64), torch.zeros(0, k, dtype=torch.int64)
    return torch.cat(distances), torch.cat(indices)


def _nearest_in_bank(
    queries: Tensor, bank: Tensor, k: int, pulse: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    best = queries.new_empty(len(queries), 0)
    at = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    lengths = queries.square().sum(1, keepdim=True)
    for start in range(0, len(bank), BANK):
        pulse()
        part = double(bank[start : start + BANK], bank.device)
        squared = torch.addmm(lengths + part.square().sum(1), queries, part.T, alpha=-2).clamp_(min=0)
        near, where = squared.topk(min(k, len(part)), dim=1, largest=False)
        best, order = torch.cat([best, near], 1).sort(dim=1, stable=True)
        at = torch.cat([at, where + start], 1).gather(1, order)[:, :k]
        best = best[:, :k]
    return best, at


def double(values: Tensor, device: torch.device) -> Tensor:
    """Double precision where the device has it."""
    return values.to(device).to(torch.float32 if device.type == "mps" else torch.float64)
