"""What CSI and DIA have to show besides scores, as artefacts named without torch: strips of dissolved images
(Figures 1, 4, 5, 7 to 11), target similarity matrices (3, 6), counted costs (Table 6), measured memory (14).

Each function takes the training settings, the data's identity and what a figure or table asks for, and says
what of them names the artefact, so that one serves all specs that would show the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from suite.dia import info
from suite.registry import Need
from suite.settings import Settings, canonical

APART = ("steps", "draw", "source", "bank")
"""Settings of a dissolver that a strip does not hang on by themselves: it goes through steps of its own, and
which model it uses stands in what it needs.
"""


def strip(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> Need:
    """Example images along the ``steps`` t, or along the blur ``kernels``."""
    dissolver = _dissolver(training)
    settings = canonical(dissolver) if dissolver is not None else {}
    along: dict[str, Any]
    if dissolver is None:
        raise ValueError("csi dissolves nothing, so there is no strip of dissolved images")
    if options["kind"] == "kernels":
        if not isinstance(dissolver, info.DissolveBlur):
            raise ValueError(f'dissolve.op = "{settings["op"]}" has no kernel: use "gaussian" or "median"')
        along = {"kernel": list(options["kernels"])}
        if even := [kernel for kernel in options["kernels"] if kernel % 2 == 0]:
            raise ValueError(f"a kernel has an odd number of pixels, not {even[0]}")
    elif "steps" not in type(dissolver).model_fields:
        raise ValueError(f'dissolve.op = "{settings["op"]}" has no step t')
    else:
        along = {"t": list(options["steps"])}
        _within_training(training, along["t"])
    needs = tuple(need for need in info.needs(training, data, 0) if need.kind == "diffusion")
    kept = {name: value for name, value in settings.items() if name not in (*APART, *along)}
    identity = {"data": _clean(data), "images": options["images"], "dissolve": kept, "along": along}
    label = f"strip of dissolved images ({_by(dissolver)})"
    return Need("strip", 1, identity, "suite.dia.strip:make", label, needs)


def _by(dissolver: Settings) -> str:
    if isinstance(dissolver, info.DissolveDiffusion):
        return f"model of {dissolver.source}" if dissolver.source else "its own model"
    op: str = dissolver.model_dump()["op"]
    return op


def _within_training(training: Settings, steps: list[int]) -> None:
    if isinstance(training, info.DiaDiffusion):
        first, last = training.diffusion.times
        if min(steps) < first or max(steps) > last:
            raise ValueError(
                f"the steps {min(steps)} to {max(steps)} leave diffusion.times [{first}, {last}], the steps that "
                "the diffusion model is trained on: widen diffusion.times"
            )


def mask(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> Need:
    """The target similarity matrix that the loss uses, for ``shifts`` shifts of ``batch`` images."""
    contrast = getattr(training, "contrast", None)
    design = contrast.design if isinstance(contrast, info.DesignedContrast) else "csi"
    identity = {"design": design, "shifts": options["shifts"], "batch": options["batch"]}
    return Need("mask", 1, identity, "suite.dia.contrast:make", f"target matrix ({design})", data={})


def cost(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> Need:
    """Parameters and multiply-accumulates of one image through the encoder and the dissolver."""
    identity = _networks(training, data, options)
    return Need("cost", 1, identity, "suite.dia.costs:make", "counted cost", data={})


def memory(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> Need:
    """The peak memory of training steps, with all that a step does."""
    assert isinstance(training, info.Contrastive)
    identity = {
        **_networks(training, data, options),
        "train": {"batch": training.train.batch, "optimiser": training.train.optimiser},
    }
    by = identity.get("dissolve", {}).get("op", "csi")
    label = f"memory of training, {by}, {identity['size']} px, batch {training.train.batch}"
    return Need("memory", 1, identity, "suite.dia.costs:make_memory", label, data={})


def _networks(training: Settings, data: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    assert isinstance(training, info.Contrastive)
    identity: dict[str, Any] = {
        "channels": options["channels"],
        "size": data["size"],
        "network": canonical(training.network),
    }
    if isinstance(training, info.DiaStable):
        raise ValueError("what Stable Diffusion costs is not counted")
    if (dissolver := _dissolver(training)) is not None:
        kept = canonical(dissolver)
        identity["dissolve"] = {name: kept[name] for name in ("op", "size", "kernel") if name in kept}
    if isinstance(training, info.DiaDiffusion):
        identity["dim"] = training.diffusion.dim
    return identity


def _dissolver(training: Settings) -> Settings | None:
    found = getattr(training, "dissolve", None)
    return found if isinstance(found, Settings) else None


def _clean(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "contamination"}
