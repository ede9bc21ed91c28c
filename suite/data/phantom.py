"""The phantom: chest-like gray images made by rule, with lesions of known place, size and contrast.

A stand-in for medical data that needs no file and no network, and an instrument: an anatomy shared by all
(torso, lungs, heart, ribs), smooth individual variation that dominates any pixel distance, fine texture, and
two kinds of anomalies. *Fine* ones are a few small, low-contrast nodules in the lungs; *coarse* ones a large
opacity or a lung that is missing. What was put where is kept beside the images, so that
:func:`oracle_scores`, a matched filter that knows the lesion's shape, says how much there is to be found.

Individuals are the same at every size. All sums are in double precision, so that rounding to uint8 does not
depend on the processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from suite.data.anatomy import LUNGS, Floats, People, anatomy, grid, inside, people, smooth
from suite.data.errors import DataFault
from suite.data.source import Contents
from suite.detector import derive_seed
from suite.registry import DataInfo

Kind = Literal["fine", "coarse"]
Record = TypeVar("Record", "Truth", "People")

COUNTS: dict[str, tuple[int, int]] = {"train": (600, 0), "val": (60, 60), "test": (150, 150)}
"""Normal and anomalous images of each split."""
SEED = 2024
_CHUNK = 2**18


@dataclass(frozen=True)
class Style:
    """What the images look like. Lengths in units of half the image's side, grey values from 0 to 1.

    ``radius``: standard deviation of a nodule's profile; ``contrast``: its height, drawn within a fifth
    around it; ``nodules``: the smallest and largest number in an image. ``texture``: standard deviation of
    the fine texture; ``variation``: 1 is the usual strength of the smooth individual variation.
    """

    radius: float = 0.045
    contrast: float = 0.3
    nodules: tuple[int, int] = (5, 9)
    texture: float = 0.012
    variation: float = 1.0


@dataclass(frozen=True)
class Truth:
    """The anomalies: arrays N x M, zero where there is none. ``x``, ``y`` of the centres and ``radius`` in
    units of half the side, origin in the middle of the image; ``contrast`` as a grey value.
    """

    x: Floats
    y: Floats
    radius: Floats
    contrast: Floats


@dataclass(frozen=True)
class Phantom:
    """``images`` uint8 N x 1 x size x size; ``labels`` 1 for anomalous; ``truth`` where and what."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    truth: Truth


