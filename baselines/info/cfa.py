"""Facts of CFA, with the settings of its official code as the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes
from suite.registry import MethodInfo
from suite.settings import Settings, setting


class CfaEpochs(Epochs):
    """AdamW (amsgrad) at a constant rate."""

    epochs: Positive = setting(30)
    batch: Positive = setting(4)
    weight_decay: float = setting(5e-4, ge=0)


class Spheres(Settings):
    """Each patch is drawn into the spheres about its ``attracted`` nearest centroids and driven out of those about
    the next ``repelled``, up to the margin ``alpha`` (of squared distances). Their ``radius`` is where a learnt one
    starts; ``nu`` divides the loss.
    """

    attracted: Positive = setting(3)
    repelled: Positive = setting(3)
    radius: float = setting(1e-5, gt=0)
    alpha: float = setting(0.1, ge=0)
    nu: float = setting(1e-3, gt=0)


class CfaTraining(Pretrained):
    """A descriptor behind a frozen network."""

    spheres: Spheres = setting(Spheres())
    train: CfaEpochs = setting(CfaEpochs())


SIDE = 224
"""Of the official images, whose maps are blurred with a Gaussian of 4 px."""


def blur(side: int) -> float:
    """Its width at another side of the image, in pixels."""
    return 4.0 * side / SIDE


SIZES = Sizes(least=16)


def _blurred(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    size = data.get("size")
    if not isinstance(size, int):
        return ()
    side = SIZES.side(getattr(training, "input_size", None) or size)
    return (f"maps blurred by {blur(side):.2g} px (4 px at {SIDE} px)",) if side != SIDE else ()


CFA = MethodInfo(
    name="cfa",
    version=1,
    title="CFA",
    implementation="baselines.cfa:Cfa",
    training=lambda nested: CfaTraining,
    models=(CfaTraining,),
    sizes=str(SIZES),
    notes=notes(SIZES, _blurred),
    absent=absent,
    citation="Lee et al., IEEE Access 2022",
)
