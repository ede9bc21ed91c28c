"""Verbs by which results travel: import, export, bundle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from suite import carry, registry, zips
from suite.assess import DataAtHand, History, assess
from suite.carry import Unfit
from suite.data.errors import DataFault
from suite.data.identity import data_settings
from suite.executors.display import duration
from suite.plan import Plan, Run
from suite.registry import UnknownNameError
from suite.store import Store
from suite.verbs import common
from suite.verbs.common import FAILED, OK, USAGE, Ask, say

if TYPE_CHECKING:
    from suite.bundle import Opened
    from suite.outcome import Outcome

MIB = 2**20


def import_(
    ask: Ask, paths: Sequence[Path], *, weights: bool = True, artefacts: bool = True, dry_run: bool = False
) -> int:
    """Merge the finished runs of other stores, folders or archives, into this one. Exit code 1 when something was
    not what it says, or is here with another result.
    """
    from suite.merge import Merge, unpacked

    store = ask.open()
    data = DataAtHand(store.root, ask.data_root)

    def digest(run: Run) -> str:
        try:
            return data.digest(run)
        except (UnknownNameError, ValueError):  # of a package that is not installed here
            return ""

    merge = Merge(store, digest, weights=weights, artefacts=artefacts, dry=dry_run)
    for path in paths:
        with unpacked(path) as root:
            if root.resolve() == store.root.resolve():
                raise DataFault(f"{path} is the store itself: name another with --store")
            with _progress(f"reading {path.name}") as progress:
                merged = merge.take(root, progress)
    for line in (*merged.left, *merged.conflicts):
        say(f"not taken: {line}")
    would = "would be imported (--dry-run)" if dry_run else "imported"
    counts = f"{merged.outcomes} outcomes of {len(merged.fits)} fits and {merged.artefacts} artefacts {would}"
    rest = (
        f"{merged.here} were here already, {len(merged.conflicts)} in conflict, {len(merged.left)} not taken"
    )
    say(f"{store.root}: {counts}; {rest}")
    faulty = [line for line in merged.left if not line.endswith("is not finished")]
    return FAILED if faulty or merged.conflicts else OK


def export(ask: Ask, out: Path, *, max_mib: float = 16, weights: bool = False) -> int:
    """Write the finished runs into numbered archives of at most so many MiB, each of which can be imported alone."""
    store, limit = ask.open(), int(max_mib * MIB)
    if list(out.glob("runs-*.zip")):
        say(f"{out}: holds archives already: name another folder")
        return USAGE
    wanted = {run.eval_key for plan in common.plans_of(ask) for run in plan.runs} if ask.specs else None
    left: list[str] = []
    group: dict[str, bytes] = {}
    size = count = 0
    written: list[Path] = []

    def flush() -> None:
        written.append(out / f"runs-{len(written) + 1:03}.zip")
        zips.write(written[-1], group)

    with _progress("exporting") as progress:
        for members in _units(store, wanted, weights, left, progress):
            own = zips.packed_size(members)
            if own > limit:
                # Weights may be what is too much; the results go all the same.
                left += [f"{name}: too large for {max_mib:g} MiB" for name in members if name.endswith(".pt")]
                members = {name: content for name, content in members.items() if not name.endswith(".pt")}
                own = zips.packed_size(members)
            if own > limit:
                left.append(f"{next(iter(members)).rsplit('/', 1)[0]}: too large for {max_mib:g} MiB")
                continue
            if group and size + own > limit:
                flush()
                group, size = {}, 0
            group |= members
            size += own
            count += sum(name.endswith("/outcome.json") for name in members)
    if not count and not group:
        say(f"{store.root}: nothing is finished, so there is nothing to export")
        return USAGE
    flush()
    for line in left:
        say(f"left out: {line}")
    names = written[0].name if len(written) == 1 else f"{written[0].name} to {written[-1].name}"
    say(f"{count} outcomes in {len(written)} archives: {out}: {names}; suite import {out}/runs-*.zip")
    return FAILED if left else OK


def _units(
    store: Store,
    wanted: set[str] | None,
    weights: bool,
    left: list[str],
    progress: Callable[[int, int], None],
) -> Iterator[dict[str, bytes]]:
    """What must stand in one archive: a fit with its evaluations, a measurement, the specs that are remembered."""
    places = carry.folders(store.root / "runs")
    for number, folder in enumerate(places):
        progress(number, len(places))
        try:
            run = carry.fit_in(folder)
            found = [
                (place, carry.outcome_in(place, run.train_key)) for place in carry.folders(folder / "eval")
            ]
        except Unfit as error:
            left.append(str(error))
            continue
        done = [place for place, one in found if one and (wanted is None or one.eval_key in wanted)]
        paths = [folder / name for name in carry.FIT] + (carry.weights_of(folder) if weights else [])
        paths += [place / name for place in done for name in carry.EVALUATION]
        if done:
            yield _read(store.root, paths)
    for artefact in carry.small_artefacts(store.root) if wanted is None else ():
        yield _read(store.root, [artefact / "done.json"])
    specs = [path for folder in carry.folders(store.root / "specs") for path in sorted(folder.rglob("*"))]
    if specs and wanted is None:
        yield _read(store.root, specs)


def _read(root: Path, paths: Sequence[Path]) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def bundle(ask: Ask, out: Path | None) -> int:
    """Write the bundle of one table."""
    from suite.bundle import contents
    from suite.tables.report import stem

    plan, store = _the_plan(ask), ask.open()
    try:
        members = contents(
            plan, store, assess(plan, store, data_root=ask.data_root), common.memory(plan, ask)
        )
    except Unfit as error:
        raise DataFault(f"{error}: suite run {plan.spec.name} computes it anew") from None
    target = out or Path(f"{stem(plan)}.zip")
    zips.write(target, members)
    done = sum(name.endswith("/outcome.json") for name in members)
    say(f"{target}: {done} of {len(plan.runs)} runs, profile {plan.profile}")
    say(f"check it by: suite bundle --check {target}")
    return OK


def _the_plan(ask: Ask) -> Plan:
    plans = common.plans_of(ask)
    if len(plans) != 1:
        raise DataFault(f"a bundle holds one table, not {len(plans)}: name one spec")
    if ask.profile is None and not (ask.sets or ask.seeds):
        plans = common.found_profiles(plans[0], History(ask.open()))
    if len(plans) > 1:
        names = ", ".join(plan.profile for plan in plans)
        raise DataFault(
            f"{plans[0].spec.name} has results under several profiles ({names}): choose by --profile"
        )
    return plans[0]


def check(ask: Ask, path: Path, *, cell: str | None, run: bool = True, device: str = "cpu") -> int:
    """Look through a bundle, render its table again, and run one of its runs again. Exit code 1 when anything is not
    as the bundle says.
    """
    from suite.bundle import opened

    with opened(path) as found:
        for line in found.faults:
            say(f"WRONG {line}")
        done = found.outcomes()
        if not found.faults:
            told = f"every file, key and score is as it says, and the table comes out the same ({len(done)} runs)"
            say(f"{path}: {told}")
        if not run or not done:
            return FAILED if found.faults else OK
        chosen = [pair for pair in done if pair[0].eval_key.startswith(cell.lower())] if cell else done
        if not chosen:
            keys = ", ".join(pair[0].eval_key[:8] for pair in done)
            say(f"--cell {cell}: no run of the bundle has a key that begins so: {keys}")
            return USAGE
        again = _run_again(ask, found, *chosen[0], device)
    return again or (FAILED if found.faults else OK)


def _run_again(ask: Ask, found: Opened, run: Run, theirs: Outcome, device: str) -> int:
    """Compute a run from its data on, in a store that is thrown away, and hold it against the bundled one."""
    from suite.bundle import compare
    from suite.job import Conditions
    from suite.run import execute

    what = f"{run.eval_key[:12]} ({run.method} on {run.dataset}, seed {run.seed})"
    if missing := _missing(ask, run):
        say(f"{what} is not run again: {missing}")
        return FAILED
    say(f"running {what} again; it took {duration(theirs.seconds)} on {theirs.environment.get('device')}")
    with tempfile.TemporaryDirectory(prefix="suite-bundle-") as name:
        mine = Store(Path(name))
        packs, own = ask.store / "artefacts" / carry.PACKS, mine.root / "artefacts" / carry.PACKS
        if packs.is_dir():  # data that are packed already are not packed again
            own.parent.mkdir(parents=True)
            own.symlink_to(packs.absolute(), target_is_directory=True)
        with _progress("running") as progress:
            conditions = Conditions(
                device=device,
                threads=int(theirs.environment.get("threads") or 1),
                data_root=ask.data_root,
                profile=theirs.profile,
                progress=lambda stage, done, total, metrics: progress(done, total),
            )
            try:
                ours = execute(run, mine, conditions)
            except Exception as error:
                say(f"WRONG {what} cannot be computed here: {type(error).__name__}: {error}")
                return FAILED
        tolerance = found.plan.spec.table.tolerance.absolute
        fine, told = compare(theirs, ours, (found.store, mine), tolerance)
    say(f"{'' if fine else 'WRONG '}{what}: {told}")
    return OK if fine else FAILED


def _missing(ask: Ask, run: Run) -> str:
    """Which command gets the data of a run (a check downloads nothing by itself); empty when they are at hand."""
    from suite.data import pack

    info = registry.dataset(run.dataset)
    if pack.find(info, data_settings(run.train["data"]), ask.store, ask.data_root) is None:
        return pack.missing(info)
    return DataAtHand(ask.store, ask.data_root).missing(run)


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, for what may take long."""
    from rich.progress import Progress

    console = common.console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task: Any = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total or None)
