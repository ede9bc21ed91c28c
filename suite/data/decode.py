"""Image files to uint8 pixels: palette, alpha, 16 bits and gray all occur in medical sets (supplement A.2).

Transparent parts become black, 16-bit values are scaled by their whole range, the orientation noted in the
file is applied, and an image is resized to a square with PIL's antialiased bilinear filter; its aspect ratio
is not kept.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from suite.data.errors import DataFault

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".pgm", ".ppm"})
_SHOWN = 5


def threads() -> int:
    """Decoding threads: the cores this process may use, at most eight."""
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def resize_all(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """N x H x W or N x H x W x 3 at ``size`` px."""
    with ThreadPoolExecutor(threads()) as pool:
        return np.stack(
            list(pool.map(lambda image: np.asarray(_resize(Image.fromarray(image), size)), images))
        )


def decode(path: Path, size: int) -> NDArray[np.uint8]:
    """One image file as ``size x size x 3``; a gray one has three equal channels. DataFault says what is
    wrong with it.
    """
    try:
        with Image.open(path) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit and image.width * image.height > limit:
                raise DataFault(f"{image.width} x {image.height} pixels, more than the {limit} that are read")
            image.load()
            return np.asarray(_resize(_eight_bit(ImageOps.exif_transpose(image)), size).convert("RGB"))
    except DataFault:
        raise
    except Image.DecompressionBombError as error:
        raise DataFault(str(error)) from error
    except Exception as error:  # PIL's plug-ins raise nearly anything on a damaged file
        raise DataFault(f"cannot be read ({type(error).__name__}: {error})") from error


def decode_all(
    paths: Sequence[Path], names: Sequence[str], size: int, scratch: Path, what: str
) -> NDArray[np.uint8]:
    """All files as N x C x size x size in a memory map in ``scratch``; C is 1 if every image is gray, else 3.

    Every faulty file is found before DataFault names the first few and their number.
    """
    target = np.lib.format.open_memmap(
        scratch / "decoded.npy", mode="w+", dtype=np.uint8, shape=(len(paths), 3, size, size)
    )
    with ThreadPoolExecutor(threads()) as pool:
        results = list(pool.map(partial(_into, target, size), range(len(paths)), paths))
    faults = [
        f"{name}: {result}" for name, result in zip(names, results, strict=True) if isinstance(result, str)
    ]
    if faults:
        more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        raise DataFault(
            f"{what}: {len(faults)} of {len(paths)} images are faulty: {'; '.join(faults[:_SHOWN])}{more}"
        )
    return target[:, :1] if all(results) else target


def _into(target: NDArray[np.uint8], size: int, index: int, path: Path) -> bool | str:
    """Decode into place. True for a gray image, False for a coloured one, the fault of a faulty one."""
    try:
        pixels = decode(path, size)
    except DataFault as fault:
        return str(fault)
    target[index] = pixels.transpose(2, 0, 1)
    return bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())


def _resize(image: Image.Image, size: int) -> Image.Image:
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)


def _eight_bit(image: Image.Image) -> Image.Image:
    """L or RGB. Transparency is laid over black."""
    if image.mode in ("I", "I;16", "I;16L", "I;16B"):
        return _from_sixteen_bit(np.asarray(image))
    if image.mode == "F":
        raise DataFault("floating-point pixels have no known range: convert it to 8 or 16 bits")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, (0, 0, 0, 255)), colours).convert("RGB")
    return image.convert("L") if image.mode in ("1", "L") else image.convert("RGB")


def _from_sixteen_bit(values: NDArray[Any]) -> Image.Image:
    if int(values.min()) < 0 or int(values.max()) > 0xFFFF:
        raise DataFault(
            f"values from {values.min()} to {values.max()} are not 16-bit: convert it to 8 or 16 bits"
        )
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
