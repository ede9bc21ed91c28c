"""Image files to uint8 pixels: palette, alpha, 16 bits and gray all occur in medical sets (supplement A.2).

Transparent parts become black, 16-bit values are scaled by their whole range, the orientation noted in the
file is applied, a gray set's images become gray whatever the file says, and an image is resized to a square
with PIL's antialiased bilinear filter; its aspect ratio is not kept.

Many images are decoded by several threads into a file that grows in step, with a note of which are done: a
process that is killed loses a moment's work, and memory holds a few images however many there are.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from suite import files
from suite.data import progress
from suite.data.archive import Reader, Source
from suite.data.build import RESUMED
from suite.data.errors import DataFault
from suite.data.imagefile import ImageFile
from suite.data.layout import several

_BATCH_IMAGES, _BATCH_BYTES = 512, 64 * 2**20
"""Images, and bytes of their files, between two notes of what is done."""
_TO_DO, _GRAY, _COLOUR, _FAULTY = range(4)


def threads() -> int:
    """Decoding threads: the cores this process may use, or as many as ``OMP_NUM_THREADS`` says, if fewer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(told)) if told.isdecimal() and int(told) else cores


def resize_all(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """N x H x W or N x H x W x 3 at ``size`` px."""
    with ThreadPoolExecutor(threads()) as pool:
        return np.stack(
            list(pool.map(lambda image: np.asarray(_resize(Image.fromarray(image), size)), images))
        )


def decode(file: Path | bytes, size: int, channels: int = 3) -> NDArray[np.uint8]:
    """One image file, or its content, as ``size x size x channels``; in three channels a gray one has equal
    ones, in one a coloured one its luminance. DataFault says what is wrong with it.
    """
    try:
        with Image.open(io.BytesIO(file) if isinstance(file, bytes) else file) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit and image.width * image.height > limit:
                raise DataFault(f"{image.width} x {image.height} pixels, more than the {limit} that are read")
            image.load()
            upright = _eight_bit(ImageOps.exif_transpose(image))
            if channels == 1:
                return np.asarray(_resize(upright.convert("L"), size))[..., None]
            return np.asarray(_resize(upright, size).convert("RGB"))
    except DataFault:
        raise
    except Image.DecompressionBombError as error:
        raise DataFault(str(error)) from error
    except UnidentifiedImageError as error:  # its text names a stream in memory, where callers name the file
        what = "it is empty" if file == b"" else "it is no image of a kind that is known here"
        raise DataFault(f"cannot be read: {what}") from error
    except Exception as error:  # PIL's plug-ins raise nearly anything on a damaged file
        raise DataFault(f"cannot be read ({type(error).__name__}: {_line(error)})") from error


@dataclass(frozen=True)
class Decoded:
    """Decoded images (``images``, N x C x size x size), their rows among those asked for (N,), and a line for
    each that was left out as faulty.
    """

    images: ImageFile
    rows: NDArray[np.int64]
    faults: tuple[str, ...] = ()


def decode_all(
    source: Source,
    members: Mapping[str, str],
    size: int,
    scratch: Path,
    what: str,
    *,
    channels: int = 0,
    skip_faulty: bool = False,
    advice: str = "",
) -> Decoded:
    """The images of a source (``members``: id to name), in the order given, in a file in ``scratch``.

    ``channels`` 0: one if every image is gray, else three. Every faulty file is found before DataFault names
    the first few, their number and ``advice``; or they are left out, with ``skip_faulty``. What a killed
    process has decoded into the same ``scratch`` from the same files is kept.
    """
    job = _Job(source, members, size, channels or 3, scratch / RESUMED)
    faults = job.run(what)
    kept = np.flatnonzero(job.states != _FAULTY)
    if faults and (not skip_faulty or not len(kept)):
        hint = f" ({advice})" if advice and len(kept) else ""
        raise DataFault(f"{what}: {len(faults)} of {len(members)} images are faulty: {several(faults)}{hint}")
    gray = not channels and bool((job.states[kept] == _GRAY).all())
    return Decoded(job.images.view(kept, 1 if gray else None), kept, tuple(faults))


class _Job:
    """The decoding of a set, with what is known of each image: to do, gray, coloured or faulty."""

    def __init__(
        self, source: Source, members: Mapping[str, str], size: int, channels: int, folder: Path
    ) -> None:
        self.source, self.size, self.channels = source, size, channels
        self.ids = list(members)
        self.row = {name: row for row, name in enumerate(members.values())}
        self._settle(folder)
        self.images = ImageFile(folder / "images", (len(self.ids), channels, size, size))
        self._noted = folder / "states"
        self.states = np.zeros(len(self.ids), np.uint8)
        if self._noted.exists():
            self.states = np.fromfile(self._noted, np.uint8)

    def _settle(self, folder: Path) -> None:
        """Start anew unless the folder was left by the very same job."""
        entries = self.source.entries
        lines = [f"{name} {entries[name].size} {entries[name].state}" for name in self.row]
        plan = {
            "files": hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest(),
            "size": self.size,
            "channels": self.channels,
            "pillow": PIL.__version__,
        }
        if files.peek_json(folder / "plan.json") != plan:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            files.write_json(folder / "plan.json", plan)

    def run(self, what: str) -> list[str]:
        """Decode what is to be done; a line for each faulty image, by its id."""
        self.states[self.states == _FAULTY] = _TO_DO  # to say again what is wrong with them
        faults: dict[int, str] = {}
        due = [name for name, row in self.row.items() if self.states[row] == _TO_DO]
        reading = self.source.read(due)
        # A set has thousands of images of which PIL may warn; what matters of them is told otherwise.
        with warnings.catch_warnings(), ThreadPoolExecutor(threads()) as pool:
            warnings.simplefilter("ignore")
            while batch := list(self._batch(reading)):
                for (name, _), result in zip(batch, pool.map(self._one, batch), strict=True):
                    row = self.row[name]
                    if isinstance(result, str):
                        faults[row], self.states[row] = result, _FAULTY
                    else:
                        self.states[row] = result
                self._note()
                progress.report(f"decoding {what}", int((self.states != _TO_DO).sum()), len(self.ids))
        return [f"{self.ids[row]}: {fault}" for row, fault in sorted(faults.items())]

    def _batch(self, reading: Iterator[tuple[str, Reader]]) -> Iterator[tuple[str, Reader]]:
        size = 0
        for name, read in islice(reading, _BATCH_IMAGES):
            yield name, read
            size += max(0, self.source.entries[name].size)
            if size >= _BATCH_BYTES:
                return

    def _note(self) -> None:
        """Pixels reach the disk before the note that they are there."""
        self.images.sync()
        files.write(self._noted, lambda stream: stream.write(self.states.tobytes()))

    def _one(self, item: tuple[str, Reader]) -> int | str:
        """Decode into place: gray or coloured, or the fault of a faulty one."""
        name, read = item
        try:
            pixels = decode(_read(read), self.size, self.channels)
        except DataFault as fault:
            return str(fault)
        self.images.write(self.row[name], pixels.transpose(2, 0, 1))
        first = pixels[..., :1]
        return _GRAY if (pixels == first).all() else _COLOUR


def _read(read: Reader) -> bytes:
    try:
        return read()
    except Exception as error:  # zipfile and the file system raise nearly anything
        raise DataFault(f"cannot be read ({type(error).__name__}: {_line(error)})") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


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
