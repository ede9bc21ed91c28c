"""The command line: ``suite VERB SPECS...``. Verbs and options only; what they do is in :mod:`suite.verbs`.

Importing this loads neither torch nor mlflow, pandas or pydantic. Exit codes: 0 all fine, 1 some runs failed,
2 a bad spec or usage (one line for each fault, no traceback), 130 interrupted.
"""

import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _Verbs(TyperGroup):
    """Turns the faults that users can mend into lines and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(130) from None
        except Exception as error:
            lines = _faults(error)
            if lines is None:
                raise
            for line in lines:
                print(line, file=sys.stderr)
            raise typer.Exit(2) from None


def _faults(error: Exception) -> tuple[str, ...] | None:
    """What to say of an error that is the user's to mend; None for any other."""
    from suite.data.errors import DataFault, DataMissing
    from suite.registry import UnknownNameError
    from suite.vocabulary import SpecErrors

    if isinstance(error, SpecErrors):
        return error.messages
    if isinstance(error, UnknownNameError | DataFault | DataMissing):
        return (str(error),)
    if isinstance(error, ValueError) and str(error).startswith("SUITE_PLUGINS"):
        return (str(error),)
    if isinstance(error, PermissionError | NotADirectoryError):
        return (f"{error.filename}: {error.strerror}",)
    return None


