"""Verbs that tend the store: gc, sync."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suite import claims, files, resources
from suite.plan import Plan, expand
from suite.settings import KEY_LENGTH
from suite.spec import load_spec, profile_names
from suite.store import Store
from suite.verbs import common
from suite.verbs.common import FAILED, OK, USAGE, Ask, grid, say


@dataclass
class Reached:
    """What kept specs reach, as folder names."""

    fits: set[str] = field(default_factory=set)
    evaluations: set[str] = field(default_factory=set)
    artefacts: set[tuple[str, str]] = field(default_factory=set)
    data: set[tuple[str, int]] = field(default_factory=set)

    def add(self, plan: Plan) -> None:
        """Everything that a plan's runs use."""
        for run in plan.runs:
            self.fits.add(run.train_key[:KEY_LENGTH])
            self.evaluations.add(run.eval_key[:KEY_LENGTH])
            self._add_data(run.train["data"])
        for need in plan.artefacts:
            self.artefacts.add((need.kind, need.key[:KEY_LENGTH]))
            self._add_data(need.data)

    def _add_data(self, identity: Mapping[str, Any] | None) -> None:
        if identity:
            self.data.add((str(identity["name"]), int(identity["size"])))


def gc(ask: Ask, *, yes: bool = False) -> int:
    """List, and with ``yes`` remove, what no kept spec reaches. What is being worked on stays in any case."""
    store = ask.open()
    faults: list[str] = []
    if ask.specs:
        plans = common.plans_of(ask)
        every = [plan for one in plans for plan in [one, *_under_all_profiles(one)]]
    else:
        recorded, faults = common.remembered(store)
        every = [*recorded, *_shipped()]
    if faults:
        for fault in faults:
            say(fault)
        say("a remembered spec cannot be read, so what it reaches is not known: name the specs to keep")
        return USAGE
    reached = Reached()
    for plan in every:
        reached.add(plan)
    lost = [(path, files.size_of(path)) for path in unreachable(store, reached)]
    total = sum(size for _, size in lost)
    grid(
        ("not reached by a kept spec", "MB"),
        [(str(p.relative_to(store.root)), f"{s / 1e6:.1f}") for p, s in lost],
    )
    if not yes:
        say(f"{len(lost)} folders, {total / 1e6:.1f} MB; nothing is removed without --yes")
        return OK
    removed = [remove(path) for path, _ in lost]
    say(f"{sum(removed)} of {len(lost)} folders removed, {total / 1e6:.1f} MB")
    return OK if all(removed) else FAILED


def _shipped() -> Iterator[Plan]:
    for name in resources.names("specs"):
        spec = load_spec(name)
        yield from (expand(spec, profile=profile) for profile in profile_names())


def _under_all_profiles(plan: Plan) -> Iterator[Plan]:
    """A spec named without a profile keeps what it reaches under any."""
    return (expand(plan.spec, profile=name) for name in profile_names(plan.spec.path.parent))


def unreachable(store: Store, reached: Reached) -> Iterator[Path]:
    """Folders of the store that nothing kept reaches and nobody works in."""
    for fit in _inside(store.root / "runs"):
        if claims.held(fit):
            continue
        if fit.name not in reached.fits:
            yield fit
            continue
        yield from (one for one in _inside(fit / "eval") if one.name not in reached.evaluations)
    for kind in _inside(store.root / "artefacts"):
        for folder in _inside(kind):
            kept = (
                _data_of(folder) in reached.data
                if kind.name == "data"
                else (kind.name, folder.name) in reached.artefacts
            )
            if not kept and not claims.held(folder):
                yield folder


def _data_of(folder: Path) -> tuple[str, int]:
    """Name and size of a pack. The key of a pack hangs on the source's place too, which may be away just now."""
    manifest = files.peek_json(folder / "manifest.json")
    return str(manifest.get("name")), int(manifest.get("size", 0))


def remove(path: Path) -> bool:
    """Remove a folder unless somebody has begun to work in it; whether it is gone."""
    home = path.parent.parent if path.parent.name == "eval" else path
    try:
        held = claims.claim(home)
    except OSError as error:
        if error.errno not in files.FULL or claims.held(home):
            raise
        # No room for a claim: this is how room is made.
        files.remove(path)
        return True
    if held is None:
        return False
    with held:
        files.remove(path)
    return True


def _inside(folder: Path) -> list[Path]:
    # Names with a dot are being built or removed.
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and "." not in path.name)


def sync(ask: Ask, uri: str | None) -> int:
    """Bring MLflow up to date with the store. Exit code 1 with a warning when that did not work."""
    from suite import tracking

    store = ask.open()
    plans, faults = (common.plans_of(ask), []) if ask.specs else common.remembered(store)
    for fault in faults:
        say(fault)
    done = tracking.sync(_distinct(common.latest(plans)), store, uri, data_root=ask.data_root)
    say(f"{done.uri}: {done.cells} cells, {done.seeds} runs and {done.reports} tables or figures written")
    return FAILED if done.warning or faults else OK


def _distinct(plans: Iterable[Plan]) -> list[Plan]:
    return list(
        {
            (
                plan.spec.name,
                plan.profile,
                *(r.eval_key for r in plan.runs),
                *(g.key for g in plan.goals),
            ): plan
            for plan in plans
        }.values()
    )
