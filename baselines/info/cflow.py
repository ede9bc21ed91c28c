"""Facts of CFLOW-AD (Gudovskiy et al., WACV 2022), which the paper's Table 1 calls CFFlow; the settings are those of
the official code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes
from suite.registry import MethodInfo
from suite.settings import Int, Settings, setting

STRIDES = (8, 16, 32)


class ConditionalFlow(Settings):
    """``steps`` couplings for each scale; ``condition``: the length of the code of a position; ``clamp``: the largest
    logarithm of a coupling's scale; ``fibres``: feature vectors in a step of the optimiser.
    """

    steps: Positive = setting(8)
    condition: Annotated[Int, Field(ge=4, multiple_of=4)] = setting(128)
    clamp: float = setting(1.9, gt=0)
    fibres: Positive = setting(256)


class CflowEpochs(Epochs):
    """Adam. The rate follows a cosine in ``rates`` equal parts of the training and rises over the first two."""

    epochs: Positive = setting(200)
    lr: float = setting(2e-4, gt=0)
    rates: Annotated[Int, Field(ge=3)] = setting(25)


class CflowTraining(Pretrained):
    """A conditional flow on each of three frozen feature maps."""

    flow: ConditionalFlow = setting(ConditionalFlow())
    train: CflowEpochs = setting(CflowEpochs())


def _fewer_fibres(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    settings, size = cast(CflowTraining, training), data.get("size")
    if not isinstance(size, int):
        return ()
    side = SIZES.side(settings.input_size or size)
    counts = {stride: settings.train.batch * (side // stride) ** 2 for stride in STRIDES}
    few = [f"{count} at stride {stride}" for stride, count in counts.items() if count < settings.flow.fibres]
    return (f"steps of fewer than {settings.flow.fibres} feature vectors: {', '.join(few)}",) if few else ()


def _own_scale(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    return ("likelihoods are scaled by their largest in the training images, not in the test images",)


SIZES = Sizes(multiple=32, least=32)
CFLOW = MethodInfo(
    name="cflow",
    version=1,
    title="CFLOW-AD",
    implementation="baselines.cflow:Cflow",
    training=lambda nested: CflowTraining,
    models=(CflowTraining,),
    sizes=str(SIZES),
    notes=notes(SIZES, _own_scale, _fewer_fibres),
    absent=absent,
    citation="Gudovskiy et al., WACV 2022",
)
