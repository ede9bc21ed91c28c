"""Faults of figures and cost tables, each with its key and the legal choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import spec_files

FIGURE = """
title = "strips"
[figure]
kind = "dissolving"
{line}
[settings]
method = "dia"
{settings}
[grid]
dataset = ["phantom", "pneumonia_mnist"]
"""


@pytest.mark.parametrize(
    ("line", "settings", "told"),
    [
        ("stepz = [1]", "", 'figure.stepz: unknown key; did you mean "steps"?'),
        (
            "batch = 2",
            "",
            'figure.batch: does nothing for the kind "dissolving", which takes steps, images, pages',
        ),
        ("steps = []", "", "figure.steps: is empty"),
        ("steps = [1, 1]", "", "figure.steps: 1 is given more than once"),
        ("steps = [1000]", "", "figure.steps[1]: must be less than 1000, not 1000"),
        (
            'pages = "datasets"',
            "",
            'figure.pages: "datasets" is not an axis of this spec; did you mean "dataset"?',
        ),
        (
            "steps = [500]",
            "diffusion.times = [0, 400]",
            "figure.kind: the steps 500 to 500 leave diffusion.times",
        ),
        ("", 'dissolve.op = "gaussian"', 'figure.kind: dissolve.op = "gaussian" has no step t'),
    ],
)
def test_a_faulty_figure(tmp_path: Path, line: str, settings: str, told: str) -> None:
    (found,) = spec_files.faults(tmp_path, FIGURE.format(line=line, settings=settings))
    assert found.startswith(told)


CURVES = """
title = "curves"
[figure]
kind = "curves"
{line}
[table]
rows = ["dataset"]
columns = ["data.lesion_radius"]
[settings]
method = "pixel_knn"
[grid]
dataset = ["phantom", "phantom_coarse"]
"data.lesion_radius" = [0.03, 0.09]
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('along = "data.lesion_radius"\npanels = "dataset"', ""),
        ("", "figure.along: is not given"),
        ('along = "dataset"', 'figure.along: "dataset" is no axis of numbers'),
        (
            'along = "data.lesion_radiu"',
            'figure.along: "data.lesion_radiu" is not an axis of this spec; did you',
        ),
        ('along = "data.lesion_radius"\npanels = "case"', 'figure.panels: "case" is not an axis'),
        ('along = "data.lesion_radius"\nsteps = [1]', "figure.steps: does nothing for the kind"),
    ],
)
def test_curves_go_along_an_axis_of_numbers(tmp_path: Path, line: str, told: str) -> None:
    found = spec_files.faults(tmp_path, CURVES.format(line=line))
    assert [one[: len(told)] for one in found] == [told] * bool(told)


def test_a_kind_that_there_is_not(tmp_path: Path) -> None:
    text = FIGURE.format(line="", settings="").replace("dissolving", "disolving")
    (found,) = spec_files.faults(tmp_path, text)
    assert found.startswith("figure.kind: ")
    assert '"dissolving"' in found


def test_a_figure_without_fault(tmp_path: Path) -> None:
    text = FIGURE.format(line='steps = [1, 100.0]\npages = "dataset"', settings="")
    figure = spec_files.load(tmp_path, text).figure
    assert figure is not None
    assert (figure.steps, figure.pages, figure.images) == ((1, 100), "dataset", 1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('metric = "macs"\nextra = ["auroc"]', 'table.extra: "auroc" is no cost'),
        ('extra = ["macs"]', 'table.extra: runs do not count "macs"'),
    ],
)
def test_costs_and_scores_do_not_mix(tmp_path: Path, line: str, told: str) -> None:
    text = f'[table]\n{line}\n[settings]\nmethod = "dia"\ndataset = "phantom"\n'
    (found,) = spec_files.faults(tmp_path, text)
    assert found.startswith(told)
