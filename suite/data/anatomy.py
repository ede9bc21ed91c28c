"""The anatomy of the phantom: a torso with lungs, ribs, spine and heart, shared by all individuals and
smoothly varied.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from suite.detector import derive_seed

Floats = NDArray[np.float64]

MODES = 4
LUNGS: Floats = np.array([(-0.42, -0.04, 0.29, 0.56), (0.42, -0.04, 0.27, 0.56)])
HEART: Floats = np.array([0.12, 0.28, 0.27, 0.25])
"""Centre x, y and half axes in the anatomy's own frame, [-1, 1] x [-1, 1], y downwards."""


@dataclass(frozen=True)
class People:
    """What makes each of N individuals: parameters of the anatomy and coefficients of the smooth fields."""

    warp_x: Floats
    warp_y: Floats
    field: Floats
    gain: Floats
    lung_level: Floats
    lungs: Floats
    heart: Floats
    ribs: Floats
    rib_phase: Floats
    rib_period: Floats


def people(count: int, seed: int, strength: float) -> People:
    """Draw individuals; ``strength`` scales all that varies between them (1 is usual, 0 makes all alike)."""
    random = np.random.default_rng(derive_seed(seed, "people"))
    order = np.add.outer(np.arange(MODES), np.arange(MODES)).ravel()
    decay = 1.0 / (1.0 + order) ** 1.5

    def normal(scale: float | Floats, *shape: int) -> Floats:
        return strength * scale * random.standard_normal((count, *shape))

    return People(
        warp_x=normal(0.075 * decay, MODES**2),
        warp_y=normal(0.075 * decay, MODES**2),
        field=normal(0.09 * decay, MODES**2),
        gain=1 + normal(0.09),
        lung_level=0.24 + normal(0.03),
        lungs=1 + normal(0.09, 2),
        heart=1 + normal(0.12),
        ribs=np.maximum(0.01, 0.05 + normal(0.015)),
        rib_phase=normal(0.9),
        rib_period=0.24 * (1 + normal(0.06)),
    )


def grid(size: int) -> Floats:
    """Pixel centres from -1 to 1."""
    return (np.arange(size) + 0.5) * 2 / size - 1


def smooth(coefficients: Floats, x: Floats, y: Floats) -> Floats:
    """A smooth field for each of N individuals, N x P: at P shared points (P,), or at its own (N x P)."""
    waves = np.arange(MODES) * (np.pi / 2)
    across, down = np.cos(waves * (x[..., None] + 1)), np.cos(waves * (y[..., None] + 1))
    basis = (across[..., :, None] * down[..., None, :]).reshape(*x.shape, MODES**2)
    if x.ndim == 1:
        return np.asarray(coefficients @ basis.T)
    field: Floats = np.einsum("nk,npk->np", coefficients, basis)
    return field


def inside(distance: Floats, edge: float) -> Floats:
    """1 where ``distance`` (1 on the border) is below one, 0 above, a smooth step of width ``edge``
    between.
    """
    t = np.clip((1 - distance) / edge + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def ellipse(u: Floats, v: Floats, place: Floats, scale: Floats, edge: float) -> Floats:
    """The inside of an ellipse (centre x, y, half axes), scaled for each of N individuals."""
    x, y, a, b = place
    squared = ((u - x) / a) ** 2 + ((v - y) / b) ** 2
    return inside(np.sqrt(squared) / scale[:, None], edge)


def anatomy(individuals: People, u: Floats, v: Floats, opacity: Floats) -> Floats:
    """Grey values at the anatomical coordinates ``u``, ``v`` (N x P); ``opacity`` brightens what lies in
    the lungs.
    """
    flat = np.square(np.square(u / 0.9)) + np.square(np.square((v - 0.15) / 1.05))
    torso = inside(np.sqrt(np.sqrt(flat)), 0.12)
    image = 0.06 + 0.5 * torso
    lungs = np.maximum(*(ellipse(u, v, LUNGS[side], individuals.lungs[:, side], 0.2) for side in (0, 1)))
    image += lungs * (individuals.lung_level[:, None] + opacity - image)
    wave = np.cos(
        2 * np.pi * (v + 0.35 * u * u) / individuals.rib_period[:, None] + individuals.rib_phase[:, None]
    )
    image += individuals.ribs[:, None] * np.maximum(wave, 0) * torso
    image += 0.14 * torso * np.maximum(0, 1 - np.square(u / 0.16))
    image += ellipse(u, v, HEART, individuals.heart, 0.35) * (0.64 - image)
    return image
