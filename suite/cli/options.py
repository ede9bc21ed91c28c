"""Options that several verbs share, each declared once, and what they are gathered into.

A verb takes ``ask`` (what is asked for, :class:`suite.verbs.common.Ask`) or ``how`` (how it is carried out,
:class:`suite.verbs.carry_out.How`) as a parameter; :func:`bundled` puts the options that these are made of in
its place.
"""

import inspect
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from suite.verbs.carry_out import How
    from suite.verbs.common import Ask

Made = TypeVar("Made")


class ExecutorChoice(StrEnum):
    """Where runs happen."""

    local = "local"
    ray = "ray"


class KeepChoice(StrEnum):
    """What stays of a finished fit."""

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
KeptSpecs = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SPECS]...", help="Specs to keep; by default all shipped and all that were run."),
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
PerDevice = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time on each device; by default one, or one a core.")
]
MaxTime = Annotated[
    str | None,
    typer.Option(metavar="3h", help="End in time, with runs at a checkpoint and exit code 3 (h, m, s)."),
]
Executor = Annotated[
    ExecutorChoice, typer.Option(help="Where runs happen: on this machine, or on a Ray cluster.")
]
Address = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="The Ray cluster; auto: the one of this machine.")
]
GpusPerRun = Annotated[
    float | None, typer.Option(min=0, help="On a Ray cluster: GPUs of each run, 0.5 for half of one.")
]
SharedStore = Annotated[
    bool,
    typer.Option("--shared-store", help="All machines of the Ray cluster see the store and write in it."),
]
Keep = Annotated[
    KeepChoice, typer.Option(help="What stays of a finished fit: snapshots and weights, or fewer.")
]
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
CHOICE = ("profile", "sets", "only", "seeds")
"""What narrows or changes the cells of specs."""
EVERY = ("store", "data_root", *CHOICE, "stand_in")


def _ask(
    specs: SomeSpecs = None,
    store: Where = RUNS,
    data_root: DataRoot = None,
    profile: Profile = None,
    sets: Sets = None,
    only: Only = None,
    seeds: Seeds = None,
    stand_in: StandIn = False,
) -> "Ask":
    from suite.verbs.common import Ask

    chosen = tuple(specs or ()), store, data_root, profile, tuple(sets or ()), tuple(only or ())
    return Ask(*chosen, seeds, stand_in)


def asking(*options: str, specs: Any = None) -> Callable[..., "Ask"]:
    """A maker of ``ask`` from some of its options; ``specs`` is how specs are given, None: they are not."""
    every = inspect.signature(_ask).parameters
    chosen = [every[name] for name in options]
    if specs is not None:
        default = inspect.Parameter.empty if specs is Specs else None
        chosen = [every["specs"].replace(annotation=specs, default=default), *chosen]

    def make(**given: Any) -> "Ask":
        return _ask(**given)

    return _declared(make, chosen)


def how(
    jobs: Jobs = None,
    threads: Threads = 1,
    devices: Devices = "",
    per_device: PerDevice = None,
    executor: Executor = ExecutorChoice.local,
    address: Address = "auto",
    gpus_per_run: GpusPerRun = None,
    shared_store: SharedStore = False,
    keep: Keep = KeepChoice.all,
    limit: Limit = None,
    fail_fast: FailFast = False,
    in_process: InProcess = False,
    checkpoint_every: CheckpointEvery = 60.0,
    max_time: MaxTime = None,
    out: Out = REPORTS,
    no_mlflow: NoMlflow = False,
    tracking_uri: TrackingUri = None,
) -> "How":
    """A maker of ``how``."""
    from suite import devices as places
    from suite.deadline import Deadline, parse
    from suite.executors.choice import Remote
    from suite.verbs.carry_out import How
    from suite.vocabulary import SpecErrors

    deadline = Deadline(parse(max_time)) if max_time is not None else None
    names = places.chosen(listed(devices))
    remote = None
    if executor is ExecutorChoice.ray:
        given = {"--devices (use --gpus-per-run)": devices, "--in-process": in_process}
        remote = Remote(address, gpus_per_run, per_device or 1, jobs, shared_store)
    else:
        given = {
            "--address": address != "auto",
            "--gpus-per-run": gpus_per_run,
            "--shared-store": shared_store,
        }
    if others := [name for name, value in given.items() if value]:
        raise SpecErrors([f"--executor {executor}: leave out {', '.join(others)}"])
    return How(
        remote=remote,
        slots=places.slots(names, jobs, per_device, threads),
        threads=threads,
        keep=keep.value,
        limit=limit,
        fail_fast=fail_fast,
        in_process=in_process,
        checkpoint_every=checkpoint_every,
        deadline=deadline,
        out=out,
        mirror=not no_mlflow,
        tracking_uri=tracking_uri,
    )


def bundled(**makers: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put the parameters of a maker in the place of the verb's parameter of that name, and call the verb with
    what it makes of them.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        parameters: list[inspect.Parameter] = []
        for name, own in inspect.signature(verb).parameters.items():
            parameters += inspect.signature(makers[name]).parameters.values() if name in makers else [own]

        def called(**given: Any) -> None:
            for name, make in makers.items():
                given[name] = make(**{one: given.pop(one) for one in inspect.signature(make).parameters})
            verb(**given)

        called.__name__, called.__doc__ = verb.__name__, verb.__doc__
        return _declared(called, parameters)

    return decorate


def _declared(function: Callable[..., Made], parameters: list[inspect.Parameter]) -> Callable[..., Made]:
    """The function, saying of itself that it takes these."""
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    function.__signature__ = inspect.Signature(keywords)  # type: ignore[attr-defined]
    function.__annotations__ = {one.name: one.annotation for one in keywords}
    return function


def refuse_others(context: typer.Context, why: str, *used: str) -> None:
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


def listed(text: str) -> tuple[str, ...]:
    """The parts of a list with commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
