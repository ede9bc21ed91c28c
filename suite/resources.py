"""Where the files that ship with the suite lie: specs, profiles, report templates and the published numbers.

They are kept outside the packages. In a checkout they stand beside ``suite/``; the wheel carries them in
``suite/_shipped/``. Everything that opens one asks here, so both work alike.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def root() -> Path:
    """The folder that holds ``specs/`` and ``reports/``."""
    # A wheel is asked first: beside it, in site-packages, a stranger's folder may be called specs.
    shipped = PACKAGE / "_shipped"
    return shipped if shipped.is_dir() else PACKAGE.parent


def shipped(relative: str) -> Path:
    """The shipped file or folder ``relative`` (``specs/profiles``, ``reports/published.toml``, ...).

    FileNotFoundError when this installation lacks it.
    """
    path = root() / relative
    if not path.exists():
        raise FileNotFoundError(
            f"{relative} is not part of this installation (looked in {root()}): install it again"
        )
    return path


def names(folder: str) -> tuple[str, ...]:
    """The names (without ``.toml``) of the files in a shipped folder, sorted; empty when there is no such
    folder.
    """
    return tuple(sorted(path.stem for path in (root() / folder).glob("*.toml")))


def find_spec(text: str | Path) -> Path:
    """The file that a user means by a spec argument: a path, or the name of a shipped spec (``quickstart``).

    A path that is there wins. ``specs/NAME.toml`` also means the shipped one where the working folder has
    none, so that a command copied from the README works anywhere. Otherwise the path comes back as it was
    given.
    """
    path = Path(text)
    if path.is_file():
        return path
    plain = len(path.parts) == 1 or path.parts[:-1] == ("specs",)
    candidate = root() / "specs" / f"{path.name.removesuffix('.toml')}.toml"
    return candidate if plain and candidate.is_file() else path
