"""Which images a report may pass on: only what is known to be free for everybody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from suite import registry
from suite.data.licence import redistributable


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC BY 4.0", True),
        ("CC BY-SA 3.0", True),
        ("CC0", True),
        ("CC0 1.0", True),
        ("Apache-2.0 (generated)", True),
        ("MIT", True),
        ("public domain", True),
        ("CC BY-NC 4.0", False),
        ("CC BY-NC-SA 4.0", False),
        ("CC BY-ND 4.0", False),
        ("free for research and education", False),
        ("Kaggle competition rules", False),
        ("the user's own", False),
        ("not known; MIT", False),
        ("", False),
    ],
)
def test_known_licences(licence: str, free: bool) -> None:
    assert redistributable(replace(registry.dataset("phantom"), licence=licence)) is free


def test_shipped_sets_and_peoples_own_images() -> None:
    assert redistributable(registry.dataset("pneumonia_mnist"))
    assert redistributable(registry.dataset("phantom"))
    for name in ("derma_mnist", "sars_cov_2", "kvasir_polyp", "aptos_2019", "folder:mine"):
        assert not redistributable(registry.dataset(name))
