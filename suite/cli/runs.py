"""The verbs that plan and compute: validate, plan, run, retry, status."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from suite.cli.base import app, end
from suite.cli.options import CHOICE, EVERY, Jobs, Json, SomeSpecs, Specs, asking, bundled, how

if TYPE_CHECKING:
    from suite.verbs.carry_out import How
    from suite.verbs.common import Ask


@app.command()
@bundled(ask=asking(*CHOICE, specs=Specs))
def validate(ask: "Ask") -> None:
    """Check specs, telling every fault at once.

    Example: suite validate "specs/*.toml"
    """
    from suite.verbs import look

    end(look.validate(ask))


@app.command()
@bundled(ask=asking(*EVERY, specs=Specs))
def plan(
    ask: "Ask",
    jobs: Jobs = None,
    force: Annotated[bool, typer.Option("--force", help="As if nothing were done.")] = False,
    json: Json = False,
) -> None:
    """Show what would be run, why, and how long it may take.

    Example: suite plan main_results --only method=dia,csi --profile cpu
    """
    from suite.verbs import look

    end(look.plan(ask, force=force, slots=jobs or 1, as_json=json))


@app.command()
@bundled(ask=asking(*EVERY, specs=Specs), how=how)
def run(
    ask: "Ask",
    how: "How",
    force: Annotated[bool, typer.Option("--force", help="Also what is done, from the start.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
) -> None:
    """Compute what is missing of the specs' tables, and print them.

    Finished work is never repeated; an interrupted command goes on when it is given again, and several may
    share a store.

    Exit codes: 0 all done, 1 some runs failed, 2 a bad spec or usage, 3 unfinished (--max-time was up), 130
    interrupted.

    Example: suite run quickstart -j 2
    """
    from suite.verbs import carry_out, look

    if dry_run:
        end(look.plan(ask, force=force, slots=len(how.slots)))
    end(carry_out.run(ask, replace(how, force=force)))


@app.command()
@bundled(ask=asking(*EVERY, specs=Specs), how=how)
def retry(
    ask: "Ask",
    how: "How",
    failed: Annotated[bool, typer.Option("--failed", help="Failed and interrupted runs (always so).")] = True,
) -> None:
    """Run again what failed or was interrupted, and nothing else.

    Example: suite retry --failed quickstart
    """
    from suite.verbs import carry_out

    end(carry_out.run(ask, replace(how, retry=True)))


@app.command()
@bundled(ask=asking(*EVERY, specs=SomeSpecs))
def status(ask: "Ask", json: Json = False) -> None:
    """Show how far specs are, what runs at the moment, and what failed and why.

    Example: suite status
    """
    from suite.verbs import look

    end(look.status(ask, as_json=json))


@app.command()
@bundled(ask=asking("store", "data_root", "profile", "sets", "seeds", specs=Specs), how=how)
def search(
    ask: "Ask",
    how: "How",
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all, instead of the spec's.")] = None,
    final: Annotated[bool, typer.Option(help="Run the winner on the test images at the end.")] = True,
) -> None:
    """Search the settings that a spec names for the best AUROC on validation images, then run the winner.

    Trials are ordinary runs. Several searches of one spec share the work; one that was stopped or killed goes
    on when it is given again.

    Example: suite search search_steps --profile cpu --trials 20
    """
    from suite.verbs import search as verb

    end(verb.search(ask, how, trials=trials, final=final))
