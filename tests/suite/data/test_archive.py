"""Archives and folders read alike, and whatever is not safe to read is refused in one line."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from images import as_folder, as_tar, as_zip

from suite.data import archive
from suite.data.archive import kind_of, opened
from suite.data.errors import DataFault, DataMissing

FILES = {"top/b.txt": b"second" * 100, "top/a/c.txt": b"third", "a.txt": b""}
UNSHOWN = {".DS_Store": b"x", "__MACOSX/top/._b.txt": b"x", "top/.hidden/d.txt": b"x", "top/Thumbs.db": b"x"}
WAYS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "folder": as_folder,
    "x.zip": as_zip,
    **{f"x.tar{suffix}": as_tar for suffix in ("", ".gz", ".bz2", ".xz")},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_container_gives_the_same_files(tmp_path: Path, way: str) -> None:
    with opened(WAYS[way](tmp_path / way, {**FILES, **UNSHOWN})) as source:
        assert list(source.entries) == sorted(FILES)
        assert {name: entry.size for name, entry in source.entries.items()} == {
            name: len(content) for name, content in FILES.items()
        }
        assert {name: read() for name, read in source.read(FILES)} == FILES
        assert [read() for _, read in source.read(["top/a/c.txt"])] == [b"third"]
        assert list(source.read([])) == []


def fault(path: Path) -> str:
    with pytest.raises(DataFault) as raised, opened(path) as source:
        list(source.read(source.entries))
    text = str(raised.value)
    assert "\n" not in text
    assert path.name in text
    return text


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:\\out.png", "..\\out.png"]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    for path in (as_zip(tmp_path / "x.zip", {name: b"x"}), as_tar(tmp_path / "x.tar.gz", {name: b"x"})):
        assert "leads out of it" in fault(path)


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as made:
        made.writestr(link, "/etc/passwd")
    assert "a link or a device" in fault(tmp_path / "x.zip")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("link.png")
        member.type, member.linkname = kind, "/etc/passwd"
        with tarfile.open(tmp_path / "x.tar", "w") as tar:
            tar.addfile(member)
        assert "a link or a device" in fault(tmp_path / "x.tar")


def test_bombs_are_refused_before_they_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "RATIO_FREE", 10_000)
    flat = b"\0" * 3_000_000
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("flat.bmp", flat)
    assert "a bomb" in fault(tmp_path / "x.zip")
    assert "a bomb" in fault(as_tar(tmp_path / "x.tar.xz", {"flat.bmp": flat}))


def test_a_tar_header_of_absurd_length_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 1 << 20)
    member = tarfile.TarInfo("x" * 50)
    member.type, member.size = tarfile.XHDTYPE, 1 << 30
    with gzip.open(tmp_path / "x.tar.gz", "wb") as stream:
        stream.write(member.tobuf(format=tarfile.USTAR_FORMAT))
        stream.write(b"\0" * (1 << 20))
    assert "not a whole tar archive" in fault(tmp_path / "x.tar.gz")


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MEMBER_LIMIT", 550)
    for path in (as_folder(tmp_path / "f", FILES), as_zip(tmp_path / "x.zip", FILES)):
        with opened(path) as source:
            ((_, read),) = source.read(["top/b.txt"])
            with pytest.raises(OSError, match="larger than"):
                read()
    with opened(as_tar(tmp_path / "x.tar", FILES)) as source:
        assert [read() for _, read in source.read(["top/b.txt"])] == [b""]


def test_encrypted_archives_are_told(tmp_path: Path) -> None:
    content = bytearray(as_zip(tmp_path / "x.zip", {"a.txt": b"secret"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    assert "encrypted" in fault(tmp_path / "x.zip")


@pytest.mark.parametrize("way", [way for way in WAYS if way != "folder"])
def test_a_truncated_archive_is_told(tmp_path: Path, way: str) -> None:
    noise = {f"{n}.bin": bytes((n * i * i) % 251 for i in range(40_000)) for n in range(1, 4)}
    path = WAYS[way](tmp_path / way, noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert "not a whole" in fault(path)


def test_a_name_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as made:
        for name in ("a.txt", "./a.txt"):
            made.addfile(tarfile.TarInfo(name), io.BytesIO())
    assert "twice" in fault(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html>", "a web page, not an archive"),
        (b"\xef\xbb\xbf<html>", "a web page"),
        (b"7z\xbc\xaf\x27\x1c..", "7z"),
        (b"Rar!..", "rar"),
        (b"just text", "no zip or tar archive"),
    ],
)
def test_what_is_no_archive_is_told_as_what_it_is(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    assert said in fault(tmp_path / "x.zip")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=r"no .*nothing\.zip"), opened(tmp_path / "nothing.zip"):
        pass


def test_the_users_own_errors_pass_through(tmp_path: Path) -> None:
    """What goes wrong around an open archive (a full disk) is not blamed on it."""
    with pytest.raises(OSError, match="disk full"), opened(as_zip(tmp_path / "x.zip", FILES)):
        raise OSError("disk full")


def test_kinds_are_told_by_content() -> None:
    assert kind_of(struct.pack("<I", 0x04034B50)) == "zip"
    assert kind_of(gzip.compress(b"x")) == "gzip"
    assert kind_of(b"\x89PNG\r\n") == ""