app = typer.Typer(
    cls=_Verbs,
    name="suite",
    help="Experiments in anomaly detection, from a spec to its table. Start with: suite run quickstart",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


data = typer.Typer(
    name="data",
    help="Data sets: what there is, and getting it. Start with: suite data list",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data)


class _Keep(StrEnum):
    all = "all"
    best = "best"
    last = "last"
    none = "none"


Specs = Annotated[
    list[str], typer.Argument(metavar="SPECS...", help="Spec files, globs, or names of shipped specs.")
]
SomeSpecs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SPECS]...", help="Specs; by default those that were run before."),
]
Where = Annotated[Path, typer.Option("--store", envvar="SUITE_STORE", help="The folder of results.")]
DataRoot = Annotated[
    Path | None, typer.Option(envvar="SUITE_DATA", help="The folder of data files at hand.", show_envvar=True)
]
Profile = Annotated[
    str | None, typer.Option(help="Overlay of compute settings, or auto (`suite list profiles`).")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting above all others; repeatable."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE,...", help="Only cells with one of these values; repeatable."),
]
Seeds = Annotated[
    str | None, typer.Option(metavar="0,1,2", help="Seeds instead of the spec's; 0-4 is a range.")
]
StandIn = Annotated[
    bool,
    typer.Option(
        "--stand-in",
        help="In tables, generated images for each data set that is not at hand; all output says so.",
    ),
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Runs at a time; by default one a core or GPU.")
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each run.")]
Devices = Annotated[str, typer.Option(help="Devices, such as cpu or cuda:0,cuda:1.", show_default="found")]
Keep = Annotated[_Keep, typer.Option(help="What stays of a finished fit: snapshots and weights, or fewer.")]
Limit = Annotated[int | None, typer.Option(min=0, help="At most so many runs now.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.")]
InProcess = Annotated[
    bool, typer.Option("--in-process", help="One after another in this process, for debugging.")
]
CheckpointEvery = Annotated[float, typer.Option(min=0, help="Seconds between two checkpoints of a run.")]
Out = Annotated[Path, typer.Option(help="The folder for tables.")]
NoMlflow = Annotated[bool, typer.Option("--no-mlflow", help="Do not mirror to MLflow.")]
TrackingUri = Annotated[str | None, typer.Option(help="An MLflow URI instead of the store's database.")]
Json = Annotated[bool, typer.Option("--json", help="JSON for other programs.")]

RUNS, REPORTS = Path("runs"), Path("reports/out")


@app.callback()
def _begin() -> None:
    logging.basicConfig(format="warning: %(message)s", level=logging.WARNING)


@app.command()
def validate(
    specs: Specs,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
) -> None:
    """Check specs, telling every fault at once.

    Example: suite validate "specs/*.toml"
    """
    from suite.verbs import look

    _end(look.validate(_ask(specs, RUNS, None, profile, sets, only, seeds)))


@app.command()
def plan(
    specs: Specs,
    store: Where = RUNS,
    data_root: DataRoot = None,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    stand_in: StandIn = False,
    jobs: Jobs = None,
    force: Annotated[bool, typer.Option("--force", help="As if nothing were done.")] = False,
    json: Json = False,
) -> None:
    """Show what would be run, why, and how long it may take.

    Example: suite plan main_results --only method=dia,csi --profile cpu
    """
    from suite.verbs import look

    ask = _ask(specs, store, data_root, profile, sets, only, seeds, stand_in)
    _end(look.plan(ask, force=force, slots=jobs or 1, as_json=json))


@app.command()
def run(
    specs: Specs,
    store: Where = RUNS,
    data_root: DataRoot = None,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    stand_in: StandIn = False,
    jobs: Jobs = None,
    threads: Threads = 1,
    devices: Devices = "",
    keep: Keep = _Keep.all,
    limit: Limit = None,
    force: Annotated[bool, typer.Option("--force", help="Also what is done, from the start.")] = False,
    fail_fast: FailFast = False,
    in_process: InProcess = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    checkpoint_every: CheckpointEvery = 60.0,
    out: Out = REPORTS,
    no_mlflow: NoMlflow = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Compute what is missing of the specs' tables, and print them.

    Finished work is never repeated; an interrupted command goes on when it is given again, and several may
    share a store.

    Example: suite run quickstart -j 2
    """
    from suite.verbs import carry_out, look

    ask = _ask(specs, store, data_root, profile, sets, only, seeds, stand_in)
    if dry_run:
        _end(look.plan(ask, force=force, slots=jobs or 1))
    how = carry_out.How(
        slots=jobs,
        threads=threads,
        devices=_listed(devices),
        keep=keep.value,
        limit=limit,
        force=force,
        fail_fast=fail_fast,
        in_process=in_process,
        checkpoint_every=checkpoint_every,
        out=out,
        mirror=not no_mlflow,
        tracking_uri=tracking_uri,
    )
    _end(carry_out.run(ask, how))


@app.command()
def retry(
    specs: Specs,
    store: Where = RUNS,
    data_root: DataRoot = None,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    stand_in: StandIn = False,
    failed: Annotated[bool, typer.Option("--failed", help="Failed and interrupted runs (always so).")] = True,
    jobs: Jobs = None,
    threads: Threads = 1,
    devices: Devices = "",
    keep: Keep = _Keep.all,
    limit: Limit = None,
    fail_fast: FailFast = False,
    in_process: InProcess = False,
    checkpoint_every: CheckpointEvery = 60.0,
    out: Out = REPORTS,
    no_mlflow: NoMlflow = False,
    tracking_uri: TrackingUri = None,
) -> None:
    """Run again what failed or was interrupted, and nothing else.

    Example: suite retry --failed quickstart
    """
    from suite.verbs import carry_out

    how = carry_out.How(
        slots=jobs,
        threads=threads,
        devices=_listed(devices),
        keep=keep.value,
        limit=limit,
        fail_fast=fail_fast,
        in_process=in_process,
        retry=True,
        checkpoint_every=checkpoint_every,
        out=out,
        mirror=not no_mlflow,
        tracking_uri=tracking_uri,
    )
    _end(carry_out.run(_ask(specs, store, data_root, profile, sets, only, seeds, stand_in), how))


@app.command()
def status(
    specs: SomeSpecs = None,
    store: Where = RUNS,
    data_root: DataRoot = None,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    stand_in: StandIn = False,
    json: Json = False,
) -> None:
    """Show how far specs are, what runs at the moment, and what failed and why.

    Example: suite status
    """
    from suite.verbs import look

    _end(look.status(_ask(specs, store, data_root, profile, sets, only, seeds, stand_in), as_json=json))


@app.command()
def report(
    context: typer.Context,
    specs: SomeSpecs = None,
    store: Where = RUNS,
    data_root: DataRoot = None,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    stand_in: StandIn = False,
    out: Out = REPORTS,
    formats: Annotated[
        str, typer.Option(help="Of md, tex, csv, png, pdf, html.")
    ] = "md,tex,csv,png,pdf,html",
    thumbnails: Annotated[
        bool | None,
        typer.Option(
            help="Worst-scored images as small pictures in the page: of all data at hand, or of none.",
            show_default="where the licence lets anybody redistribute",
        ),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="The published numbers against each other; needs no results.")
    ] = False,
) -> None:
    """Print tables and write them, from what is done so far; index.html is all of them on one page.

    Example: suite report quickstart --formats md,html --out tables
    """
    from suite.verbs import look

    ask = _ask(specs, store, data_root, profile, sets, only, seeds, stand_in)
    if audit:
        from suite.verbs import audit as verb

        _refuse_others(context, "--audit reads published numbers, not results", "specs", "out", "audit")
        _end(verb.audit(ask, out))
    _end(look.report(ask, out, _listed(formats), thumbnails=thumbnails))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, specs, profiles or settings")],
    json: Json = False,
) -> None:
    """List the methods, data sets, specs, profiles or settings.

    Example: suite list methods
    """
    from suite.verbs import look

    _end(look.list_things(what, as_json=json))


@app.command()
def show(
    key: Annotated[
        str, typer.Argument(help="The beginning of a run's key (`suite plan --json`, `suite status`).")
    ],
    store: Where = RUNS,
    worst: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The N test images that it scores worst.")
    ] = None,
    json: Json = False,
) -> None:
    """Show all about one run: settings, results, cost, files.

    Example: suite show 3f2a --worst 10
    """
    from suite.verbs import inspect

    _end(inspect.show(_ask(None, store).open(), key, worst=worst, as_json=json))


@app.command()
def score(
    key: Annotated[str, typer.Argument(metavar="RUN", help="The beginning of a finished run's key.")],
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A folder of images.")],
    store: Where = RUNS,
    data_root: DataRoot = None,
    out: Annotated[Path | None, typer.Option(help="The CSV file.", show_default="scores-RUN.csv")] = None,
    device: Annotated[str, typer.Option(help="Where to compute.")] = "cpu",
    threads: Threads = 1,
) -> None:
    """Score every image in a folder by a finished run, into a CSV of ids and scores.

    Example: suite score 3f2a my/images --out scores.csv
    """
    from suite.verbs import score as verb

    _end(verb.score(_ask(None, store, data_root), key, folder, out, device, threads))


@app.command()
def gc(
    specs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SPECS]...", help="Specs to keep; by default all shipped and all that were run."
        ),
    ] = None,
    store: Where = RUNS,
    yes: Annotated[bool, typer.Option("--yes", help="Do remove it.")] = False,
) -> None:
    """List, and with --yes remove, runs and artefacts that no kept spec reaches.

    Example: suite gc "specs/*.toml"
    """
    from suite.verbs import tend

    _end(tend.gc(_ask(specs, store), yes=yes))


@app.command()
def sync(
    specs: SomeSpecs = None,
    store: Where = RUNS,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    tracking_uri: TrackingUri = None,
) -> None:
    """Bring MLflow up to date with the results.

    Example: suite sync --tracking-uri http://localhost:5000
    """
    from suite.verbs import tend

    _end(tend.sync(_ask(specs, store, None, profile, sets, only, seeds), tracking_uri))


@app.command()
def ui(
    store: Where = RUNS,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(help="The port on this machine.")] = 5000,
) -> None:
    """Show the results in MLflow's browser interface, on this machine only.

    Example: suite ui --port 5001
    """
    from suite.verbs import tend

    _end(tend.ui(_ask(None, store), tracking_uri, port))


Sizes = Annotated[
    list[int] | None,
    typer.Option(
        "--size", min=8, max=1024, help="Pixels of a side; repeatable.", show_default="the set's own"
    ),
]


@data.command("list")
def data_list(store: Where = RUNS, data_root: DataRoot = None, json: Json = False) -> None:
    """List the data sets: size, counts, licence, and whether they are at hand or what gets them.

    Example: suite data list
    """
    from suite.verbs import data as verb

    _end(verb.list_(_ask(None, store, data_root), as_json=json))


@data.command("fetch")
def data_fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets (`suite data list`).")],
    data_root: DataRoot = None,
    sizes: Sizes = None,
) -> None:
    """Download data sets, or say how to get those that want an account.

    What breaks off goes on where it stopped when the command is given again.

    Example: suite data fetch kvasir_polyp cifar10
    """
    from suite.verbs import data as verb

    _end(verb.fetch(_ask(None, RUNS, data_root), names, tuple(sizes or ())))


@data.command("add")
def data_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The data set (`suite data list`).")],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The archive, or the folder unpacked from it.")
    ],
    store: Where = RUNS,
    data_root: DataRoot = None,
    sizes: Sizes = None,
    skip_faulty: Annotated[
        bool,
        typer.Option("--skip-faulty", help="Leave out images that cannot be read, and say so ever after."),
    ] = False,
) -> None:
    """Take in a data set that you have, as its site serves it: check it and pack it.

    It stays where it is. A command that was interrupted goes on when it is given again.

    Example: suite data add sars_cov_2 ~/Downloads/archive.zip --size 64
    """
    from suite.verbs import data as verb

    _end(verb.add(_ask(None, store, data_root), name, path, tuple(sizes or ()), skip_faulty=skip_faulty))


@data.command("verify")
def data_verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Data sets (`suite data list`); by default all."),
    ] = None,
    store: Where = RUNS,
    data_root: DataRoot = None,
    sizes: Sizes = None,
    near: Annotated[bool, typer.Option("--near", help="Look for near-duplicates too.")] = False,
    json: Json = False,
) -> None:
    """Check data sets: official digest, published counts, equal images, conflicting labels, leaks.

    What is at hand and not packed yet is packed first. Exit code 1 when a set that is present is wrong.

    Example: suite data verify sars_cov_2 --near
    """
    from suite.verbs import verify as verb

    asked = _ask(None, store, data_root)
    _end(verb.verify(asked, names or [], tuple(sizes or ()), near=near, as_json=json))


def _ask(
    specs: list[str] | None,
    store: Path,
    data_root: Path | None = None,
    profile: str | None = None,
    sets: list[str] | None = None,
    only: list[str] | None = None,
    seeds: str | None = None,
    stand_in: bool = False,
) -> Any:
    from suite.verbs.common import Ask

    chosen = tuple(specs or ()), store, data_root, profile, tuple(sets or ()), tuple(only or ())
    return Ask(*chosen, seeds, stand_in)


def _refuse_others(context: typer.Context, why: str, *used: str) -> None:
    """SpecErrors when an option was given (not only set by the environment) that this use of a verb ignores."""
    from suite.vocabulary import SpecErrors

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in used and _is_given(context, parameter.name)
    ]
    if given:
        raise SpecErrors([f"{why}: leave out {', '.join(given)}"])


def _is_given(context: typer.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name) if name else None
    return source is not None and source.name == "COMMANDLINE"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _end(code: int) -> None:
    raise typer.Exit(code)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
