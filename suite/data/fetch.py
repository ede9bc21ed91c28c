"""Downloading: what breaks off goes on where it stopped, and what is not the file it claims to be never takes
its place.

A download grows in a folder ``<file>.part`` beside its place, claimed by the process that does it. It is moved
into place when it has the length that the server said, begins as a file of its kind does (sites answer with a
page for people when a file has moved or wants a log-in) and has the published digest.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from suite import claims, files
from suite.data import progress
from suite.data.archive import kind_of
from suite.data.errors import DataFault, DataMissing

TIMEOUT = 30.0
ATTEMPTS = 3
"""Tries in a row that bring nothing before a download is given up for now."""
PAUSE = 1.0
_PIECE = 2**20
_KINDS = {"zip": "a zip archive", "gzip": "a gzip archive"}


def download(
    what: str,
    address: str,
    target: Path,
    *,
    kind: str,
    md5: str = "",
    examine: Callable[[Path], object] | None = None,
) -> Path:
    """Bring ``address`` to ``target`` and return it; nothing is done when it is there.

    ``kind``: what the file must be by its first bytes (see :func:`suite.data.archive.kind_of`). ``examine``
    raises DataFault on a file that is not what is wanted. DataMissing when it cannot be had just now (what has
    come stays for the next time), DataFault when it is the wrong file (nothing stays).
    """
    if target.is_file():
        return target
    part = target.with_name(f"{target.name}.part")
    transfer = _Transfer(what, address, part, kind)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if (held := claims.wait(part, target.is_file, lambda: False, kind="download")) is not None:
            with held:
                transfer.run()
                _check(transfer, target, md5, examine)
                os.replace(transfer.file, target)
                transfer.discard()
            files.sync_folder(target.parent)
    except OSError as error:
        raise DataMissing(f"{what} cannot be written to {target} ({error})") from error
    finally:
        with suppress(OSError):  # not empty: something has come, and the next download goes on with it
            part.rmdir()
    return target


def _check(transfer: _Transfer, target: Path, md5: str, examine: Callable[[Path], object] | None) -> None:
    try:
        if md5 and (found := _md5(transfer.file)) != md5:
            raise DataFault(
                f"{transfer.address} is not the published {target.name} (MD5 {found}, not {md5}): it was removed"
            )
        if examine is not None:
            examine(transfer.file)
    except DataFault as fault:
        transfer.discard()
        raise DataFault(str(fault).replace(str(transfer.file), transfer.address)) from fault


def _md5(file: Path) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while piece := stream.read(_PIECE):
            found.update(piece)
    return found.hexdigest()


class _Transfer:
    """A download in its folder: ``file`` grows, ``state.json`` keeps what tells one version of it from another."""

    def __init__(self, what: str, address: str, folder: Path, kind: str) -> None:
        self.what, self.address, self.kind = what, address, kind
        self.file, self._state = folder / "file", folder / "state.json"

    def discard(self) -> None:
        """Forget what has come."""
        self.file.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    def run(self) -> None:
        """Until all has come. Only tries that bring nothing are counted."""
        idle = 0
        while True:
            before = self._have()
            try:
                if self._attempt():
                    return
                reason = "it broke off"
            except urllib.error.HTTPError as error:
                with error:
                    reason = f"{error.code} {error.reason}"
                if error.code == 416:  # what is here is no beginning of what is there
                    self.discard()
                elif error.code < 500:
                    raise DataMissing(f"{self.what}: {self.address} answers {reason}") from error
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
            idle = 0 if self._have() > before else idle + 1
            if idle >= ATTEMPTS:
                come = (
                    f"; {self._have()} bytes have come, and the same command goes on" if self._have() else ""
                )
                raise DataMissing(f"{self.what}: {self.address} cannot be had now ({reason}){come}")
            time.sleep(PAUSE)

    def _have(self) -> int:
        return self.file.stat().st_size if self.file.exists() else 0

    def _attempt(self) -> bool:
        """Ask for the rest and take what comes; whether that was all."""
        have = self._have()
        version = files.peek_json(self._state).get("version")
        headers = {"User-Agent": "dissolving-suite", "Accept-Encoding": "identity"}
        if have and version:
            headers |= {"Range": f"bytes={have}-", "If-Range": str(version)}
        request = urllib.request.Request(self.address, headers=headers)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            whole = int(answer.headers.get("Content-Length") or 0)
            if answer.status == 206:
                if not str(answer.headers.get("Content-Range")).startswith(f"bytes {have}-"):
                    self.discard()
                    return False
                whole += have
            else:
                self.discard()
                have = 0
            tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            if tag and not tag.startswith("W/"):
                files.write_json(self._state, {"address": self.address, "version": tag})
            return self._take(answer, have, whole)

    def _take(self, answer: http.client.HTTPResponse, have: int, whole: int) -> bool:
        with self.file.open("ab") as stream:
            while piece := self._piece(answer):
                if not have and (found := kind_of(piece[:1024])) != self.kind:
                    self.discard()
                    sent = {"html": "a web page", "empty": "nothing"}.get(found, "something else")
                    raise DataFault(f"{self.address} sent {sent}, not {_KINDS[self.kind]}: nothing was kept")
                stream.write(piece)
                have += len(piece)
                progress.report(f"downloading {self.what}", have, whole)
        if not have:
            self.discard()
            raise DataFault(f"{self.address} sent nothing, not {_KINDS[self.kind]}")
        return not whole or have >= whole

    def _piece(self, answer: http.client.HTTPResponse) -> bytes:
        try:
            return answer.read(_PIECE)
        except http.client.IncompleteRead:
            return b""
        except OSError as error:  # of the connection, not of the disk
            raise ConnectionError(str(error)) from error
