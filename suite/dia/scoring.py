"""Anomaly scores (Eq. 10): similarity to the nearest training image and confidence of the shift, over K
shifts.

Eq. 10 is a normality; the anomaly score is its negative. The random views are drawn once per (view, shift)
from the run's seed and used for every image, so that a score depends on nothing but its image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from suite.data.mapped import Reader
from suite.detector import Context, Images, Scores
from suite.dia import views
from suite.dia.info import Scoring
from suite.dia.network import ResNet18
from suite.tensors import onto, products

BLOCK_PIXELS, GPU_BLOCK_PIXELS = 2**18, 2**24
"""Pixels of a block of images that goes through the network at once: bounds the memory."""

BANK_BLOCK = 1024
"""Training images compared at once with a block of images."""


@dataclass(frozen=True)
class Features:
    """``c``: K x N x d, the mean projection over the views of each shift; ``logit``: K x N, the mean logit of
    that shift.
    """

    c: Tensor
    logit: Tensor


@products("full")
@torch.inference_mode()
def features(network: ResNet18, images: Images, scoring: Scoring, kind: str, context: Context) -> Features:
    """Features of uint8 N x C x H x H images, block by block. ``kind``: the shifts to apply (rotate or perm)."""
    area = (scoring.crop, scoring.crop)
    generator = context.generator("score")
    drawn = [[views.draw(1, area, generator) for _ in range(scoring.views)] for _ in range(views.SHIFTS)]
    pixels = BLOCK_PIXELS if context.device.type == "cpu" else GPU_BLOCK_PIXELS
    block = max(1, pixels // (images.shape[-1] * images.shape[-2]))
    projections, logits = [], []
    folded = network.folded()
    done = 0
    for taken in Reader(images).blocks(block):
        x = onto(torch.from_numpy(taken), context.device).float().div_(255)
        c, logit = _block(folded, x, drawn, kind)
        projections.append(c)
        logits.append(logit)
        done += len(taken)
        context.progress(done, len(images), {})
        context.pulse()
    return Features(torch.cat(projections, dim=1), torch.cat(logits, dim=1))


def _block(network: ResNet18, x: Tensor, drawn: list[list[views.Draw]], kind: str) -> tuple[Tensor, Tensor]:
    if "one_channel" in network.plain:
        x = x.expand(-1, 3, -1, -1)
    at_once = views.at_once(kind, network.plain)
    originals = views.Originals(x)
    c, logit = [], []
    for k, of_shift in enumerate(drawn):
        shown = originals if at_once else views.Originals(views.shift(x, kind, k))  # type: ignore[arg-type]
        pose = views.Pose(torch.tensor([k]), torch.tensor([False])) if at_once else None
        outputs = [network(views.apply(shown, one, pose)) for one in of_shift]
        c.append(torch.stack([z for z, _ in outputs]).mean(dim=0))
        logit.append(torch.stack([s[:, k] for _, s in outputs]).mean(dim=0))
    return torch.stack(c), torch.stack(logit)


@products("full")
@torch.inference_mode()
def normality(c: Tensor, bank: Tensor) -> Tensor:
    """s_con of Eq. 10: max_m sim(c_m, c) |c| for c K x N x d and the training images' c_m K x M x d; K x N."""
    unit = F.normalize(bank, dim=2)
    best = torch.full(c.shape[:2], -torch.inf, device=c.device, dtype=c.dtype)
    for part in unit.split(BANK_BLOCK, dim=1):
        for start in range(0, c.shape[1], BANK_BLOCK):
            block = slice(start, start + BANK_BLOCK)
            found = torch.einsum("knd,kmd->knm", c[:, block], part).amax(dim=2)
            best[:, block] = torch.maximum(best[:, block], found)
    return best


def score(network: ResNet18, images: Images, scoring: Scoring, shift: str, context: Context) -> Scores:
    """Anomaly scores (N,) of uint8 images; ``context.train`` holds the training images. Stores s_con and
    s_cls as parts.
    """
    if context.train is None:
        raise ValueError("scoring needs the training images (context.train)")
    kind = shift if scoring.shift == "train" else scoring.shift
    bank = features(network, context.train, scoring, kind, context)
    mine = features(network, images, scoring, kind, context)
    con, cls = normality(mine.c, bank.c), mine.logit
    if scoring.balance:
        con = con / normality_of_bank(bank.c)[:, None]
        cls = cls / bank.logit.mean(dim=1, keepdim=True)
    shifts = len(con)
    parts = {"con": -(con.sum(dim=0) / shifts), "cls": -(cls.sum(dim=0) / shifts)}
    context.parts.update({name: _array(value) for name, value in parts.items()})
    return _array(parts["con"].double() + parts["cls"].double())


def normality_of_bank(bank: Tensor) -> Tensor:
    """Mean of s_con over the training images, (K,): each is its own nearest, so s_con is its norm (1 /
    lambda_con).
    """
    mean: Tensor = torch.linalg.vector_norm(bank, dim=2).mean(dim=1)
    return mean


def _array(values: Tensor) -> Scores:
    result: Scores = values.double().cpu().numpy()
    return result
