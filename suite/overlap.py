"""What several plans have in common: the same experiment in two tables is computed once.

The paper prints DIA's main result in nine of its tables; a run is named by what it computes, so here it is one
run, one training and one diffusion model, however many specs ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from suite.plan import Plan

MODEL = "diffusion"
"""The kind of artefact that costs as much as a training."""


@dataclass(frozen=True)
class Overlap:
    """``asked``: the sum over the specs, each on its own; ``distinct``: what remains when they share."""

    specs: int
    asked_runs: int
    asked_trainings: int
    asked_artefacts: int
    asked_diffusion_models: int
    distinct_runs: int
    distinct_trainings: int
    distinct_artefacts: int
    distinct_diffusion_models: int

    def to_json(self) -> dict[str, int]:
        """A plain JSON object."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """``3 specs ask for 135 runs ...; 96 runs ... are distinct``; empty for a single spec."""
        if self.specs < 2:
            return ""
        asked = _counted(self.asked_runs, self.asked_trainings, self.asked_diffusion_models)
        distinct = _counted(self.distinct_runs, self.distinct_trainings, self.distinct_diffusion_models)
        return f"{self.specs} specs ask for {asked}; distinct are {distinct}"


def overlap(plans: Iterable[Plan]) -> Overlap:
    """Count what the plans need each on its own, and together."""
    every = list(plans)
    models = [{need.key for need in plan.artefacts if need.kind == MODEL} for plan in every]
    return Overlap(
        specs=len(every),
        asked_runs=sum(len(plan.runs) for plan in every),
        asked_trainings=sum(len(plan.fits) for plan in every),
        asked_artefacts=sum(len(plan.artefacts) for plan in every),
        asked_diffusion_models=sum(map(len, models)),
        distinct_runs=len({run.eval_key for plan in every for run in plan.runs}),
        distinct_trainings=len({run.train_key for plan in every for run in plan.fits}),
        distinct_artefacts=len({need.place for plan in every for need in plan.artefacts}),
        distinct_diffusion_models=len(set().union(*models)),
    )


def _counted(runs: int, trainings: int, models: int) -> str:
    return f"{runs} runs ({trainings} trainings) and {models} diffusion models"
