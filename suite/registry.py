"""What methods and data sets exist, as facts that need neither torch nor the data.

A package adds a method by an entry point in the group ``dissolving_suite.methods`` that names a
:class:`MethodInfo`, and a data set by one in ``dissolving_suite.datasets`` that names a :class:`DataInfo`.
What is not installed as a package joins by the environment variable ``SUITE_PLUGINS``: ``module:NAME`` of
such objects, with commas between them; worker processes inherit it. A plugin may not take a name that is
there.

Methods too many to be listed one by one (the models of another library) are a :class:`MethodFamily`, by an entry
point in ``dissolving_suite.families``: its methods are called ``FAMILY/NAME``, and looked up when they are named.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib.metadata import entry_points
from typing import Any, TypeVar

from suite.settings import Settings, canonical, key_of

Place = tuple[str, str]
"""Kind and key of what is made once."""


@dataclass(frozen=True)
class Need:
    """An artefact that a run uses: its kind (a folder under ``artefacts/``) and what names it.

    ``identity`` is plain JSON; the artefact's key is the SHA-256 of ``{"kind", "version", "identity"}``, and
    of the keys of ``needs``, the artefacts that it is made from itself. ``make`` is
    ``package.module:function``, called as ``make(identity, dataset, context)`` where ``dataset`` is the
    packed data (:class:`suite.data.Pack`) and ``context`` a :class:`suite.detector.Context` whose folder the
    files go to; its ``artefacts`` are those of ``needs``.

    ``dataset`` (as a spec names it) and ``data`` (its identity) say which data it is made from; the plan
    fills in the run's own where ``data`` is None. With an empty ``data`` it is made from none, and ``make``
    gets None. ``identity`` names what of them matters. ``role`` tells several of a kind apart in what uses them.
    """

    kind: str
    version: int
    identity: Mapping[str, Any]
    make: str
    label: str = ""
    needs: tuple[Need, ...] = ()
    dataset: str = ""
    data: Mapping[str, Any] | None = None
    role: str = ""

    @property
    def name(self) -> str:
        """What the run or artefact that uses it finds it by."""
        return self.role or self.kind

    @property
    def place(self) -> Place:
        """Kind and key: where it stands in a store."""
        return self.kind, self.key

    @cached_property
    def key(self) -> str:
        payload = {"kind": self.kind, "version": self.version, "identity": dict(self.identity)}
        if self.needs:
            payload["needs"] = keys_by_name(self.needs)
        return key_of(payload)

    def made_from(self, dataset: str, data: Mapping[str, Any]) -> Need:
        """The same artefact; it, and what it needs, are made from these data where they name none of their
        own.
        """
        needs = tuple(need.made_from(dataset, data) for need in self.needs)
        if self.data is None:
            return replace(self, needs=needs, dataset=dataset, data=data)
        return replace(self, needs=needs) if needs else self

    def __str__(self) -> str:
        what = self.label or self.kind
        return f"{what} for {self.dataset}" if self.dataset else what


def keys_by_name(needs: Iterable[Need]) -> dict[str, str]:
    """The key of each of these artefacts under the name by which what uses them finds it."""
    return {need.name: need.key for need in needs}


def in_order(needs: Iterable[Need]) -> tuple[Need, ...]:
    """These artefacts and all that they need in turn, each once, what is needed before what needs it."""
    found: dict[Place, Need] = {}
    for need in needs:
        for one in (*in_order(need.needs), need):
            found.setdefault(one.place, one)
    return tuple(found.values())


def load(name: str) -> Any:
    """What ``package.module:name`` names, imported."""
    module, _, inside = name.partition(":")
    return getattr(importlib.import_module(module), inside)


class NoSettings(Settings):
    """For a method that has none."""


def _no_needs(training: Settings, data: Mapping[str, Any], seed: int) -> tuple[Need, ...]:
    return ()


def _no_notes(training: Settings, data: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


def _nothing_absent(training: Settings) -> str:
    return ""


@dataclass(frozen=True)
class MethodInfo:
    """Torch-free facts about a method.

    ``training(nested)`` returns the settings model that applies to these raw settings (a tagged union: DIA
    with the Gaussian dissolver has no ``diffusion.*``); ``models`` lists all models it may return, for the
    vocabulary. ``needs(training, data_identity, seed)`` names the artefacts. ``version`` changes when the
    method's meaning does. ``implementation`` is ``package.module:Class`` of a
    :class:`suite.detector.Detector`.

    ``offers`` are the artefacts that figures and cost tables may ask for, by kind (``strip``, ``mask``,
    ``cost``, ``memory``; see :mod:`suite.goals`): each ``package.module:function``, called as
    ``offer(training, data_identity, options)``, gives a Need, or raises ValueError when these settings have
    nothing of the kind to show. Its module does not import torch.

    ``notes(training, data_identity)`` says, a line each, where a run under these settings departs from the
    method as published (images resized, another backbone, other weights); the lines stand in the outcome and
    under the table. ``absent(training)`` says in one line what has to be got before it can run here (a file
    of weights, an extra), and how; empty when nothing has. ``sizes`` are the image sizes that it takes.
    ``packages`` are distributions that compute it and are none of the suite's own: the version of each that a run was
    fitted with stands in its outcome.
    """

    name: str
    version: int
    title: str
    implementation: str
    training: Callable[[Mapping[str, Any]], type[Settings]] = lambda nested: NoSettings
    models: tuple[type[Settings], ...] = (NoSettings,)
    scoring: type[Settings] = NoSettings
    needs: Callable[[Settings, Mapping[str, Any], int], tuple[Need, ...]] = _no_needs
    offers: Mapping[str, str] = field(default_factory=dict)
    notes: Callable[[Settings, Mapping[str, Any]], tuple[str, ...]] = _no_notes
    absent: Callable[[Settings], str] = _nothing_absent
    sizes: str = "any"
    citation: str = ""
    packages: tuple[str, ...] = ()

    def parse(self, nested: Mapping[str, Any]) -> Settings:
        """The training settings that raw ones (those of a run's key, say) stand for."""
        return self.training(nested).parse(nested)

    def load(self) -> type[Any]:
        """Import the Detector class (this is where torch comes in)."""
        return load(self.implementation)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class MethodFamily:
    """Torch-free facts about methods that share their settings, each called ``name/NAME``.

    ``resolve(NAME)`` gives a method's facts, None when there is no such method; ``names()`` those that are known to
    be there (it may be none, and a method still resolve). ``models`` and ``scoring`` are the settings of them all,
    for the vocabulary.
    """

    name: str
    title: str
    resolve: Callable[[str], MethodInfo | None]
    names: Callable[[], tuple[str, ...]] = tuple
    models: tuple[type[Settings], ...] = (NoSettings,)
    scoring: type[Settings] = NoSettings
    sizes: str = "any"
    citation: str = ""

    @property
    def pattern(self) -> str:
        """How its methods are called, for people."""
        return f"{self.name}/NAME"


@dataclass(frozen=True)
class DataInfo:
    """Torch-free facts about a data set. ``source`` is ``package.module:function`` that packs it (see
    suite.data).

    ``normal_classes`` are the labels that count as normal in the paper's set-up; ``sizes`` the sizes it can
    be packed at (empty: any), ``size`` the paper's. ``recipe`` is the version of the packing rule and stands
    in the keys. ``validation`` tells whether the set has a validation split of its own, ``split_rule`` how it
    is split; ``fixed_training`` that its source chose the training images of every class itself, so that they
    are the same whichever class is normal. ``counts`` are the published numbers of normal and anomalous images
    by split, ``published`` those of images by class, ``served`` what the source has where it is known to differ
    from them.
    ``channels`` 0: as the images turn out. ``obtain`` says how to get it; ``files`` are the names under which
    the data root may hold it. ``origin`` is where a ``folder:PATH`` lies on this machine: provenance, never
    in a key. ``lesions`` tells that its anomalies may be given another size and contrast by settings;
    ``options`` are those, for the packing function.
    """

    name: str
    title: str
    source: str
    size: int
    channels: int
    recipe: int = 1
    sizes: tuple[int, ...] = ()
    normal_classes: tuple[int, ...] = (0,)
    class_names: tuple[str, ...] = ()
    validation: bool = False
    licence: str = ""
    citation: str = ""
    url: str = ""
    faults: tuple[str, ...] = ()
    obtain: str = ""
    stand_in: bool = False
    origin: str = ""
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)
    served: Mapping[str, int] = field(default_factory=dict)
    split_rule: str = ""
    fixed_training: bool = False
    lesions: bool = False
    options: Mapping[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def pack(self) -> Callable[..., Any]:
        """Import the packing function."""
        return load(self.source)  # type: ignore[no-any-return]


STAND_IN = "stand_in:"
"""Before the name of a data set: phantoms that stand in for it (:mod:`suite.data.stand_in`)."""
logger = logging.getLogger("suite")
Info = TypeVar("Info", MethodInfo, MethodFamily, DataInfo)


class UnknownNameError(KeyError):
    """A method or data set that is not registered; carries the legal names."""

    def __init__(self, what: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name)
        self.what, self.name, self.known = what, name, known

    def __str__(self) -> str:
        return f"unknown {self.what} {self.name!r}; known: {', '.join(self.known)}"


def _installed(group: str) -> dict[str, Any]:
    """What installed packages add. One that cannot be imported is told of and left out: the others still work."""
    found = {}
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            found[point.name] = point.load()
        except (ImportError, AttributeError) as error:
            logger.warning("%s (%s) is left out: %s", point.name, point.value, error)
    return found


@cache
def _plugins() -> tuple[MethodInfo | MethodFamily | DataInfo, ...]:
    """What ``SUITE_PLUGINS`` names. ValueError with the faulty part when it cannot be had."""
    found = []
    for text in filter(None, (part.strip() for part in os.environ.get("SUITE_PLUGINS", "").split(","))):
        module, _, name = text.partition(":")
        try:
            info = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"SUITE_PLUGINS: {text} cannot be imported ({error}); write module:NAME"
            ) from error
        if not isinstance(info, MethodInfo | MethodFamily | DataInfo):
            raise ValueError(f"SUITE_PLUGINS: {text} is no MethodInfo, MethodFamily or DataInfo")
        found.append(info)
    return tuple(found)


