"""Downloads from a server of this test: resumed when they break off, refused when they are not what they claim."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images import as_zip, png

from suite.data import fetch as fetching
from suite.data import progress
from suite.data.errors import DataFault, DataMissing
from suite.data.fetch import download


class Site(http.server.ThreadingHTTPServer):
    """Serves ``content``; what it does wrong is set by a test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = b""
        self.version = '"one"'
        self.breaks_after: list[int] = []  # bytes after which an answer breaks off, one for each request
        self.status = 200
        self.ranges = True
        self.asked: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/served.zip"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        site, wanted = self.server, self.headers.get("Range")
        site.asked.append(wanted)
        if site.status != 200:
            self.send_error(site.status)
            return
        start = 0
        if wanted and site.ranges and self.headers.get("If-Range") == site.version:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(site.content) and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(site.content) - start))
        if site.version:
            self.send_header("ETag", site.version)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
        self.end_headers()
        stop = start + site.breaks_after.pop(0) if site.breaks_after else None
        self.wfile.write(site.content[start:stop])

    def log_message(self, *ignored: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetching, "PAUSE", 0.01)
    monkeypatch.setattr(fetching, "_PIECE", 4096)
    with Site() as made:
        made.content = as_zip(tmp_path / "made.zip", {f"{n}.png": png(n, 60) for n in range(20)}).read_bytes()
        thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def get(site: Site, folder: Path, **options: Any) -> Path:
    return download("set", site.address, folder / "deep" / "served.zip", kind="zip", **options)


def left(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_good_file_comes_once_and_its_progress_is_told(site: Site, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    md5 = hashlib.md5(site.content).hexdigest()
    with progress.told_to(lambda what, done, total: told.append((done, total))):
        path = get(site, tmp_path / "root", md5=md5)
    assert path.read_bytes() == site.content
    assert told[-1] == (len(site.content), len(site.content))
    assert len(told) > 5
    get(site, tmp_path / "root", md5=md5)
    assert len(site.asked) == 1
    assert left(tmp_path / "root") == ["deep/served.zip"]


def test_what_breaks_off_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [20_000, 15_000]
    path = get(site, tmp_path / "root", md5=hashlib.md5(site.content).hexdigest())
    assert path.read_bytes() == site.content
    assert site.asked == [None, "bytes=20000-", "bytes=35000-"]


def test_the_next_command_goes_on_too(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [20_000, 0, 0, 0]
    with pytest.raises(DataMissing) as missing:
        get(site, tmp_path / "root")
    assert "20000 bytes have come, and the same command goes on" in str(missing.value)
    assert not (tmp_path / "root/deep/served.zip").exists()
    assert get(site, tmp_path / "root").read_bytes() == site.content
    assert site.asked[-1] == "bytes=20000-"
    assert left(tmp_path / "root") == ["deep/served.zip"]


@pytest.mark.parametrize("change", ["version", "ranges"])
def test_another_version_or_a_site_without_ranges_starts_anew(
    site: Site, tmp_path: Path, change: str
) -> None:
    site.breaks_after = [20_000]
    if change == "ranges":
        site.ranges = False
        assert get(site, tmp_path / "root").read_bytes() == site.content
        return
    site.breaks_after += [0, 0, 0]
    with pytest.raises(DataMissing):
        get(site, tmp_path / "root")
    site.version = '"two"'
    site.content = as_zip(tmp_path / "other.zip", {"other.png": png(99, 200)}).read_bytes()
    assert get(site, tmp_path / "root").read_bytes() == site.content


def test_without_a_version_nothing_is_pieced_together(site: Site, tmp_path: Path) -> None:
    site.version, site.breaks_after = "", [20_000]
    assert get(site, tmp_path / "root").read_bytes() == site.content
    assert site.asked == [None, None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>please log in</html>", "sent a web page, not a zip archive"),
        (b"", "sent nothing, not a zip archive"),
        (b"\x1f\x8b a gzip", "sent something else, not a zip archive"),
    ],
)
def test_what_is_no_archive_is_refused(site: Site, tmp_path: Path, content: bytes, said: str) -> None:
    site.content = content
    with pytest.raises(DataFault) as fault:
        get(site, tmp_path / "root")
    assert said in str(fault.value)
    assert site.address in str(fault.value)
    assert left(tmp_path / "root") == []


def test_a_wrong_digest_is_refused(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataFault) as fault:
        get(site, tmp_path / "root", md5="0" * 32)
    assert hashlib.md5(site.content).hexdigest() in str(fault.value)
    assert left(tmp_path / "root") == []
    assert list((tmp_path / "root/deep").iterdir()) == []


def test_a_file_that_examination_refuses_is_refused(site: Site, tmp_path: Path) -> None:
    def examine(path: Path) -> None:
        assert path.read_bytes() == site.content
        raise DataFault(f"{path} is not the set")

    with pytest.raises(DataFault, match=f"^{site.address} is not the set$"):
        get(site, tmp_path / "root", examine=examine)
    assert left(tmp_path / "root") == []


@pytest.mark.parametrize(("status", "said"), [(404, "answers 404"), (403, "answers 403"), (503, "503")])
def test_a_site_that_refuses_is_quoted(site: Site, tmp_path: Path, status: int, said: str) -> None:
    site.status = status
    with pytest.raises(DataMissing) as missing:
        get(site, tmp_path / "root")
    assert said in str(missing.value)
    assert "\n" not in str(missing.value)
    assert len(site.asked) == (1 if status < 500 else fetching.ATTEMPTS)
    assert left(tmp_path / "root") == []


def test_a_part_longer_than_the_file_starts_anew(site: Site, tmp_path: Path) -> None:
    site.breaks_after = [20_000, 0, 0, 0]
    with pytest.raises(DataMissing):
        get(site, tmp_path / "root")
    site.content = as_zip(tmp_path / "other.zip", {"small.png": png(1)}).read_bytes()
    assert get(site, tmp_path / "root").read_bytes() == site.content


def test_no_server_and_no_place_are_one_line(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="cannot be had now"):
        download("set", "http://127.0.0.1:9/x.zip", tmp_path / "x.zip", kind="zip")
    (tmp_path / "file").touch()
    with pytest.raises(DataMissing, match="cannot be written"):
        download("set", site.address, tmp_path / "file" / "x.zip", kind="zip")


def test_two_that_fetch_at_once_end_with_one_file(site: Site, tmp_path: Path) -> None:
    threads = [threading.Thread(target=get, args=(site, tmp_path / "root")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert left(tmp_path / "root") == ["deep/served.zip"]
    assert len(site.asked) == 1
