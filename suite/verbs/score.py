"""The verb score: a finished run's detector on a folder of new images, to a CSV of ids and scores."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from suite import files, job, seals
from suite.data.errors import DataFault
from suite.job import Conditions
from suite.registry import stands_in
from suite.store import Store
from suite.verbs.common import USAGE, Ask, say
from suite.verbs.inspect import Found, NotFoundError, find

if TYPE_CHECKING:
    from suite.plan import Run
    from suite.stages import Bench


def score(ask: Ask, prefix: str, folder: Path, out: Path | None, device: str, threads: int) -> int:
    """Score every image below ``folder`` with the kept weights of a run; ids are paths below it."""
    try:
        found = find(ask.open(), prefix)
        run = _run(found)
        ids, text = _scored(ask, found, run, folder, device, threads)
    except (NotFoundError, DataFault) as error:
        say(str(error))
        return USAGE
    target = out or Path(f"scores-{found.key}.csv")
    files.write_text(target, text)
    say(
        f"{len(ids)} images scored by {run.method} ({run.dataset}, seed {run.seed}), higher = more anomalous: {target}"
    )
    return 0


def _run(found: Found) -> Run:
    """The run as its files tell it: the fit's settings, and the evaluation's."""
    settings = files.peek_json(found.folder / "settings.json")
    if not settings or not (found.folder / "weights.pt").exists():
        raise NotFoundError(
            f"{found.key}: its weights are not kept; run it again with --force and another --keep"
        )
    run = job.run_from_json({name: value for name, value in settings.items() if name != "format"})
    if found.outcome is None:
        return run
    from dataclasses import replace

    outcome = found.outcome
    return replace(run, eval_key=outcome.eval_key, evaluation=outcome.evaluation, settings=outcome.settings)


def _scored(
    ask: Ask, found: Found, run: Run, folder: Path, device: str, threads: int
) -> tuple[list[str], str]:
    from suite import stages
    from suite.attempt import build, pack_of
    from suite.data import select
    from suite.data.archive import Files
    from suite.data.decode import decode_all
    from suite.data.layout import SUFFIXES, is_image
    from suite.recorder import Recorder
    from suite.stages import Artefacts, Bench

    paths = sorted(path for path in folder.rglob("*") if is_image(path.name))
    if not paths:
        raise DataFault(f"{folder}: holds no image ({', '.join(sorted(SUFFIXES))})")
    ids = [path.relative_to(folder).as_posix() for path in paths]
    store = Store(ask.store)
    conditions = Conditions(device=device, threads=threads, data_root=ask.data_root)
    pack = pack_of(run, store, conditions)
    training = select.training(pack, run.train["data"], run.seed)
    with tempfile.TemporaryDirectory(prefix="suite-score-") as name:
        scratch = Path(name)
        size, channels = int(run.train["data"]["size"]), pack.images.shape[1]
        source = Files(folder, dict(zip(ids, paths, strict=True)))
        decoded = decode_all(
            source, {name: name for name in ids}, size, scratch, str(folder), channels=pack.info.channels
        )
        images = decoded.images.mapped()
        if images.shape[1] != channels:
            if channels == 1:
                raise DataFault(f"{folder}: holds coloured images, but {run.dataset} is gray")
            images = images.repeat(3, axis=1)
        bench = Bench(
            run=run,
            folder=found.folder,
            build=lambda: build(run),
            artefacts=Artefacts(
                run.needs,
                lambda need: (store.artefact_folder(*need.place), store.artefact(need) or {}),
            ),
            train=stages.images_of(pack, training.indices, scratch),
            conditions=conditions,
            recorder=Recorder(scratch, conditions.progress),
            stop=lambda: False,
        )
        weights = _weights(found, bench)
        scores, _ = stages.score(bench, images, weights)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    # Scores of a detector that was trained on generated images say so on every line.
    by = {"trained_on": run.dataset} if stands_in(run.dataset) else {}
    writer.writerow(("id", "score", *by))
    writer.writerows((one, repr(float(value)), *by.values()) for one, value in zip(ids, scores, strict=True))
    return ids, stream.getvalue()


def _weights(found: Found, bench: Bench) -> Path:
    """The checkpoint that the run's outcome was scored at, if it is kept; else the last."""
    from suite.job import SNAPSHOTS

    epoch = found.outcome.epoch if found.outcome else None
    number = SNAPSHOTS if epoch is None else round(epoch * SNAPSHOTS)
    weights = bench.weights if number == SNAPSHOTS else bench.snapshot(number)
    if not weights.exists():
        raise NotFoundError(f"{found.key}: the checkpoint that its selection chose is not kept")
    sealed = files.peek_json(found.folder / "fit.json").get("files", {})
    name = weights.relative_to(found.folder).as_posix()
    if name in sealed and seals.broken(found.folder, {name: sealed[name]}, thorough=True):
        raise NotFoundError(f"{weights}: is damaged; run it again with --force")
    return weights
