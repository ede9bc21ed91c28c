"""The feature-amplified NT-Xent loss (Eq. 6 to 9) and its target similarity matrix (Figures 3 and 6) as an
object.

Rows and columns stand in blocks O, O', A (CSI: O, O'); within a block shift-major, r = k B + b.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from suite.detector import Context

Design = Literal["csi", "a", "b", "b_shift"]
EXCLUDED, NEGATIVE, POSITIVE = 0, 1, 2


@dataclass(frozen=True)
class Target:
    """The target similarity matrix: ``cells`` R x R int8 of EXCLUDED, NEGATIVE and POSITIVE.

    ``anchors`` rows (O and O') have a positive, their ``partner``; the rows of A stand in denominators only.
    """

    cells: Tensor
    anchors: int
    partner: Tensor

    def to(self, device: torch.device) -> Target:
        return Target(self.cells.to(device), self.anchors, self.partner.to(device))


@lru_cache(maxsize=32)
def target(design: Design, shifts: int, batch: int) -> Target:
    """The matrix for K shifts of B images.

    ``csi``: two branches. ``a``: all new pairs are negatives. ``b``: an image and its own dissolved self
    under the same shift are excluded. ``b_shift``: every pair of a dissolved and an undissolved image under
    the same shift is.
    """
    block = shifts * batch
    branches = 2 if design == "csi" else 3
    rows = branches * block
    cells = torch.full((rows, rows), NEGATIVE, dtype=torch.int8)
    cells.fill_diagonal_(EXCLUDED)
    partner = torch.arange(2 * block).roll(block)
    cells[torch.arange(2 * block), partner] = POSITIVE
    if design in ("b", "b_shift"):
        same = torch.eye(block, dtype=torch.bool)
        if design == "b_shift":
            shift = torch.arange(block) // batch
            same = shift[:, None] == shift[None, :]
        for branch in (0, 1):
            upper = cells[branch * block : (branch + 1) * block, 2 * block :]
            upper[same] = EXCLUDED
            lower = cells[2 * block :, branch * block : (branch + 1) * block]
            lower[same.T] = EXCLUDED
    return Target(cells, 2 * block, partner)


def contrastive(z: Tensor, target: Target, tau: float, norm: Literal["rows", "eq7"] = "rows") -> Tensor:
    """L_con (Eq. 6, 7) of R x d projections; tau stands inside the exponential, which Eq. 6 prints amiss.

    ``rows``: the sum over all anchors divided by the number of rows. ``eq7``: divided by the number of
    positive pairs too.
    """
    z = F.normalize(z, dim=1)
    similarity = z[: target.anchors] @ z.T / tau
    excluded = target.cells[: target.anchors] == EXCLUDED
    denominator = torch.logsumexp(similarity.masked_fill(excluded, -torch.inf), dim=1)
    positive = similarity.gather(1, target.partner[:, None]).squeeze(1)
    loss = (denominator - positive).sum() / len(z)
    return loss / target.anchors if norm == "eq7" else loss


def classification(logits: Tensor, shifts: int, batch: int) -> Tensor:
    """L_cls (Eq. 8): cross-entropy of the shift over all views, averaged; ``logits`` R x K."""
    branches = len(logits) // (shifts * batch)
    labels = torch.arange(shifts, device=logits.device).repeat_interleave(batch).repeat(branches)
    return F.cross_entropy(logits, labels)


def make(identity: Mapping[str, Any], pack: Any, context: Context) -> dict[str, Any]:
    """Make the artefact ``mask``: the cells of :func:`target` as ``cells.npy``, and how they are to be read."""
    if context.folder is None:
        raise ValueError("the matrix needs a folder to be written to")
    found = target(identity["design"], identity["shifts"], identity["batch"])
    np.save(context.folder / "cells.npy", found.cells.numpy(), allow_pickle=False)
    return {"block": found.anchors // 2, "excluded": EXCLUDED, "negative": NEGATIVE, "positive": POSITIVE}
