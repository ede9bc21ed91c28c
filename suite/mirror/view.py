"""How an experiment opens in MLflow's pages: in the order of the table, with the columns that a reader looks for.

MLflow keeps a view that somebody has saved in a tag of the experiment and opens it by its name in the address; this
is such a view, so it stands in the menu of views too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from suite.plan import Plan

NAME = "suite"
TITLE = "Cells: mean, std, n"
PAGES, KIND = "machine_learning", "mlflow.experimentKind"
VIEW = f"mlflow.sharedViewState.{NAME}"


def tags(plan: Plan, searched: tuple[str, ...]) -> dict[str, str]:
    """The tags of an experiment; ``searched``: the settings that its trials vary, none if it is no search."""
    metric = plan.spec.table.metric
    statistics = [f"metrics.`{metric}_{part}`" for part in ("mean", "std", "n")]
    if searched:
        columns = ["metrics.`objective`", "tags.`suite.trial_state`", "tags.`suite.best`"]
        columns += [f"params.`{name}`" for name in searched] + statistics
        order, rising = "metrics.`objective`", False
    elif plan.goals:
        columns, order, rising = ["tags.`suite.complete`"], "tags.`suite.row`", True
    else:
        names = ("method", "dataset", "complete", "profile", "selection")
        columns = [*statistics, f"metrics.`{metric}`", *(f"tags.`suite.{name}`" for name in names)]
        order, rising = "tags.`suite.row`", True
    state = {
        "selectedColumns": columns,
        "columnOrder": columns,
        "orderByKey": order,
        "orderByAsc": rising,
    }
    saved = {"name": TITLE, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    # For models that are trained, instead of the pages for language models that an experiment opens with otherwise.
    return {KIND: "custom_model_development", VIEW: json.dumps(saved), "suite.spec": plan.spec.name}


def address(base: str, experiment: str) -> str:
    """Where an experiment opens, of pages served at ``base``."""
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?viewStateShareKey={NAME}&workflowType={PAGES}"
