"""The hash of a method's source moves with its meaning only, and nothing is imported for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suite import provenance
from suite.registry import MethodInfo, methods

MODULE = '''"""Says what it is."""
from __future__ import annotations
import torch_is_not_needed
from . import helper

# a comment
class Method:
    """A docstring."""

    def score(self, x: float) -> float:
        """Another."""
        return helper.double(x) + 1
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "made_up_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "method.py").write_text(MODULE)
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    (folder / "bystander.py").write_text("x = 1\n")
    (folder / "info.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    provenance._source_hash.cache_clear()


def current() -> str:
    provenance._source_hash.cache_clear()
    return provenance.source_hash(MethodInfo("m", 1, "M", "made_up_package.method:Method"))


def test_comments_docstrings_and_layout_do_not_count(package: Path) -> None:
    before = current()
    text = MODULE.replace("# a comment", "# another").replace('"""Another."""', '"""More words."""')
    (package / "method.py").write_text(
        text.replace("helper.double(x) + 1", "(helper.double( x )\n                + 1)")
    )
    assert current() == before
    (package / "method.py").write_text(MODULE.replace('        """Another."""\n', ""))
    assert current() == before


def test_the_meaning_counts_wherever_it_lies(package: Path) -> None:
    seen = [current()]
    (package / "method.py").write_text(MODULE.replace("+ 1", "+ 2"))
    seen.append(current())
    (package / "helper.py").write_text("def double(x):\n    return 3 * x\n")
    seen.append(current())
    assert len(set(seen)) == 3
    (package / "bystander.py").write_text("x = 2\n")
    (package / "info.py").write_text("y = 2\n")
    assert current() == seen[-1]


def test_a_source_that_is_not_there_has_no_hash() -> None:
    assert provenance.source_hash(MethodInfo("m", 1, "M", "no_such_package.method:Method")) == ""
    assert provenance.source_hash(MethodInfo("m", 1, "M", "no_such_module:Method")) == ""


def test_csi_and_dia_share_a_source_and_torch_is_not_imported() -> None:
    code = (
        "import sys; from suite.dia.info import CSI, DIA; from suite.provenance import source_hash, environment; "
        "print(source_hash(CSI), source_hash(DIA), environment()['torch'] is not None, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second, version, imported = done.stdout.split()
    assert first == second
    assert len(first) == 16
    assert (version, imported) == ("True", "False")


def test_every_registered_method_has_a_source() -> None:
    assert all(provenance.source_hash(info) for info in methods().values())


def test_the_environment_is_plain_and_names_no_machine() -> None:
    found = provenance.environment()
    assert {"revision", "dirty", "python", "torch", "lock", "system", "machine", "processor"} <= set(found)
    assert str(Path.home()) not in str(found)
    assert provenance.package_version("no-such-distribution") is None


def test_the_lock_lists_every_distribution_and_its_digest_moves_with_any(tmp_path: Path) -> None:
    lock = dict(provenance.installed())
    assert lock["numpy"] == provenance.package_version("numpy")
    assert lock["denoising-diffusion-pytorch"] == provenance.package_version("denoising_diffusion_pytorch")
    assert len(lock) > 30
    digest = provenance.lock_digest(lock)
    assert digest == provenance.environment()["lock"]
    assert digest != provenance.lock_digest({**lock, "numpy": "0.1"})
    assert provenance.lock_in(tmp_path) == {}
    provenance.write_lock(tmp_path, {"device": "cpu"})
    assert provenance.lock_digest(provenance.lock_in(tmp_path)) == digest
    assert provenance.differences({"a": "1", "b": "2"}, {"b": "3", "c": "4"}) == [
        "a 1 (none)",
        "b 2 (3)",
        "c none (4)",
    ]


def test_outside_a_checkout_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    provenance.revision.cache_clear()
    assert provenance.revision() == (None, False)
    provenance.revision.cache_clear()


def test_what_is_imported_inside_functions_counts_too(package: Path) -> None:
    lazy = MODULE.replace("from . import helper\n", "").replace(
        "        return helper", "        from made_up_package import lazy\n        return lazy"
    )
    (package / "method.py").write_text(lazy)
    (package / "lazy.py").write_text("from made_up_package.deep import double\n")
    (package / "deep.py").write_text("def double(x):\n    return 2 * x\n")
    before = current()
    (package / "deep.py").write_text("def double(x):\n    return 3 * x\n")
    assert current() != before


def test_every_module_that_dia_computes_with_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those too that it imports only when they are needed: the diffusion model, Stable Diffusion."""
    read: set[str] = set()
    found = provenance._path

    def watch(module: str, package: str) -> Path | None:
        path = found(module, package)
        read.update([path.name] if path else [])
        return path

    monkeypatch.setattr(provenance, "_path", watch)
    provenance._source_hash.cache_clear()
    provenance.source_hash(methods()["dia"])
    provenance._source_hash.cache_clear()
    computed = {path.name for path in Path(provenance.__file__).parent.joinpath("dia").glob("*.py")}
    # What is only shown, or measured, moves no score.
    assert computed - read == {"__init__.py", "offers.py", "costs.py", "strip.py"}
