"""The paper's own method: training steps of DIA, CSI and the diffusion model, dissolving, scoring. 28 px, B = 32,
K = 4, a UNet of dim 32 on 32 px; random weights and images, which cost what others do.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.case import Case, Work
from suite.detector import Context, Images
from suite.dia import bank, diffusion, dissolve, network, scoring, training
from suite.dia.contrast import Design
from suite.dia.info import Contrastive, CsiTraining, DiaBlur, DiaDiffusion, Diffusion, Scoring
from suite.training import loop

CPU = torch.device("cpu")
COUNT, SIZE = 1000, 32
LATTICE = 10
"""Steps t between two of the bank."""
BLOCKS = 10
"""Into so many parts the work on all images is cut, of which one is counted, since counting is slow."""


def images(count: int = COUNT, size: int = 28) -> Images:
    return np.random.default_rng(0).integers(0, 256, (count, 1, size, size), np.uint8)


def step(settings: Contrastive, design: Design, dissolver: Any) -> Work:
    """One step as the training loop makes it, batches from 1,000 images."""
    state = training.Training(COUNT, settings, design, dissolver, Context(device=CPU, seed=0))
    source = loop.batches(images(), CPU)
    state.prepare()
    return Work.whole(lambda: state.advance(source(state.sampler.next())))


def unet() -> dissolve.DiffusionDissolver:
    predict, alphas_cumprod = diffusion.predictor(diffusion.unet(32, 1), SIZE, CPU)
    chosen = DiaDiffusion().dissolve
    return dissolve.DiffusionDissolver(predict, alphas_cumprod, chosen.steps, SIZE, chosen.range == "unit")


def banked(scratch: Path) -> Work:
    """A step with the bank on, from files as :func:`suite.dia.bank.make` writes them."""
    settings = DiaDiffusion.parse({"dissolve": {"bank": LATTICE}})
    folders = {t: scratch / "bank" / str(t) for t in settings.dissolve.lattice}
    values = np.random.default_rng(0).random((2, COUNT, 1, SIZE, SIZE), np.float32).astype(np.float16)
    for folder in folders.values():
        folder.mkdir(parents=True)
        np.save(folder / bank.FILE, values, allow_pickle=False)
    return step(settings, "a", bank.Bank(folders, CPU))


def diffusing(scratch: Path) -> Work:
    shown = torch.rand(COUNT, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    trainer = diffusion._Trainer(shown, Diffusion(batch=32, accumulate=1), SIZE, 0, CPU)
    return Work.whole(trainer.advance)


def dissolving(scratch: Path) -> Work:
    dissolver, generator = unet(), torch.Generator().manual_seed(0)
    shown = torch.from_numpy(images()).float() / 255

    def block() -> None:
        dissolver(shown[: COUNT // BLOCKS], generator)

    def all_blocks() -> None:
        for part in shown.split(COUNT // BLOCKS):
            dissolver(part, generator)

    return Work(all_blocks, block, BLOCKS)


def scored(scratch: Path) -> Work:
    """Ten views and four shifts of each image through the network, then against what 1,000 training images gave."""
    trained, shown = network.build("imagenet", 64, 4, 0), images()
    context = Context(device=CPU, seed=0)
    known = torch.randn(4, COUNT, network.PROJECTION, generator=torch.Generator().manual_seed(0))

    def score(some: Images) -> None:
        found = scoring.features(trained, some, Scoring(), "rotate", context)
        scoring.normality(found.c, known)

    return Work(lambda: score(shown), lambda: score(shown[: COUNT // BLOCKS]), BLOCKS)


def cases() -> list[Case]:
    blur = dissolve.FixedDissolver(dissolve.gaussian(7), SIZE)
    once = DiaDiffusion.parse({"dissolve": {"draw": "per_image"}})
    dia: tuple[tuple[str, Callable[[Path], Work]], ...] = (
        ("DIA step (UNet dim 32)", lambda scratch: step(DiaDiffusion(), "a", unet())),
        ("DIA step (UNet dim 32, one pass)", lambda scratch: step(once, "a", unet())),
        (f"DIA step (bank of every {LATTICE}th t)", banked),
        ("DIA step (Gaussian)", lambda scratch: step(DiaBlur(), "a", blur)),
    )
    return [
        *(Case(name, make, 3, ("dia",)) for name, make in dia),
        Case("CSI step", lambda scratch: step(CsiTraining(), "csi", None), 3, ("csi",)),
        Case("diffusion step (dim 32, batch 32)", diffusing, 3),
        Case("dissolving 1,000 images (dim 32)", dissolving),
        Case("scoring 1,000 images (ten views, four shifts)", scored),
    ]
