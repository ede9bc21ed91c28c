"""scikit-learn's handwritten digits: 1,797 real images of 8 x 8 px that need neither file nor network.

They are no medical images and not in the paper; with ``data.normal_class`` they make ten one-class problems
that take seconds. Their 17 gray values are spread over 0 to 255 and they are enlarged to the set's size.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suite.registry import DataInfo

if TYPE_CHECKING:
    from suite.data.source import Contents

_PER_DIGIT = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)

INFO = DataInfo(
    name="digits",
    title="Digits",
    source="suite.data.digits:pack",
    size=32,
    channels=1,
    class_names=tuple("0123456789"),
    published={str(digit): count for digit, count in enumerate(_PER_DIGIT)},
    split_rule="7:3 over every digit",
    licence="CC BY 4.0",
    citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI (1998)",
    url="https://archive.ics.uci.edu/dataset/80",
)


def pack(info: DataInfo, size: int, data_root: Path, scratch: Path) -> Contents:
    """All digits at ``size`` px (see :mod:`suite.data.source`)."""
    import numpy as np
    from sklearn.datasets import load_digits

    from suite.data.decode import resize_all
    from suite.data.source import Contents

    loaded = load_digits()
    pixels = np.rint(loaded.images * (255 / 16)).astype(np.uint8)
    return Contents(
        images=resize_all(pixels, size)[:, None],
        classes=loaded.target.astype(np.int64),
        splits=np.full(len(pixels), "", "<U5"),
        ids=np.array([f"{number:04d}" for number in range(len(pixels))]),
        unsplit="classes",
    )
