"""Facts of GANomaly; the defaults are those of the official code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from baselines.info.common import Epochs, Positive, Sizes, notes
from suite.registry import MethodInfo
from suite.settings import Settings, setting

Weight = Annotated[float, Field(ge=0)]


class GanomalyTrain(Epochs):
    """Training of GANomaly; what fills no batch of an epoch is dropped."""

    epochs: Positive = setting(15)
    batch: Positive = setting(64)
    lr: float = setting(2e-4, gt=0)


class GanomalyNetwork(Settings):
    """``width``: channels after the first convolution, doubled by each further one. ``latent``: length of the
    code.
    """

    width: Positive = setting(64)
    latent: Positive = setting(100)


class GanomalyLoss(Settings):
    """Weights of the generator's three losses: discriminator features, image, code."""

    adversarial: Weight = setting(1.0)
    image: Weight = setting(50.0)
    latent: Weight = setting(1.0)


class Ganomaly(Settings):
    """Everything that the fit depends on. ``input_size``: the side to which images are resized; without it their
    own, raised to a power of two.
    """

    input_size: Positive | None = setting(None, neutral=None)
    train: GanomalyTrain = setting(GanomalyTrain())
    network: GanomalyNetwork = setting(GanomalyNetwork())
    loss: GanomalyLoss = setting(GanomalyLoss())


class GanomalyScoring(Settings):
    """``score.distance`` between the two codes: ``squared`` as in the official code, ``absolute`` as in the
    paper.
    """

    distance: Literal["squared", "absolute"] = setting("squared")


def _eval_mode(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    return ("scored under running batch statistics, not under those of the test batch",)


SIZES = Sizes(least=32, power=True)
GANOMALY = MethodInfo(
    name="ganomaly",
    version=1,
    title="GANomaly",
    implementation="baselines.ganomaly:Ganomaly",
    training=lambda nested: Ganomaly,
    models=(Ganomaly,),
    scoring=GanomalyScoring,
    sizes=str(SIZES),
    notes=notes(SIZES, _eval_mode),
    citation="Akcay et al., ACCV 2018",
)
