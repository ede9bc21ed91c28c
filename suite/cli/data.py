"""The verbs under ``suite data``: list, fetch, add, verify."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.base import app, end
from suite.cli.options import Json, asking, bundled

if TYPE_CHECKING:
    from suite.verbs.common import Ask

data = typer.Typer(
    name="data",
    help="Data sets: what there is, and getting it. Start with: suite data list",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data)
Sizes = Annotated[
    list[int] | None,
    typer.Option(
        "--size", min=8, max=1024, help="Pixels of a side; repeatable.", show_default="the set's own"
    ),
]


@data.command("list")
@bundled(ask=asking("store", "data_root"))
def list_(ask: "Ask", json: Json = False) -> None:
    """List the data sets: size, counts, licence, and whether they are at hand or what gets them.

    Example: suite data list
    """
    from suite.verbs import data as verb

    end(verb.list_(ask, as_json=json))


@data.command("fetch")
@bundled(ask=asking("data_root"))
def fetch(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets (`suite data list`).")],
    ask: "Ask",
    sizes: Sizes = None,
) -> None:
    """Download data sets, or say how to get those that want an account.

    What breaks off goes on where it stopped when the command is given again.

    Example: suite data fetch kvasir_polyp cifar10
    """
    from suite.verbs import data as verb

    end(verb.fetch(ask, names, tuple(sizes or ())))


@data.command("add")
@bundled(ask=asking("store", "data_root"))
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The data set (`suite data list`).")],
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="The archive, or the folder unpacked from it.")
    ],
    ask: "Ask",
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

    end(verb.add(ask, name, path, tuple(sizes or ()), skip_faulty=skip_faulty))


@data.command("verify")
@bundled(ask=asking("store", "data_root"))
def verify(
    ask: "Ask",
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Data sets (`suite data list`); by default all."),
    ] = None,
    sizes: Sizes = None,
    near: Annotated[bool, typer.Option("--near", help="Look for near-duplicates too.")] = False,
    json: Json = False,
) -> None:
    """Check data sets: official digest, published counts, equal images, conflicting labels, leaks.

    What is at hand and not packed yet is packed first. Exit code 1 when a set that is present is wrong.

    Example: suite data verify sars_cov_2 --near
    """
    from suite.verbs import verify as verb

    end(verb.verify(ask, names or [], tuple(sizes or ()), near=near, as_json=json))
