"""The target matrix cell by cell, and the loss against values worked out by hand or by another formula."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from suite.detector import Context
from suite.dia.contrast import EXCLUDED, NEGATIVE, POSITIVE, classification, contrastive, make, target

# K = 2, B = 2. Rows and columns: O (k0 b0, k0 b1, k1 b0, k1 b1), O' alike, A alike.
# "." excluded, "n" negative, "P" positive.
DESIGN_A = """
. n n n  P n n n  n n n n
n . n n  n P n n  n n n n
n n . n  n n P n  n n n n
n n n .  n n n P  n n n n

P n n n  . n n n  n n n n
n P n n  n . n n  n n n n
n n P n  n n . n  n n n n
n n n P  n n n .  n n n n

n n n n  n n n n  . n n n
n n n n  n n n n  n . n n
n n n n  n n n n  n n . n
n n n n  n n n n  n n n .
"""
DESIGN_B = """
. n n n  P n n n  . n n n
n . n n  n P n n  n . n n
n n . n  n n P n  n n . n
n n n .  n n n P  n n n .

P n n n  . n n n  . n n n
n P n n  n . n n  n . n n
n n P n  n n . n  n n . n
n n n P  n n n .  n n n .

. n n n  . n n n  . n n n
n . n n  n . n n  n . n n
n n . n  n n . n  n n . n
n n n .  n n n .  n n n .
"""
DESIGN_B_SHIFT = """
. n n n  P n n n  . . n n
n . n n  n P n n  . . n n
n n . n  n n P n  n n . .
n n n .  n n n P  n n . .

P n n n  . n n n  . . n n
n P n n  n . n n  . . n n
n n P n  n n . n  n n . .
n n n P  n n n .  n n . .

. . n n  . . n n  . n n n
. . n n  . . n n  n . n n
n n . .  n n . .  n n . n
n n . .  n n . .  n n n .
"""
CSI = """
. n n n  P n n n
n . n n  n P n n
n n . n  n n P n
n n n .  n n n P

P n n n  . n n n
n P n n  n . n n
n n P n  n n . n
n n n P  n n n .
"""


def parse(drawn: str) -> list[list[int]]:
    symbol = {".": EXCLUDED, "n": NEGATIVE, "P": POSITIVE}
    return [[symbol[c] for c in line.split()] for line in drawn.strip().splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("design", "drawn"), [("csi", CSI), ("a", DESIGN_A), ("b", DESIGN_B), ("b_shift", DESIGN_B_SHIFT)]
)
def test_target_equals_the_matrix_written_by_hand(design, drawn):
    assert target(design, 2, 2).cells.tolist() == parse(drawn)


def by_definition(z: torch.Tensor, cells: list[list[int]], tau: float) -> float:
    """Eq. 6 and 7 with plain loops: -log exp(s_ij / tau) / sum over the cells of row i that are not excluded."""
    rows = z.tolist()

    def sim(a: list[float], b: list[float]) -> float:
        dot = sum(x * y for x, y in zip(a, b, strict=True))
        return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    total = 0.0
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell == POSITIVE:
                denominator = sum(
                    math.exp(sim(rows[i], rows[k]) / tau) for k, c in enumerate(row) if c != EXCLUDED
                )
                total += -math.log(math.exp(sim(rows[i], rows[j]) / tau) / denominator)
    return total / len(rows)


@pytest.mark.parametrize(
    ("design", "drawn"), [("csi", CSI), ("a", DESIGN_A), ("b", DESIGN_B), ("b_shift", DESIGN_B_SHIFT)]
)
def test_loss_follows_the_definition(design, drawn):
    cells = parse(drawn)
    z = torch.randn(len(cells), 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    loss = contrastive(z, target(design, 2, 2), tau=0.5)
    assert loss.item() == pytest.approx(by_definition(z, cells, 0.5), rel=1e-12)


def test_loss_by_hand_for_one_image_and_one_shift():
    # O = (1, 0), O' = (0, 1), A = (1, 0): both anchors see similarities 0 (partner) and one of A.
    z = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])
    tau = 0.5
    row_o = -math.log(math.exp(0) / (math.exp(0) + math.exp(1 / tau)))
    row_o_prime = -math.log(math.exp(0) / (math.exp(0) + math.exp(0)))
    expected = (row_o + row_o_prime) / 3
    assert contrastive(z, target("a", 1, 1), tau).item() == pytest.approx(expected, rel=1e-6)
    without = 0.0  # design (b) leaves the partner alone in the denominator
    assert contrastive(z, target("b", 1, 1), tau).item() == pytest.approx(without, abs=1e-6)


def test_without_third_branch_and_with_one_shift_it_is_simclr():
    batch, tau = 6, 0.5
    z = torch.randn(2 * batch, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unit = F.normalize(z, dim=1)
    logits = unit @ unit.T / tau
    logits.fill_diagonal_(-torch.inf)
    labels = torch.cat([torch.arange(batch, 2 * batch), torch.arange(batch)])
    simclr = F.cross_entropy(logits, labels)
    assert contrastive(z, target("csi", 1, batch), tau).item() == pytest.approx(simclr.item(), rel=1e-12)


def test_eq7_divides_by_the_number_of_positive_pairs_too():
    z = torch.randn(12, 4, generator=torch.Generator().manual_seed(1))
    rows = contrastive(z, target("a", 2, 2), 0.5, "rows")
    eq7 = contrastive(z, target("a", 2, 2), 0.5, "eq7")
    assert rows.item() == pytest.approx(8 * eq7.item(), rel=1e-6)  # 2 B K = 8 positive pairs


def test_rows_of_the_dissolved_branch_are_never_anchors():
    z = torch.randn(12, 4, generator=torch.Generator().manual_seed(2), requires_grad=True)
    contrastive(z, target("a", 2, 2), 0.5).backward()
    assert z.grad is not None
    assert (z.grad[8:].abs().sum(dim=1) > 0).all()  # they stand in the denominators
    assert target("a", 2, 2).anchors == 8


def test_classification_is_the_mean_cross_entropy_of_the_shift():
    logits = torch.zeros(3 * 2 * 2, 2)
    logits[2:4, 1] = 1.0  # O, shift 1: right
    logits[4, 1] = 2.0  # O', shift 0: wrong
    expected = (9 * math.log(2) + 2 * math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 12
    assert classification(logits, 2, 2).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("design", ["csi", "a", "b", "b_shift"])
def test_the_artefact_is_the_matrix_that_the_loss_uses(tmp_path, design):
    context = Context(device=torch.device("cpu"), seed=0, folder=tmp_path)
    facts = make({"design": design, "shifts": 2, "batch": 3}, None, context)
    cells = np.load(tmp_path / "cells.npy", allow_pickle=False)
    assert np.array_equal(cells, target(design, 2, 3).cells.numpy())
    assert facts == {"block": 6, "excluded": EXCLUDED, "negative": NEGATIVE, "positive": POSITIVE}
