"""Specs written by the tests, and a store whose outcomes they make up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.plan import Plan, expand
from suite.spec import Spec, SpecErrors, load_spec

SMALL = """
title = "a small spec"
seeds = [0, 1]

[table]
rows = ["case"]
columns = ["dataset"]

[[case]]
label = "CSI"
set = { method = "csi" }
[[case]]
label = "DIA"
set = { method = "dia" }

[grid]
dataset = ["pneumonia_mnist", "phantom"]
"""


def write(folder: Path, text: str, name: str = "spec.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str) -> Spec:
    return load_spec(write(folder, text))


def plan(folder: Path, text: str, **options: Any) -> Plan:
    return expand(load(folder, text), **options)


def faults(folder: Path, text: str) -> list[str]:
    """The lines of a wrong spec, without the file's name; empty when nothing is wrong with it."""
    path = write(folder, text)
    lines: tuple[str, ...] = ()
    try:
        load_spec(path)
    except SpecErrors as errors:
        lines = errors.messages
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]
