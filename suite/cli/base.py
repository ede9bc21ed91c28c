"""The program that the verbs are added to, how it ends, and what it says of faults that users can mend."""

import gc
import logging
import sys
from typing import Any, NoReturn

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
    from suite import files
    from suite.data.errors import DataFault, DataMissing
    from suite.registry import UnknownNameError
    from suite.vocabulary import SpecErrors

    if isinstance(error, SpecErrors):
        return error.messages
    if isinstance(error, UnknownNameError | DataFault | DataMissing | files.FileFault):
        return (str(error),)
    if isinstance(error, ValueError) and str(error).startswith("SUITE_PLUGINS"):
        return (str(error),)
    if isinstance(error, PermissionError | NotADirectoryError):
        return (f"{error.filename}: {error.strerror}",)
    return (told,) if (told := files.surroundings(error)) else None


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


@app.callback()
def _begin() -> None:
    logging.basicConfig(format="warning: %(message)s", level=logging.WARNING)
    # Plans and outcomes are many small objects that stay: looking for cycles among them that often is a third of the
    # time that reading a large store takes.
    gc.set_threshold(50_000, 20, 20)


def end(code: int) -> NoReturn:
    """Leave the program with an exit code."""
    raise typer.Exit(code)
