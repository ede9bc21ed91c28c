"""The command line: ``suite VERB SPECS...``. Verbs and options only; what they do is in :mod:`suite.verbs`.

Importing this loads neither torch nor mlflow, pandas or pydantic. Exit codes: 0 all fine, 1 some runs failed,
2 a bad spec or usage (one line for each fault, no traceback), 130 interrupted.
"""

# The order of these imports is the order of the verbs in `suite --help`.
from suite.cli import runs, results, carry, data  # noqa: I001
from suite.cli.base import app


def main() -> None:
    """The console script."""
    app()


__all__ = ["app", "carry", "data", "main", "results", "runs"]