def _joined(installed: dict[str, Info], kind: type[Info]) -> dict[str, Info]:
    for info in _plugins():
        if isinstance(info, kind):
            if info.name in installed:
                raise ValueError(f"SUITE_PLUGINS: there is a {info.name!r} already; give yours another name")
            installed[info.name] = info
    return installed


@cache
def methods() -> dict[str, MethodInfo]:
    """All registered methods by name, without those of families."""
    return _joined(_installed("dissolving_suite.methods"), MethodInfo)


@cache
def families() -> dict[str, MethodFamily]:
    """The registered families of methods by name."""
    return _joined(_installed("dissolving_suite.families"), MethodFamily)


def declared() -> dict[str, MethodInfo | MethodFamily]:
    """All that declares settings: the methods by name and the families by their pattern."""
    return {**methods(), **{family.pattern: family for family in families().values()}}


def known_method(name: str) -> MethodInfo | None:
    """One method's facts (``FAMILY/NAME`` included), None when there is no such method."""
    family, _, inside = name.partition("/")
    if inside and family in families():
        return families()[family].resolve(inside)
    return methods().get(name)


def method(name: str) -> MethodInfo:
    """One method's facts (``FAMILY/NAME`` included), or UnknownNameError."""
    found = known_method(name)
    if found is None:
        family = families().get(name.partition("/")[0])
        inside = tuple(f"{family.name}/{one}" for one in family.names()) if family else ()
        raise UnknownNameError(
            "method", name, inside or (*methods(), *(one.pattern for one in families().values()))
        )
    return found


