"""SARS-COV-2 CT (supplement A.2): slices of lungs with and without COVID-19, as Kaggle serves them: two folders
of PNG files of any size. They come without a split, without patients' names, and here become gray.
"""

from __future__ import annotations

from functools import partial

from suite.data import images
from suite.data.layout import class_folders
from suite.data.place import find
from suite.registry import DataInfo

INFO = DataInfo(
    name="sars_cov_2",
    title="SARS-COV-2 CT",
    source="suite.data.sars:pack",
    size=224,
    channels=1,
    normal_classes=(1,),
    class_names=("COVID", "non-COVID"),
    published={"COVID": 1252, "non-COVID": 1230},
    served={"non-COVID": 1229},
    split_rule="7:3 over the normal images; all others are test images",
    licence="CC BY-NC-SA 4.0",
    citation="Soares et al., medRxiv 2020.04.24.20078584",
    url="https://www.kaggle.com/datasets/plameneduardo/sarscov2-ctscan-dataset",
    obtain="log in at Kaggle and download the data set (archive.zip, with the folders COVID and non-COVID)",
    faults=(
        "two pairs of equal images inside COVID",
        "Kaggle has 1,229 non-COVID images where the paper counts 1,230",
        "no patient ids, so a random split may divide a patient",
    ),
)

layout = class_folders
examine = partial(images.examine, layout=layout)
pack = partial(images.pack, layout=layout, unsplit="normals")

__all__ = ["INFO", "examine", "find", "pack"]
