"""A run survives the way to another process, and a fit is taken over only when it serves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from suite.job import fit_serves, need_from_json, need_to_json, run_from_json, run_to_json
from suite.plan import Run
from suite.registry import Need

NEED = Need("diffusion", 1, {"size": 32}, "suite.dia.diffusion:make", "diffusion model")
RUN = Run(
    method="dia",
    dataset="phantom",
    seed=1,
    settings={"train.batch": 32},
    train={"method": "dia"},
    evaluation={"selection": "last"},
    train_key="a" * 64,
    eval_key="b" * 64,
    needs=(NEED,),
)


def _fit(folder: Path, *, weights: bool = True, snapshots: tuple[int, ...] = (), **facts: Any) -> Path:
    """A folder as a finished fit leaves it."""
    (folder / "checkpoints").mkdir()
    for number in snapshots:
        (folder / "checkpoints" / f"snapshot-{number}.pt").touch()
    if weights:
        (folder / "weights.pt").touch()
    plain = {"train_key": RUN.train_key, "digest": "d", "snapshots": [1, 2], **facts}
    (folder / "fit.json").write_text(json.dumps(plain))
    return folder


def test_what_an_artefact_needs_survives_json() -> None:
    strip = Need("strip", 1, {"t": [1]}, "fakes:show", needs=(NEED,), dataset="toy", data={"name": "toy"})
    assert need_from_json(json.loads(json.dumps(need_to_json(strip)))) == strip
    earlier = {"kind": "k", "version": 1, "identity": {}, "make": "m:f", "label": ""}
    assert need_from_json(earlier) == Need("k", 1, {}, "m:f")


def test_a_run_survives_json() -> None:
    assert run_from_json(json.loads(json.dumps(run_to_json(RUN)))) == RUN
    assert need_from_json(json.loads(json.dumps(need_to_json(NEED)))) == NEED


@pytest.mark.parametrize("wrong", [{}, {"method": "dia"}])
def test_what_is_no_run_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        run_from_json(wrong)


def test_a_finished_fit_serves(tmp_path: Path) -> None:
    assert not fit_serves(RUN, tmp_path)
    folder = _fit(tmp_path)
    assert fit_serves(RUN, folder)
    assert fit_serves(RUN, folder, "d")


def test_a_fit_of_other_settings_or_data_does_not(tmp_path: Path) -> None:
    folder = _fit(tmp_path)
    assert not fit_serves(replace(RUN, train_key="c" * 64), folder)
    assert not fit_serves(RUN, folder, "another digest")


def test_a_fit_whose_weights_are_gone_does_not(tmp_path: Path) -> None:
    assert not fit_serves(RUN, _fit(tmp_path, weights=False))


@pytest.mark.parametrize(("snapshots", "serves"), [((1, 2), True), ((1,), False), ((), False)])
def test_choosing_among_snapshots_needs_all_of_them(
    tmp_path: Path, snapshots: tuple[int, ...], serves: bool
) -> None:
    best = replace(RUN, evaluation={"selection": "best_val"})
    assert fit_serves(best, _fit(tmp_path, snapshots=snapshots)) is serves
