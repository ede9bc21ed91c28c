"""Shipped files are found in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from suite import resources


def test_a_checkout_has_its_files_beside_the_package() -> None:
    assert resources.root() == Path(resources.__file__).resolve().parents[1]
    assert resources.shipped("reports/published.toml").is_file()
    assert {"paper", "paper_half", "cpu", "smoke", "quickstart"} <= set(resources.names("specs/profiles"))
    with pytest.raises(FileNotFoundError, match=r"specs/none\.toml is not part of this installation"):
        resources.shipped("specs/none.toml")


def test_a_wheel_has_them_inside_and_a_stranger_beside_it_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "suite"
    (package / "_shipped" / "specs").mkdir(parents=True)
    (package.parent / "specs").mkdir()
    (package / "_shipped" / "specs" / "own.toml").touch()
    (package.parent / "specs" / "strange.toml").touch()
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.names("specs") == ("own",)
    assert resources.names("specs/profiles") == ()
    assert resources.find_spec("own") == package / "_shipped" / "specs" / "own.toml"
    assert resources.find_spec("strange") == Path("strange")
