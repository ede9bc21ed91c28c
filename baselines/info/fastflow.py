"""Facts of FastFlow (Yu et al. 2021). The authors published no code; the settings are those of the implementation
that is commonly run (gathierry/FastFlow), with its WideResNet50. For ResNet18 that one sets ``flow.kernels = "3"``.
"""

from __future__ import annotations

from typing import Literal

from baselines.info.common import Epochs, Positive, Pretrained, Sizes, absent, notes
from suite.registry import MethodInfo
from suite.settings import Settings, setting


class Flow(Settings):
    """``steps`` couplings for each scale; ``kernels`` of their convolutions: all 3 x 3, or 3 x 3 and 1 x 1 in turn;
    ``ratio`` of the channels between two convolutions; ``clamp``: the largest logarithm of a coupling's scale.
    """

    steps: Positive = setting(8)
    kernels: Literal["3-1", "3"] = setting("3-1")
    ratio: float = setting(1.0, gt=0)
    clamp: float = setting(2.0, gt=0)


class FlowEpochs(Epochs):
    """Adam at a constant rate."""

    epochs: Positive = setting(500)
    weight_decay: float = setting(1e-5, ge=0)


class FastFlowTraining(Pretrained):
    """A flow on each of three frozen feature maps."""

    backbone: str = setting("wide_resnet50_2.racm_in1k")
    flow: Flow = setting(Flow())
    train: FlowEpochs = setting(FlowEpochs())


SIZES = Sizes(multiple=16, least=32)
FASTFLOW = MethodInfo(
    name="fastflow",
    version=1,
    title="FastFlow",
    implementation="baselines.fastflow:FastFlow",
    training=lambda nested: FastFlowTraining,
    models=(FastFlowTraining,),
    sizes=str(SIZES),
    notes=notes(SIZES),
    absent=absent,
    citation="Yu et al., arXiv 2021",
)
