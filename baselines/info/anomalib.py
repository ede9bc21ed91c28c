"""Facts of the methods ``anomalib/NAME``: any image model of the library anomalib that learns from normal images
alone, by its name there, under this suite's protocol.

They are what that library makes of the papers, with its deviations; Table 1's methods have implementations of their
own here. The library is an extra and takes long to import, so that its models and their options are read from its
source.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator

from baselines.info.common import Positive
from suite.registry import MethodFamily, MethodInfo
from suite.settings import Settings, setting

PACKAGE = "anomalib"
EXTRA = 'anomalib missing: pip install "dissolving-suite[anomalib]"'
BANKS = frozenset({"anomaly_dino", "dfkde", "dfm", "mh_patchcore", "padim", "patchcore", "rad", "super_add"})
"""Models that go through the training images once (or as often as they say themselves) and train nothing."""
_NO_IMAGES = {"cfm"}
"""Models of pairs of an image and a point cloud."""
_OURS = {"pre_processor", "post_processor", "evaluator", "visualizer"}
"""Arguments of a model that the suite gives itself."""
_PYTHON = {"True": True, "False": False, "None": None}


def _read(text: str) -> tuple[str, Any]:
    """``name=value``; the value as JSON (or True, False, None), and text where it is neither."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not name.isidentifier():
        raise ValueError(f'must be "name=value" with the name of an argument of the model, not {text!r}')
    if name in _OURS:
        raise ValueError(f"{name} is the suite's to give")
    try:
        return name, _PYTHON[value] if value in _PYTHON else json.loads(value)
    except ValueError:
        return name, value


def _tidied(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Options that mean the same, written the same: sorted by name, values as compact JSON or plain text."""
    read = dict(map(_read, texts))
    if len(read) < len(texts):
        raise ValueError("names an argument twice")
    return tuple(
        f"{name}={value if isinstance(value, str) and _read(f'_={value}')[1] == value else json.dumps(value)}"
        for name, value in sorted(read.items())
    )


class Library(Settings):
    """``anomalib.*``: what is asked of the library.

    ``input_size``: the side in pixels that images are brought to by the model's own pre-processing; without it the
    model's own, 256 for most. ``options``: further arguments of the model, ``"name=value"`` each
    (``"backbone=resnet18"``, ``"pre_trained=false"``, ``'layers=["layer2"]'``).
    """

    input_size: Positive | None = setting(None)
    options: Annotated[tuple[str, ...], AfterValidator(_tidied)] = setting(())

    @property
    def arguments(self) -> dict[str, Any]:
        """The options as the model's arguments."""
        return dict(map(_read, self.options))


class Budget(Settings):
    """``train.*`` of a model that is trained; everything else of its training is the library's. The library names no
    number of epochs.
    """

    epochs: Positive = setting(100)
    batch: Positive = setting(32)


class Bank(Settings):
    """A model that stores or fits what it saw of the training images. ``model`` is its name in the library."""

    model: ClassVar[str] = ""
    anomalib: Library = setting(Library())


class Trained(Bank):
    """A model that is trained by gradients."""

    train: Budget = setting(Budget())


def _source(name: str) -> Path | None:
    """The file of a model's Lightning module; None when the library is not installed."""
    package = find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0], "models", "image", name, "lightning_model.py")


@cache
def names() -> tuple[str, ...]:
    """The models of the installed library that learn from normal images alone; none when it is not installed."""
    every = _source("*")
    if every is None:
        return ()
    found = every.parent.parent.glob("*/lightning_model.py")
    alone = (path for path in found if "LearningType.ONE_CLASS" in path.read_text(encoding="utf-8"))
    return tuple(sorted({path.parent.name for path in alone} - _NO_IMAGES))


@cache
def arguments(name: str) -> tuple[str, ...]:
    """What ``anomalib.options`` may name for this model, read from its source."""
    path = _source(name)
    if path is None or not path.is_file():
        return ()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for part in ast.walk(tree):
        if isinstance(part, ast.ClassDef) and "AnomalibModule" in map(ast.unparse, part.bases):
            made = [one for one in part.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            given = [argument.arg for one in made for argument in (*one.args.args[1:], *one.args.kwonlyargs)]
            return tuple(argument for argument in given if argument not in _OURS)
    return ()


def _absent(name: str, training: Settings) -> str:
    if not names():
        return EXTRA
    assert isinstance(training, Bank)
    for wrong in training.anomalib.arguments.keys() - set(arguments(name)):
        there = f"it takes {', '.join(arguments(name))}" if arguments(name) else "it takes none"
        return f"anomalib.options: {PACKAGE}/{name} takes no {wrong}; {there}"
    return ""


def _notes(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    assert isinstance(training, Bank)
    side = training.anomalib.input_size
    resized = f"images of {data.get('size')} px resized to {side or 'the size of the library, 256 px for most models'}"
    lines = [f"{PACKAGE}'s implementation", f"{resized}{' px' * bool(side)}"]
    if training.anomalib.options:
        lines.append(f"options {', '.join(training.anomalib.options)}")
    if isinstance(training, Trained):
        lines.append("no early stopping, for which the library would look at a part of the test set")
    return tuple(lines)


@cache
def resolve(name: str) -> MethodInfo | None:
    """The facts of ``anomalib/NAME``. Without the library any name stands for a model, so that results that were
    computed elsewhere can be reported.
    """
    if name not in names() if names() else not name.isidentifier():
        return None
    base = Bank if name in BANKS else Trained
    hints = {"model": ClassVar[str]}
    members = {"__module__": __name__, "__doc__": base.__doc__, "__annotations__": hints, "model": name}
    model = cast(type[Bank], cast(Any, type(base))(name, (base,), members))
    return MethodInfo(
        name=f"{PACKAGE}/{name}",
        version=1,
        title=f"{PACKAGE} {name}",
        implementation="baselines.anomalib_model:AnomalibModel",
        training=lambda nested: model,
        models=(model,),
        notes=_notes,
        absent=lambda training: _absent(name, training),
        sizes="as the model takes",
        citation="Akcay et al., ICIP 2022",
        packages=(PACKAGE,),
    )


FAMILY = MethodFamily(
    name=PACKAGE,
    title="Any one-class image model of anomalib",
    resolve=resolve,
    names=names,
    models=(Bank, Trained),
    sizes="as the model takes",
    citation='pip install "dissolving-suite[anomalib]"',
)
