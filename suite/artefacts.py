"""Making artefacts: once, under a claim on their folder, however many runs want them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import files, registry, seals
from suite.data import pack as packs
from suite.data.identity import data_settings
from suite.detector import Context, Interrupted, derive_seed
from suite.devices import device_name
from suite.job import Busy, Conditions
from suite.recorder import Recorder
from suite.registry import Need
from suite.store import Store, now

if TYPE_CHECKING:
    from suite.data.pack import Pack

POLL = 0.3
BESIDE = {"claim.json", "origin.json", "state.json", "progress.json", "metrics.jsonl", "environment.json"}
BESIDE |= {"log.txt", "resume.pt"}
"""What lies in an artefact's folder beside what was made."""


def usable(store: Store, need: Need, pack: Pack | None) -> dict[str, Any] | None:
    """The facts of a finished artefact that was made from these very data, else None."""
    facts = store.artefact(need, thorough=True)
    return facts if facts is not None and facts.get("data") == _digest(pack) else None


def pack_of(need: Need, store: Store, conditions: Conditions) -> Pack | None:
    """The data that an artefact is made from, packed first if need be; None for one that needs none."""
    if need.data is None:
        raise ValueError(f"the {need} does not say which data it is made from")
    if not need.data:
        return None
    settings = data_settings(need.data)
    return packs.load(registry.dataset(need.dataset), settings, store.root, conditions.data_root)


def ensure(need: Need, store: Store, conditions: Conditions, stop: Callable[[], bool]) -> dict[str, Any]:
    """The facts of an artefact; it is made if need be, or waited for while another process makes it.

    Raises Interrupted when asked to stop, and whatever its maker raises.
    """
    pack = pack_of(need, store, conditions)
    while True:
        if (facts := usable(store, need, pack)) is not None:
            # (Still there, where its maker was killed at the very end.)
            (store.artefact_folder(*need.place) / "resume.pt").unlink(missing_ok=True)
            return facts
        try:
            return make(need, store, conditions, stop)
        except Busy:
            conditions.progress(f"waiting for {need.label or need.kind}", 0, 0, {})
        if stop():
            raise Interrupted
        time.sleep(POLL)


def make(
    need: Need, store: Store, conditions: Conditions, stop: Callable[[], bool], *, anew: bool = False
) -> dict[str, Any]:
    """Make an artefact, and first what it needs itself, unless it is there (or though it is: ``anew``).

    Busy when another process is at it.
    """
    folder = store.artefact_folder(*need.place)
    pack = pack_of(need, store, conditions)
    for inner in need.needs:
        ensure(inner, store, conditions, stop)
    held = store.claim(folder, kind=need.kind)
    if held is None:
        raise Busy(f"another process makes the {need.label or need.kind}")
    with held:
        if not anew and (facts := usable(store, need, pack)) is not None:
            return facts
        parts = {inner.name: store.artefact_folder(inner.kind, inner.key) for inner in need.needs}
        return _make(need, pack, folder, parts, conditions, lambda: stop() or held.lost)


def _make(
    need: Need,
    pack: Pack | None,
    folder: Path,
    parts: dict[str, Path],
    conditions: Conditions,
    stop: Callable[[], bool],
) -> dict[str, Any]:
    import torch

    from suite import cost
    from suite.provenance import environment, write_lock
    from suite.stages import seed_everything

    files.sweep(folder)
    for stale in ("done.json", "state.json"):
        (folder / stale).unlink(missing_ok=True)
    _settle_data(folder, _digest(pack))
    recorder = Recorder(folder, conditions.progress)
    meter = recorder.begin(resuming=(folder / "resume.pt").exists())
    cost.reset_peak_memory(conditions.device)
    seed_everything(
        derive_seed(int(need.identity.get("seed", 0)), "global"), conditions.device, conditions.threads
    )
    context = Context(
        device=torch.device(conditions.device),
        seed=int(need.identity.get("seed", 0)),
        artefacts=parts,
        folder=folder,
        checkpoint_every=conditions.checkpoint_every,
        progress=recorder.stage("fit"),
        stop=stop,
    )
    with files.blaming_the_disk(folder):
        made = registry.load(need.make)(dict(need.identity), pack, context)
    recorder.flush()
    made_in = {**environment(), "device": device_name(conditions.device), "threads": conditions.threads}
    write_lock(folder, made_in)
    facts = {
        "format": 1,
        "kind": need.kind,
        "key": need.key,
        "version": need.version,
        "identity": dict(need.identity),
        "needs": registry.keys_by_name(need.needs),
        "data": _digest(pack),
        "facts": made,
        "cost": {
            "seconds": round(meter.seconds, 3),
            "cpu_seconds": round(meter.cpu_seconds, 3),
            **cost.peaks(conditions.device),
        },
        "environment": made_in,
        "files": seals.of(folder, (path for path in folder.iterdir() if _is_product(path))),
        "finished": now(),
    }
    files.write_json(folder / "done.json", facts)
    (folder / "resume.pt").unlink(missing_ok=True)
    recorder.close(finished=True)
    return facts


def _is_product(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name not in BESIDE


def _digest(pack: Pack | None) -> str:
    return pack.digest if pack is not None else ""


def _settle_data(folder: Path, digest: str) -> None:
    """A checkpoint made from other data is of no use."""
    if files.peek_json(folder / "origin.json").get("data", digest) != digest:
        (folder / "resume.pt").unlink(missing_ok=True)
        (folder / "progress.json").unlink(missing_ok=True)
    files.write_json(folder / "origin.json", {"data": digest}, durable=False)
