"""Claims are recomputed from the numbers: a changed number changes the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from suite.tables import published
from suite.tables.claims import Claim, claims
from suite.tables.published import Published, Value

TABLES = published.load()
FOUND = claims(TABLES)


def claim(found: tuple[Claim, ...], words: str) -> Claim:
    (one,) = [one for one in found if words in one.claimed]
    return one


@pytest.mark.parametrize(
    ("words", "holds", "told"),
    [
        (
            "18.40 %",
            False,
            "mean of the 6 relative gains over CSI 18.9 %, relative gain of the mean AUROC 16.4 %",
        ),
        ("14 previous methods", False, "Table 1 has 13 beside DIA"),
        ("four out of six", True, "on 4 of 6"),
        ("RD4AD", True, "breast_mnist, retinal_oct"),
        ("significantly outperforms CSI", False, "ahead on 6 of 6 data sets"),
        ("significant boost against CSI", False, "ahead on 15 of 24 cells of Table 7"),
        ("not as performant", False, "6 of 24 pairs"),
        ("one kernel for the gaussian", False, "sars_cov_2 k = 7; kvasir_polyp k = 3"),
        ("csi averages 94.3 on cifar10", True, "the 10 classes average 94.28"),
        ("dia (b) averages 86.2 on cifar100", True, "the 20 classes average 86.19"),
    ],
)
def test_what_the_paper_claims(words: str, holds: bool, told: str) -> None:
    one = claim(FOUND, words)
    assert one.holds is holds
    assert told in one.recomputed
    assert one.verdict == ("holds" if holds else "does not hold")


def test_all_six_averages_are_recomputed() -> None:
    averages = [one for one in FOUND if "averages" in one.claimed and "Table 13" in one.claimed]
    assert len([one for one in averages if one.claimed.startswith("Table 13: ")]) == 6


def changed(table: str, means: Callable[[Value], float | None]) -> dict[str, Published]:
    """The published tables with other means in one of them."""
    values = tuple(replace(value, mean=means(value)) for value in TABLES[table].values)
    return {**TABLES, table: replace(TABLES[table], values=values)}


def lowered(amount: float, **where: Any) -> Callable[[Value], float | None]:
    def mean(value: Value) -> float | None:
        hit = all(value.where.get(name.replace("__", ".")) == one for name, one in where.items())
        return value.mean if value.mean is None or not hit else value.mean - amount

    return mean


def test_other_numbers_give_other_answers() -> None:
    worse = claims(changed("table1", lowered(0.5, method="dia")))
    assert not claim(worse, "four out of six").holds
    assert "ahead on 0 of 6 data sets" in claim(worse, "significantly outperforms CSI").recomputed
    wrong = claims(changed("table13", lowered(0.05, dataset="cifar10", method="csi", data__normal_class=[3])))
    assert not claim(wrong, "csi averages 94.3 on cifar10").holds
    blurs = claims(changed("table7", lambda value: 0.99))
    assert "ahead on 24 of 24" in claim(blurs, "significant boost against CSI").recomputed
    assert not claim(blurs, "less performant").holds
