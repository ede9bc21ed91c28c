"""The verbs that show and tend results: report, list, show, score, gc, sync, ui."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.base import app, end
from suite.cli.options import (
    CHOICE,
    EVERY,
    REPORTS,
    Json,
    KeptSpecs,
    Out,
    SomeSpecs,
    Threads,
    TrackingUri,
    asking,
    bundled,
    listed,
    refuse_others,
)

if TYPE_CHECKING:
    from suite.verbs.common import Ask


@app.command()
@bundled(ask=asking(*EVERY, specs=SomeSpecs))
def report(
    context: typer.Context,
    ask: "Ask",
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
    mlflow_url: Annotated[
        str | None,
        typer.Option(
            "--mlflow-url",
            help="Where MLflow's pages are, that the page links to.",
            show_default="what suite ui serves",
        ),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="The published numbers against each other; needs no results.")
    ] = False,
) -> None:
    """Print tables and write them, from what is done so far; index.html is all of them on one page.

    Example: suite report quickstart --formats md,html --out tables
    """
    if audit:
        from suite.verbs import audit as verb

        refuse_others(context, "--audit reads published numbers, not results", "specs", "out", "audit")
        end(verb.audit(ask, out))
    from suite.verbs import look

    end(look.report(ask, out, listed(formats), thumbnails=thumbnails, mlflow=mlflow_url))


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, specs, profiles or settings")],
    json: Json = False,
) -> None:
    """List the methods, data sets, specs, profiles or settings.

    Example: suite list methods
    """
    from suite.verbs import listing

    end(listing.list_things(what, as_json=json))


@app.command()
@bundled(ask=asking("store"))
def show(
    key: Annotated[
        str, typer.Argument(help="The beginning of a run's key (`suite plan --json`, `suite status`).")
    ],
    ask: "Ask",
    worst: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The N test images that it scores worst.")
    ] = None,
    json: Json = False,
) -> None:
    """Show all about one run: settings, results, cost, files.

    Example: suite show 3f2a --worst 10
    """
    from suite.verbs import inspect

    end(inspect.show(ask.open(), key, worst=worst, as_json=json))


@app.command()
@bundled(ask=asking("store", "data_root"))
def score(
    key: Annotated[str, typer.Argument(metavar="RUN", help="The beginning of a finished run's key.")],
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A folder of images.")],
    ask: "Ask",
    out: Annotated[Path | None, typer.Option(help="The CSV file.", show_default="scores-RUN.csv")] = None,
    device: Annotated[str, typer.Option(help="Where to compute.")] = "cpu",
    threads: Threads = 1,
) -> None:
    """Score every image in a folder by a finished run, into a CSV of ids and scores.

    Example: suite score 3f2a my/images --out scores.csv
    """
    from suite.verbs import score as verb

    end(verb.score(ask, key, folder, out, device, threads))


@app.command()
@bundled(ask=asking("store", specs=KeptSpecs))
def gc(ask: "Ask", yes: Annotated[bool, typer.Option("--yes", help="Do remove it.")] = False) -> None:
    """List, and with --yes remove, runs and artefacts that no kept spec reaches.

    Example: suite gc "specs/*.toml"
    """
    from suite.verbs import tend

    end(tend.gc(ask, yes=yes))


@app.command()
@bundled(ask=asking("store", "data_root", *CHOICE, specs=SomeSpecs))
def sync(ask: "Ask", tracking_uri: TrackingUri = None) -> None:
    """Bring MLflow up to date with the results.

    Example: suite sync --tracking-uri http://localhost:5000
    """
    from suite.verbs import tend

    end(tend.sync(ask, tracking_uri))


@app.command()
@bundled(ask=asking("store", "data_root", *CHOICE, specs=SomeSpecs))
def ui(
    ask: "Ask",
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port on this machine.")] = 5000,
    browser: Annotated[bool, typer.Option(help="Open a browser, where there is a screen.")] = True,
) -> None:
    """Show the results in MLflow's browser interface, on this machine only; of a spec, its experiment.

    Example: suite ui quickstart --port 5001
    """
    from suite.verbs import ui as verb

    end(verb.ui(ask, tracking_uri, port, browser))
