"""Penalty images of EfficientAD: what the student is to say nothing about, from a file that the settings name.

As in nelson1425/EfficientAD: an image at twice the size, three in ten without colour, and of that the middle.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.functional import center_crop, rgb_to_grayscale

from baselines.backbones import WeightsError
from baselines.info.efficientad import Common, absent, file_of
from baselines.inputs import Inputs
from suite.detector import Images

GRAY = 0.3


class Penalty:
    """Called with a number and a generator it gives that many images as a network takes them, B x 3 x height x
    width. WeightsError when the file is absent, another, or holds no images.
    """

    def __init__(self, settings: Common, inputs: Inputs, sides: tuple[int, int]) -> None:
        if line := absent(settings):
            raise WeightsError(line)
        path = file_of(settings.penalty)
        assert path is not None
        self.images, self.inputs, self.sides = images_in(path, settings.penalty_sha256), inputs, sides

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        device = generator.device
        numbers = torch.randint(len(self.images), (count,), generator=generator, device=device).cpu()
        x = torch.from_numpy(self.images[numbers.numpy()]).to(device).float() / 255
        height, width = self.sides
        x = F.interpolate(x, (2 * height, 2 * width), mode="bilinear", antialias=True).expand(-1, 3, -1, -1)
        plain = torch.rand(count, 1, 1, 1, generator=generator, device=device) < GRAY
        x = torch.where(plain, rgb_to_grayscale(x), x)
        return self.inputs.normalised(center_crop(x, [height, width]))


def images_in(path: Path, digest: str) -> Images:
    """uint8 N x C x H x W, memory-mapped."""
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(digest):
        raise WeightsError(f"{path} is not the file asked for: its SHA-256 is {found}, not {digest}")
    try:
        images: Images = np.lib.format.open_memmap(path, mode="r")
    except ValueError as error:  # no .npy file, one cut off, or one of objects
        raise WeightsError(f"{path} is no .npy file of numbers") from error
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise WeightsError(
            f"{path} holds {images.dtype} of shape {images.shape}, not uint8 images N x (1 or 3) x H x W"
        )
    return images