@cache
def datasets() -> dict[str, DataInfo]:
    """The registered data sets by name (without other MedMNIST sets and ``folder:PATH``, which
    :func:`dataset` resolves).
    """
    from suite.data import catalogue

    return _joined({**catalogue.SHIPPED, **_installed("dissolving_suite.datasets")}, DataInfo)


def stands_in(name: str) -> bool:
    """Whether this is the name of a stand-in: no result on it is one on the data set that it stands in for."""
    return name.startswith(STAND_IN)


def dataset(name: str) -> DataInfo:
    """One data set's facts (``folder:PATH``, any MedMNIST 2D set and ``stand_in:NAME`` included), or
    UnknownNameError.
    """
    from suite.data import catalogue

    if stands_in(name):
        from suite.data import stand_in

        original = dataset(name.removeprefix(STAND_IN))
        if original.stand_in or original.origin:
            raise UnknownNameError("data set", name, (*datasets(), "folder:PATH"))
        return stand_in.facts(original)
    info = datasets().get(name) or catalogue.resolve(name)
    if info is None:
        raise UnknownNameError("data set", name, (*datasets(), "folder:PATH"))
    return info


__all__ = [
    "STAND_IN",
    "DataInfo",
    "MethodFamily",
    "MethodInfo",
    "Need",
    "NoSettings",
    "UnknownNameError",
    "canonical",
    "dataset",
    "datasets",
    "declared",
    "families",
    "in_order",
    "known_method",
    "load",
    "method",
    "methods",
    "stands_in",
]
