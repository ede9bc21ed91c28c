"""Example images as a dissolver leaves them, along t (Figures 1, 4, 7 to 11) or along its kernels (Figure 5).

With them, label-free signs of a good dissolver (Section 3.1: different inputs become alike as t grows): the
variance between dissolved test images at each place, and the last loss of the diffusion model.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from suite.data import select
from suite.detector import Context, derive_seed
from suite.dia import diffusion, dissolve, info
from suite.files import replacing

if TYPE_CHECKING:
    from suite.data.pack import Pack

COMPARED = 64
"""Test images between which the variance is taken."""
BATCH = 16
TAIL = 10
"""Points of the loss curve whose mean is the last loss."""


def make(identity: Mapping[str, Any], pack: Pack, context: Context) -> dict[str, Any]:
    """Make the artefact ``strip``: ``strip.npz`` with ``images`` (uint8, examples x places x C x H x W; the
    first place is the image itself), ``ids`` and ``labels`` (1: anomalous). The signs are its facts.
    """
    if context.folder is None:
        raise ValueError("a strip needs a folder to be written to")
    test = select.evaluation(pack, identity["data"], "test", 0)
    order = np.random.default_rng(derive_seed(0, "strip")).permutation(len(test.indices))
    shown = _in_turn(order, test.labels, identity["images"])
    # Those shown come first, so that everything is dissolved once.
    used = np.concatenate([shown, order[~np.isin(order, shown)]])[: max(COMPARED, len(shown))]
    x = torch.from_numpy(np.ascontiguousarray(pack.images[test.indices[used]])).float() / 255
    places, variance = [x[: len(shown)]], [_variance(x)]
    ((name, values),) = identity["along"].items()
    dissolver = _dissolver(identity["dissolve"], context)
    for number, value in enumerate(values):
        if name == "kernel":
            dissolver = _dissolver({**identity["dissolve"], name: value}, context)
        hats = _dissolved(x, dissolver, value if name == "t" else None, context)
        places.append(hats[: len(shown)])
        variance.append(_variance(hats))
        context.progress(number + 1, len(values), {})
    stacked = (torch.stack(places, dim=1) * 255).round().clamp(0, 255).to(torch.uint8)
    with replacing(context.folder / "strip.npz") as part, part.open("wb") as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            images=stacked.numpy(),
            ids=test.ids[shown],
            labels=test.labels[shown],
        )
    return {
        "along": {name: list(values)},
        "variance": variance,
        "compared": len(x),
        "labels": test.labels[shown].tolist(),
        **_loss(context),
    }


def _in_turn(order: NDArray[np.int64], labels: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """The first of an order, in turn normal and anomalous."""
    normal, anomalous = order[labels[order] == 0], order[labels[order] == 1]
    half = count // 2
    chosen = np.empty(len(normal[: count - half]) + len(anomalous[:half]), np.int64)
    chosen[0::2], chosen[1::2] = normal[: count - half], anomalous[:half]
    return chosen


def _dissolver(settings: Mapping[str, Any], context: Context) -> Any:
    parsed = info.DISSOLVERS[settings["op"]].parse(settings)
    return dissolve.build(parsed, context.artefacts, context.device)


def _dissolved(x: Tensor, dissolver: Any, t: int | None, context: Context) -> Tensor:
    """All images at the step ``t`` (None: the dissolver has none), on the CPU."""
    generator = context.generator("strip")
    pieces = []
    for piece in x.split(BATCH):
        here = piece.to(context.device)
        if t is None:
            hat = dissolver(here, generator)
        else:
            hat = dissolver.at(here, torch.full((len(here),), t, device=context.device))
        pieces.append(hat.cpu())
        context.pulse()
    return torch.cat(pieces)


def _variance(images: Tensor) -> float:
    return float(images.var(dim=0).mean())


def _loss(context: Context) -> dict[str, Any]:
    """The last loss of the diffusion model, where there is one."""
    if "diffusion" not in context.artefacts:
        return {}
    curve = diffusion.read_signs(context.artefacts["diffusion"])["loss"]
    return {"loss": statistics.fmean(point["loss"] for point in curve[-TAIL:])}
