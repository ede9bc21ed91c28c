"""The verbs by which results travel: import, export, bundle."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.base import app, end
from suite.cli.options import asking, bundled, refuse_others

if TYPE_CHECKING:
    from suite.verbs.common import Ask


OnlySpecs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SPECS]...", help="Only what these tables need; by default all that is finished."
    ),
]
OneSpec = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TABLE]", help="The table's spec: a path, or the name of a shipped one."),
]


@app.command("import")
@bundled(ask=asking("store", "data_root"))
def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="DIR|ARCHIVE...", help="Stores, or archives of them (zip, tar.gz)."),
    ],
    ask: "Ask",
    weights: Annotated[bool, typer.Option(help="Weights and snapshots, where they are there.")] = True,
    artefacts: Annotated[bool, typer.Option(help="Diffusion models and the like; never images.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be taken.")] = False,
) -> None:
    """Merge the finished runs of other stores into this one.

    Each is checked: its key against its settings, its AUROC against its scores. What is here stays; a different
    result under the same key is told. An interrupted import goes on when it is given again.

    Example: suite import gpu/runs-*.zip --store runs
    """
    from suite.verbs import carry

    end(carry.import_(ask, paths, weights=weights, artefacts=artefacts, dry_run=dry_run))


@app.command()
@bundled(ask=asking("store", specs=OnlySpecs))
def export(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for the archives.")],
    ask: "Ask",
    max_mib: Annotated[float, typer.Option(min=0.01, help="The most MiB of one archive.")] = 16,
    weights: Annotated[bool, typer.Option("--with-weights", help="Weights too, as far as they fit.")] = False,
) -> None:
    """Write finished runs into archives for suite import: all, or those of some specs.

    Example: suite export gpu --max-mib 16
    """
    from suite.verbs import carry

    end(carry.export(ask, out, max_mib=max_mib, weights=weights))


@app.command()
@bundled(ask=asking("store", "data_root", "profile", "sets", "seeds", specs=OneSpec))
def bundle(
    context: typer.Context,
    ask: "Ask",
    out: Annotated[Path | None, typer.Option(help="The archive.", show_default="TABLE.zip")] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check a bundle instead of writing one.")
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="With --check: the run to repeat, by its key; else the quickest."),
    ] = None,
    run: Annotated[bool, typer.Option(help="With --check: repeat one run.")] = True,
    device: Annotated[str, typer.Option(help="Where to compute.")] = "cpu",
) -> None:
    """Put a table into one archive: spec, outcomes, scores, environment, rendered table; or check such an archive.

    A check renders the table anew from what the archive holds, looks at every key, digest and score, and repeats
    one run.

    Example: suite bundle quickstart, then suite bundle --check quickstart.zip
    """
    from suite.verbs import carry

    if check is not None:
        used = ("check", "cell", "run", "device", "store", "data_root")
        refuse_others(context, "--check looks at a bundle, not at a spec", *used)
        end(carry.check(ask, check, cell=cell, run=run, device=device))
    refuse_others(
        context,
        "they are for --check",
        *(p.name or "" for p in context.command.params if p.name not in CHECKS),
    )
    end(carry.bundle(ask, out))


CHECKS = ("cell", "run", "device")
"""Options of a check alone."""
