"""``suite report --audit``: the published numbers held against each other, printed and written."""

from __future__ import annotations

from pathlib import Path

from suite import files, resources
from suite.tables import render
from suite.tables.audit import Audit
from suite.tables.audit import audit as hold_against
from suite.verbs import common
from suite.verbs.common import OK, Ask, grid, say


def audit(ask: Ask, out: Path) -> int:
    """Audit what was published for the specs asked for (by default all that ship), into ``audit.md`` and
    ``audit.json``.
    """
    found = hold_against(common.load_specs(ask.specs or resources.names("specs")))
    files.write_text(out / "audit.md", markdown(found))
    files.write_json(out / "audit.json", found.to_json())
    say(f"{found.shared} experiments were printed more than once, {len(found.contradictions)} contradict:")
    grid(
        ("experiment", "disagree in", "printed"),
        [(one.name, ", ".join(one.disagrees), one.told) for one in found.contradictions],
    )
    say("Different experiments with one number:")
    grid(("data set", "number", "experiments"), [(c.dataset, c.number, c.told) for c in found.coincidences])
    say("Claims:")
    grid(
        ("section", "claimed", "recomputed", ""),
        [(one.where, one.claimed, one.recomputed, one.verdict) for one in found.claims],
    )
    say(f"written: {out / 'audit.md'}, {out / 'audit.json'}")
    return OK


def markdown(found: Audit) -> str:
    """The audit as GitHub-flavoured Markdown."""
    return render.environment("markdown").get_template("audit.md.jinja").render(audit=found)
