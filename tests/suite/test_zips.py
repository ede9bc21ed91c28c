"""The same content gives the same bytes, and sizes can be added up beforehand."""

from __future__ import annotations

import tempfile
import time
import zipfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from suite import zips

MEMBERS = st.dictionaries(
    st.text("abcdef/", min_size=1).filter(lambda n: not n.startswith("/")), st.binary(), min_size=1
)


def test_neither_order_nor_time_is_in_the_bytes(tmp_path: Path) -> None:
    zips.write(tmp_path / "one.zip", {"b": b"2", "a/c": b"1"})
    time.sleep(2.1)  # a zip counts in steps of two seconds
    zips.write(tmp_path / "two.zip", {"a/c": b"1", "b": b"2"})
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


@given(MEMBERS, MEMBERS)
def test_what_goes_in_comes_out_and_is_no_larger_than_its_parts(
    one: dict[str, bytes], two: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.zip"
        zips.write(path, one | two)
        assert path.stat().st_size == zips.packed_size(one | two)
        assert path.stat().st_size <= zips.packed_size(one) + zips.packed_size(two)
        with zipfile.ZipFile(path) as archive:
            assert {name: archive.read(name) for name in archive.namelist()} == one | two
