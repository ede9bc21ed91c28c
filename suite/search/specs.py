"""The specs that a search writes: its trials as the cases of a table, and its winner beside the reference."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from suite.search.space import label
from suite.search.study import Trial

if TYPE_CHECKING:
    from suite.spec import Spec

REFERENCE = "Reference"
"""The settings of the search's own spec, with nothing put in their place: the paper's, usually."""


def named(trial: Trial) -> str:
    """How a trial is called in the table of the trials."""
    return f"{label(trial.settings)} (trial {trial.number})"


def trials(spec: Spec, ended: Iterable[Trial], profile: str) -> str:
    """All trials that a run was made for, and the reference, on the validation images."""
    cases = [(named(one), one.settings) for one in ended if one.values]
    title = f"{spec.title}: trials"
    return _text(spec, title, profile, spec.settings, [*cases, (REFERENCE, {})], spec.seeds)


def winner(spec: Spec, best: Trial, profile: str) -> str:
    """The best trial and the reference on the test images, with seeds that the search has not seen."""
    settings = {name: value for name, value in spec.settings.items() if name != "score_on"}
    cases = [(f"Found: {label(best.settings)}", best.settings), (REFERENCE, {})]
    assert spec.search is not None
    fresh = spec.search.section.fresh or tuple(
        range(max(spec.seeds) + 1, max(spec.seeds) + 1 + len(spec.seeds))
    )
    return _text(
        spec, f"{spec.title}: the winner on the test images", profile, settings, cases, fresh, REFERENCE
    )


def _text(
    spec: Spec,
    title: str,
    profile: str,
    settings: Mapping[str, Any],
    cases: Sequence[tuple[str, Mapping[str, Any]]],
    seeds: Sequence[int],
    compare: str = "",
) -> str:
    lines = [f"# Written by a search: suite search {spec.name}", f"title = {_toml(title)}"]
    lines += [
        f"seeds = {_toml(list(seeds))}",
        f"profile = {_toml(profile)}",
        "",
        "[table]",
        'rows = ["case"]',
    ]
    lines += [f"compare = {_toml(compare)}"] * bool(compare)
    lines += ["", "[settings]", *_settings(settings)]
    for name, values in cases:
        lines += ["", "[[case]]", f"label = {_toml(name)}", "[case.set]", *_settings(values)]
    for override in spec.overrides:
        lines += ["", "[[override]]", "[override.where]", *_settings(override.where)]
        lines += ["[override.set]", *_settings(override.set)]
    return "\n".join(lines) + "\n"


def _settings(values: Mapping[str, Any]) -> list[str]:
    return [f"{_toml(name)} = {_toml(value)}" for name, value in values.items()]


def _toml(value: Any) -> str:
    """Text, numbers, truth values and lists of them; for these TOML writes what JSON does."""
    return json.dumps(value, ensure_ascii=True)
