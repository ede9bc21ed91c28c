"""The command line's ``--set key=value``, ``--only key=value,value`` and ``--seeds``: read, and checked like
a spec.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from suite.spec_check import Checker
from suite.vocabulary import SpecErrors, label_of, vocabulary


def parse_sets(options: Iterable[str]) -> dict[str, Any]:
    """``["train.batch=48", "shift=perm"]`` as settings. Values are TOML; what is no TOML is text; ``30,130``
    is a list.

    The same key twice, or no ``=``, raises :class:`SpecErrors`.
    """
    sets: dict[str, Any] = {}
    lines = []
    for option in options:
        name, equals, text = option.partition("=")
        name = name.strip()
        if not equals or not name:
            lines.append(f"--set: {option}: write key=value, such as train.batch=48")
        elif name in sets:
            lines.append(f"--set: {name}: is given twice")
        else:
            sets[name] = _meant(name, text.strip())
    if lines:
        raise SpecErrors(lines)
    return sets


def parse_only(options: Iterable[str]) -> dict[str, set[str]]:
    """``["method=dia,csi", "dataset=phantom"]`` as names and the texts that are let through. A name may come
    twice.
    """
    only: dict[str, set[str]] = {}
    lines = []
    for option in options:
        name, equals, text = option.partition("=")
        # Commas inside brackets belong to one value: dissolve.steps=[30, 130],[130, 230].
        values = [part.strip() for part in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", text) if part.strip()]
        if not equals or not name.strip() or not values:
            lines.append(f"--only: {option}: write key=value or key=value,value, such as method=dia,csi")
        else:
            only.setdefault(name.strip(), set()).update(_label(value) for value in values)
    if lines:
        raise SpecErrors(lines)
    return only


def check_sets(sets: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, dotted or nested, as flat checked ones."""
    checker = Checker("--set")
    flat = checker.settings("", sets)
    if checker.lines:
        raise SpecErrors(checker.lines)
    return flat


def check_only(only: Mapping[str, Collection[str]]) -> dict[str, set[str]]:
    """The texts that are let through, in the spelling of labels too (``1`` is the ratio ``1.0``).

    A name or value that no spec could have is a slip; one that a spec merely lacks leaves it without cells.
    """
    lines = []
    spelled: dict[str, set[str]] = {}
    for name, texts in only.items():
        spelled[name] = set(texts)
        message = "use --profile" if name == "profile" else vocabulary().unknown(name, also=("case",))
        if message:
            lines.append(f"--only: {name}: {message}")
        for text in sorted(texts):
            if name in ("method", "dataset", "selection", "score_on"):
                fault = vocabulary().check(name, text)[1]
                lines += [f"--only: {name}: {fault}"] if fault else []
            elif name in vocabulary().fields:
                value, fault = vocabulary().check(name, _meant(name, text))
                spelled[name] |= set() if fault else {label_of(value)}
    if lines:
        raise SpecErrors(lines)
    return spelled


def check_seeds(seeds: Iterable[int]) -> tuple[int, ...]:
    """Seeds given instead of a spec's: whole numbers from 0 on, each once."""
    checker = Checker("--seeds")
    used = tuple(seeds)
    checker.repeated("seeds", used)
    if not used or min(used) < 0:
        checker.fault("seeds", "give one or more whole numbers from 0 on")
    if checker.lines:
        raise SpecErrors(checker.lines)
    return used


def _meant(name: str, text: str) -> Any:
    value = _toml(text)
    known = vocabulary()
    if isinstance(value, str) and "," in text and known.unknown(name) is None and known.check(name, value)[1]:
        listed = _toml(f"[{text}]")
        return listed if isinstance(listed, list) else value
    return value


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _label(text: str) -> str:
    return label_of(_toml(text)) if text.startswith("[") else text
