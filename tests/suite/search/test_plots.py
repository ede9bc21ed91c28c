"""Optuna's pictures are drawn of what there is, and of nothing there are none."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from PIL import Image

from suite.search import plots


def study(trials: int, names: tuple[str, ...]) -> optuna.Study:
    made = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize")
    made.optimize(lambda trial: sum(trial.suggest_float(name, 0, 1) for name in names), n_trials=trials)
    return made


@pytest.mark.parametrize(
    ("trials", "names", "kinds"),
    [
        (0, ("x",), []),
        (3, ("x", "y"), ["history", "slice"]),
        (8, ("x",), ["history", "slice"]),
        (8, ("x", "y"), ["history", "slice", "importance", "contour"]),
    ],
)
def test_what_is_drawn(tmp_path: Path, trials: int, names: tuple[str, ...], kinds: list[str]) -> None:
    written = plots.write(study(trials, names), "steps", tmp_path)
    assert written == [tmp_path / f"steps-{kind}.{mark}" for kind in kinds for mark in ("png", "pdf")]
    for path in written:
        if path.suffix == ".png":
            assert min(Image.open(path).size) > 300
        else:
            assert path.read_bytes().startswith(b"%PDF")
