"""Making artefacts: once, under a claim on their folder, however many runs want them."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import files
from suite.detector import Context, Interrupted, derive_seed
from suite.job import Busy, Conditions
from suite.recorder import Recorder
from suite.registry import Need
from suite.store import Store, now

if TYPE_CHECKING:
    from suite.data.pack import Pack

POLL = 0.3


def usable(store: Store, need: Need, pack: Pack) -> dict[str, Any] | None:
    """The facts of a finished artefact that was made from these very data, else None."""
    facts = store.artefact(need)
    return facts if facts is not None and facts.get("data") == pack.digest else None


def ensure(
    need: Need, pack: Pack, store: Store, conditions: Conditions, stop: Callable[[], bool]
) -> dict[str, Any]:
    """The facts of an artefact; it is made if need be, or waited for while another process makes it.

    Raises Interrupted when asked to stop, and whatever its maker raises.
    """
    while True:
        if (facts := usable(store, need, pack)) is not None:
            return facts
        try:
            return make(need, pack, store, conditions, stop)
        except Busy:
            conditions.progress(f"waiting for {need.label or need.kind}", 0, 0, {})
        if stop():
            raise Interrupted
        time.sleep(POLL)


def make(
    need: Need, pack: Pack, store: Store, conditions: Conditions, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Make an artefact, unless it is there. Busy when another process is at it."""
    folder = store.artefact_folder(need.kind, need.key)
    held = store.claim(folder, kind=need.kind)
    if held is None:
        raise Busy(f"another process makes the {need.label or need.kind}")
    with held:
        if (facts := usable(store, need, pack)) is not None:
            return facts
        return _make(need, pack, folder, conditions, lambda: stop() or held.lost)


def _make(
    need: Need, pack: Pack, folder: Path, conditions: Conditions, stop: Callable[[], bool]
) -> dict[str, Any]:
    import torch

    from suite.cost import peak_memory_mb
    from suite.provenance import environment
    from suite.stages import seed_everything

    (folder / "done.json").unlink(missing_ok=True)
    _settle_data(folder, pack.digest)
    recorder = Recorder(folder, conditions.progress)
    meter = recorder.begin(resuming=(folder / "resume.pt").exists())
    seed_everything(
        derive_seed(int(need.identity.get("seed", 0)), "global"), conditions.device, conditions.threads
    )
    context = Context(
        device=torch.device(conditions.device),
        seed=int(need.identity.get("seed", 0)),
        folder=folder,
        checkpoint_every=conditions.checkpoint_every,
        progress=recorder.stage("fit"),
        stop=stop,
    )
    module, _, name = need.make.partition(":")
    made = getattr(importlib.import_module(module), name)(dict(need.identity), pack, context)
    recorder.flush()
    facts = {
        "format": 1,
        "kind": need.kind,
        "key": need.key,
        "version": need.version,
        "identity": dict(need.identity),
        "data": pack.digest,
        "facts": made,
        "cost": {
            "seconds": round(meter.seconds, 3),
            "cpu_seconds": round(meter.cpu_seconds, 3),
            "peak_memory_mb": peak_memory_mb(),
        },
        "environment": {**environment(), "device": conditions.device, "threads": conditions.threads},
        "finished": now(),
    }
    files.write_json(folder / "done.json", facts)
    (folder / "resume.pt").unlink(missing_ok=True)
    recorder.close(finished=True)
    return facts


def _settle_data(folder: Path, digest: str) -> None:
    """A checkpoint made from other data is of no use."""
    if files.peek_json(folder / "origin.json").get("data", digest) != digest:
        (folder / "resume.pt").unlink(missing_ok=True)
        (folder / "progress.json").unlink(missing_ok=True)
    files.write_json(folder / "origin.json", {"data": digest}, durable=False)