def generate(
    normal: int, anomalous: int, size: int, seed: int, kind: Kind = "fine", style: Style | None = None
) -> Phantom:
    """``normal`` images, then ``anomalous`` ones, at ``size`` px. DataFault below 16 px."""
    if size < 16:
        raise DataFault(f"a phantom has at least 16 px, not {size}: raise data.size")
    style = style or Style()
    labels = np.repeat(np.array([0, 1], np.int64), (normal, anomalous))
    individuals = people(len(labels), seed, style.variation)
    make = _nodules if kind == "fine" else _opacities
    truth = make(labels, individuals, seed, style)
    step = max(1, _CHUNK // size**2)
    pieces = [slice(start, min(start + step, len(labels))) for start in range(0, len(labels), step)]
    noise = np.random.default_rng(derive_seed(seed, "texture", size))
    images = [_draw(_of(individuals, piece), _of(truth, piece), size, noise, style, kind) for piece in pieces]
    return Phantom(np.concatenate(images), labels, truth)


def pack(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Contents:
    """The packing function of ``phantom`` and ``phantom_coarse``: the splits of COUNTS, with the truth as
    extras. Lesions of another size or contrast stand in the same places of the same individuals.
    """
    kind: Kind = "coarse" if info.name.endswith("coarse") else "fine"
    asked = info.options
    style = Style(
        radius=asked.get("lesion_radius", Style.radius),
        contrast=asked.get("lesion_contrast", Style.contrast),
    )
    parts = [generate(*COUNTS[split], size, derive_seed(SEED, kind, split), kind, style) for split in COUNTS]
    names = [np.full(len(part.labels), split, "<U5") for split, part in zip(COUNTS, parts, strict=True)]
    ids = [
        np.array([f"{split}/{number:04d}" for number in range(len(part.labels))])
        for split, part in zip(COUNTS, parts, strict=True)
    ]
    return Contents(
        images=np.concatenate([part.images for part in parts]),
        classes=np.concatenate([part.labels for part in parts]),
        splits=np.concatenate(names),
        ids=np.concatenate(ids),
        extras={
            f"lesion_{name}": np.concatenate([getattr(part.truth, name) for part in parts])
            for name in ("x", "y", "radius", "contrast")
        },
    )


def _of(record: Record, rows: slice) -> Record:
    return type(record)(**{name: array[rows] for name, array in vars(record).items()})


def _draw(
    individuals: People, truth: Truth, size: int, noise: np.random.Generator, style: Style, kind: Kind
) -> NDArray[np.uint8]:
    axis = grid(size)
    y, x = (part.ravel() for part in np.meshgrid(axis, axis, indexing="ij"))
    u, v = x + smooth(individuals.warp_x, x, y), y + smooth(individuals.warp_y, x, y)
    opacity = _patches(truth, axis) if kind == "coarse" else np.zeros(1)
    image = anatomy(individuals, u, v, opacity) * individuals.gain[:, None] + smooth(individuals.field, x, y)
    image = image.reshape(-1, size, size)
    if kind == "fine":
        image += _bumps(truth, axis)
    image += noise.standard_normal(image.shape) * style.texture
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)[:, None]


def _bumps(truth: Truth, axis: Floats) -> Floats:
    """The sum of all nodules, each a Gaussian profile: N x size x size."""
    radius = np.maximum(truth.radius, 1e-6)[..., None]
    across = np.exp(-0.5 * ((axis - truth.x[..., None]) / radius) ** 2)
    down = np.exp(-0.5 * ((axis - truth.y[..., None]) / radius) ** 2) * truth.contrast[..., None]
    bumps: Floats = np.einsum("nmy,nmx->nyx", down, across)
    return bumps


def _patches(truth: Truth, axis: Floats) -> Floats:
    """The opacity of each image, an ellipse with a soft border, half as tall again as wide: N x P."""
    a = np.maximum(truth.radius, 1e-6)[..., None]
    across, down = ((axis - truth.x[..., None]) / a) ** 2, ((axis - truth.y[..., None]) / (1.5 * a)) ** 2
    height = truth.contrast[..., None, None] * inside(np.sqrt(down[..., None] + across[..., None, :]), 0.6)
    return np.asarray(height.sum(axis=1).reshape(len(height), -1))


def _nodules(labels: NDArray[np.int64], individuals: People, seed: int, style: Style) -> Truth:
    """Nodules anywhere in the inner parts of the lungs."""
    random = np.random.default_rng(derive_seed(seed, "nodules"))
    low, high = style.nodules
    shape = (len(labels), high)
    there = (np.arange(high) < random.integers(low, high + 1, len(labels))[:, None]) & (labels[:, None] == 1)
    x, y = _in_lungs(random, individuals, shape, 0.8)
    contrast = style.contrast * random.uniform(0.8, 1.2, shape)
    return Truth(x * there, y * there, style.radius * there, contrast * there)


def _opacities(labels: NDArray[np.int64], individuals: People, seed: int, style: Style) -> Truth:
    """One large opacity in a lung; in about every second image it fills the whole lung, which is missing then."""
    random = np.random.default_rng(derive_seed(seed, "opacities"))
    shape = (len(labels), 1)
    there = labels[:, None] == 1
    missing = random.random(shape) < 0.5
    x, y = _in_lungs(random, individuals, shape, np.where(missing, 0.0, 0.5))
    radius = np.where(missing, 0.6, random.uniform(0.34, 0.42, shape))
    contrast = np.where(missing, 0.44, random.uniform(0.4, 0.5, shape))
    return Truth(x * there, y * there, radius * there, contrast * there)


def _in_lungs(
    random: np.random.Generator, individuals: People, shape: tuple[int, int], reach: float | Floats
) -> tuple[Floats, Floats]:
    """Points in the lungs of each individual, at most ``reach`` of the way to the border, in image
    coordinates.
    """
    lungs = LUNGS[random.integers(0, 2, shape)]
    angle, way = random.uniform(0, 2 * np.pi, shape), reach * np.sqrt(random.random(shape))
    u = lungs[..., 0] + lungs[..., 2] * way * np.cos(angle)
    v = lungs[..., 1] + lungs[..., 3] * way * np.sin(angle)
    # The anatomy is read at x + warp(x): one step of the inverse is close enough for a smooth warp.
    return u - smooth(individuals.warp_x, u, v), v - smooth(individuals.warp_y, u, v)


def oracle_scores(
    images: NDArray[np.uint8], normal: NDArray[np.uint8], radius: float = Style.radius
) -> Floats:
    """A matched filter that knows the nodule's shape but not its place: N scores, higher = more anomalous.

    The background's spectrum, and mean and spread of the filter's response at each place, come from
    ``normal`` images that are not among ``images``. The score is the largest response in units of its spread,
    over the field of the lungs.
    """
    size = images.shape[-1]
    axis = grid(size)
    across = np.exp(-0.5 * (axis / radius) ** 2)
    template = np.fft.ifftshift(np.outer(across, across))
    centre = normal[:, 0].mean(axis=0, dtype=np.float64)
    spectrum = np.mean(np.abs(np.fft.rfft2(normal[:, 0] - centre)) ** 2, axis=0)
    matched = np.conj(np.fft.rfft2(template)) / (spectrum + 1e-3 * spectrum.mean())

    def response(batch: NDArray[np.uint8]) -> Floats:
        return np.fft.irfft2(np.fft.rfft2(batch[:, 0] - centre) * matched, s=(size, size))

    background = response(normal)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    field = np.any([((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 < 1.1 for cx, cy, a, b in LUNGS], axis=0)
    standard = (response(images) - background.mean(axis=0)) / background.std(axis=0)
    return np.asarray(standard[:, field].max(axis=1))
