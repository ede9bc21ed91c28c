"""Retinal OCT 2017 (supplement A.2): sections of the retina, normal against three diseases, split as published
into 83,484 training and 968 test images.

Kaggle's archive has the paper's numbers, all of it once more in a second folder, and 32 images for validation,
too few to choose anything by: they are left out. Mendeley's archives (``OCT2017.tar.gz`` and, beside chest
X-rays, ``ZhangLabData.zip``) count otherwise. Any of them is taken, and counts that are not the paper's are
said.
"""

from __future__ import annotations

from functools import partial

from suite.data import images
from suite.data.archive import Source
from suite.data.layout import Chosen, class_folders
from suite.data.place import find
from suite.registry import DataInfo

INFO = DataInfo(
    name="retinal_oct",
    title="Retinal OCT",
    source="suite.data.oct:pack",
    size=224,
    channels=1,
    normal_classes=(3,),
    class_names=("CNV", "DME", "DRUSEN", "NORMAL"),
    published={"CNV": 37447, "DME": 11590, "DRUSEN": 8858, "NORMAL": 26557},
    counts={"train": (26315, 57169), "test": (242, 726)},
    split_rule="as published",
    licence="CC BY 4.0",
    citation="Kermany et al., Cell 172 (2018)",
    url="https://www.kaggle.com/datasets/paultimothymooney/kermany2018",
    obtain=(
        "download OCT2017.tar.gz from https://data.mendeley.com/datasets/rscbjbr9sj/2, or log in at Kaggle and "
        "download the data set (archive.zip)"
    ),
    files=("OCT2017.tar.gz", "ZhangLabData.zip", "OCT2017", "OCT2017 ", "CellData"),
    faults=(
        "some images stand there twice, and slices of one eye in both train and test (Tampu et al., Sci Data 2022)",
    ),
)


def layout(info: DataInfo, source: Source) -> Chosen:
    """``train`` and ``test`` with the four classes, wherever they are."""
    return class_folders(info, source, splits=("train", "test"), unused=("val",))


examine = partial(images.examine, layout=layout)
pack = partial(images.pack, layout=layout)

__all__ = ["INFO", "examine", "find", "pack"]
