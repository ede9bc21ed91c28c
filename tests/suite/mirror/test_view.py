"""The view that an experiment opens with."""

from __future__ import annotations

import json
from pathlib import Path

from fabric import plan_of

from suite.mirror import view


def test_a_table_opens_in_its_order_with_mean_and_std(tmp_path: Path) -> None:
    tags = view.tags(plan_of(tmp_path), ())
    saved = json.loads(tags[view.VIEW])
    assert saved["name"] == view.TITLE
    state = json.loads(saved["state"])
    assert state["selectedColumns"][:3] == [f"metrics.`auroc_{part}`" for part in ("mean", "std", "n")]
    assert (state["orderByKey"], state["orderByAsc"]) == ("tags.`suite.row`", True)


def test_a_search_opens_with_its_best_trial_above(tmp_path: Path) -> None:
    state = json.loads(json.loads(view.tags(plan_of(tmp_path), ("train.lr",))[view.VIEW])["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`objective`", False)
    assert {"params.`train.lr`", "tags.`suite.best`"} <= set(state["selectedColumns"])


def test_address() -> None:
    assert view.address("http://127.0.0.1:5000/", "7").startswith(
        "http://127.0.0.1:5000/#/experiments/7/runs?"
    )
