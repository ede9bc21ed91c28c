"""APTOS 2019 (supplement A.2): photographs of the fundus with grades of diabetic retinopathy; grade 0 is normal.

Only Kaggle's training images have grades (``train.csv``: ``id_code,diagnosis``); its test images, which have
none, are left out. Every grade is split 7:3.
"""

from __future__ import annotations

import csv
import io
from functools import partial

from suite.data import images
from suite.data.archive import Source, content_of
from suite.data.errors import DataFault
from suite.data.layout import Chosen, Item, is_image, several
from suite.data.place import find
from suite.registry import DataInfo

TABLE, FOLDER, TEST_FOLDER = "train.csv", "train_images", "test_images"
COLUMNS = ("id_code", "diagnosis")

INFO = DataInfo(
    name="aptos_2019",
    title="APTOS 2019",
    source="suite.data.aptos:pack",
    size=224,
    channels=3,
    class_names=("no retinopathy", "mild", "moderate", "severe", "proliferative"),
    published={"no retinopathy": 1805, "mild": 370, "moderate": 999, "severe": 193, "proliferative": 295},
    split_rule="7:3 over every grade",
    licence="Kaggle competition rules",
    citation="APTOS 2019 Blindness Detection, Kaggle",
    url="https://www.kaggle.com/competitions/aptos2019-blindness-detection",
    obtain=(
        "log in at Kaggle, accept the competition's rules and download all "
        "(aptos2019-blindness-detection.zip, with train.csv and train_images)"
    ),
    files=("aptos2019-blindness-detection.zip", "aptos2019-blindness-detection"),
    faults=("some eyes were photographed twice, a few of them with different grades",),
)


def layout(info: DataInfo, source: Source) -> Chosen:
    """The graded images. DataFault unless table and images fit together one to one."""
    table = _table(info, source)
    above = table.removesuffix(TABLE)
    found = {
        name.rpartition("/")[2].rpartition(".")[0]: name
        for name in source.entries
        if is_image(name) and name.startswith(f"{above}{FOLDER}/")
    }
    grades = _grades(source, table, len(info.class_names))
    if absent := sorted(set(grades) - set(found)):
        raise DataFault(
            f"{source.path}: {len(absent)} of the {len(grades)} ids in {table} have no image in "
            f"{above}{FOLDER} ({several(absent)})"
        )
    if unknown := sorted(set(found) - set(grades)):
        raise DataFault(f"{source.path}: {len(unknown)} images have no row in {table} ({several(unknown)})")
    items = (Item(name, f"{FOLDER}/{name.rpartition('/')[2]}", grades[code]) for code, name in found.items())
    away = sum(is_image(name) and f"{TEST_FOLDER}/" not in name for name in source.entries) - len(found)
    notes = (f"left out: {away} images that are not in {FOLDER}",) if away else ()
    return Chosen(tuple(sorted(items, key=lambda item: item.id)), notes)


def _table(info: DataInfo, source: Source) -> str:
    tables = [name for name in source.entries if name.rpartition("/")[2] == TABLE]
    tables.sort(key=lambda name: (name.count("/"), name))
    if not tables:
        raise DataFault(
            f"{source.path} is not {info.title}: it should hold {TABLE} and {FOLDER}/, and holds "
            f"{several(dict.fromkeys(name.partition('/')[0] for name in source.entries)) or 'nothing'}"
        )
    return tables[0]


def _grades(source: Source, table: str, count: int) -> dict[str, int]:
    """Id to grade; DataFault with every line that is wrong."""
    where = f"{source.path}: {table}"
    try:
        reader = csv.DictReader(
            io.StringIO(content_of(source, table).decode("utf-8-sig")), skipinitialspace=True
        )
        columns = [(name or "").strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        rows = [(reader.line_num, [(row.get(name) or "").strip() for name in COLUMNS]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataFault(f"{where} is not a readable table: {error}") from error
    if not set(COLUMNS) <= set(columns):
        raise DataFault(
            f"{where} has the columns {', '.join(columns) or 'none'}; it needs {','.join(COLUMNS)}"
        )
    grades: dict[str, int] = {}
    faults = []
    for line, (code, grade) in rows:
        if not code:
            faults.append(f"line {line} has no id_code")
        elif code in grades:
            faults.append(f"line {line}: {code} stands there twice")
        elif grade not in map(str, range(count)):
            faults.append(f"line {line}: {code} has the diagnosis {grade!r}, which is not 0 to {count - 1}")
        else:
            grades[code] = int(grade)
    if faults or not grades:
        raise DataFault(f"{where}: {several(faults) or 'no rows'}")
    return grades


examine = partial(images.examine, layout=layout)
pack = partial(images.pack, layout=layout, unsplit="classes")

__all__ = ["INFO", "examine", "find", "pack"]
