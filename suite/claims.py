"""Claims: who works in a folder of the store, with no lock to be undone by hand.

A claim is a file ``claim.json`` that says host, process, its start and a token; its owner's heartbeat thread
touches it every few seconds. It is created by a hard link, which only one process can win. A claim is dead
when its process is gone (same host), or when its heartbeat stands still for a minute (another host); who
finds it dead takes it over. Taking over is itself guarded by a claim named after the dead one's token, so
that of many finders one wins and a fresh claim is never mistaken for the dead one. Nothing here relies on
file locks, so network file systems will do: a claim is opened before its age is taken, since only opening makes
their clients look anew, and ages are told by the file system's own clock.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

NAME = "claim.json"
BEAT = 5.0
"""Seconds between two touches of a claim."""
SILENCE = 60.0
"""Seconds without a touch after which the owner on another host counts as dead."""
LITTER = 3600.0
"""Seconds after which what a killed claimant left half made is removed."""


@dataclass(frozen=True)
class Owner:
    """Who holds a claim, as the file says, and how many seconds ago it was last touched."""

    host: str
    machine: str
    pid: int
    started: str
    token: str
    silence: float
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether the owner still works; see the module's text."""
        if self.machine and self.machine == machine():
            return process_start(self.pid) == self.started
        return self.silence < SILENCE

    def __str__(self) -> str:
        return f"{self.host}, process {self.pid}"


class Claim:
    """A claim that this process holds. A context manager; leaving it releases the claim."""

    def __init__(self, path: Path, token: str) -> None:
        self.path, self.token = path, token
        self._done = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {path.parent.name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether someone else took the claim over (this process slept for too long, or the folder was
        removed).
        """
        return self._lost

    def held(self) -> bool:
        """Whether it is still held, looked up at this moment."""
        self._lost = self._lost or _token_in(self.path) != self.token
        return not self._lost

    def _beat(self) -> None:
        while not self._done.wait(BEAT):
            with suppress(OSError):
                if not self.held():
                    return
                os.utime(self.path)

    def release(self) -> None:
        """Give the claim up; harmless when it was lost."""
        self._done.set()
        self._thread.join()
        with suppress(OSError):
            if _token_in(self.path) == self.token:
                self.path.unlink()

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def claim(folder: Path, **facts: Any) -> Claim | None:
    """Claim a folder (made if need be); None when a living owner has it. ``facts`` are kept in the file for
    people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = _acquire(folder / NAME, facts)
    if not token:
        return None
    _sweep(folder)
    return Claim(folder / NAME, token)


def owner(folder: Path) -> Owner | None:
    """Who holds the claim on a folder, dead or alive; None when there is none."""
    found = _read(folder / NAME, time.time())
    if found is None or found.machine == machine():
        return found
    # Another host's claim is judged by its age, and this host's clock may be wrong.
    return replace(found, silence=found.silence + _clock(folder) - time.time())


def held(folder: Path) -> bool:
    """Whether a living owner has the claim on a folder."""
    found = owner(folder)
    return found is not None and found.alive


def _clock(folder: Path) -> float:
    """The file system's time, told by a file made for it; this host's where none can be made."""
    probe = folder / f".{NAME}.{uuid.uuid4().hex}"
    try:
        with probe.open("xb") as stream:
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink()


def _sweep(folder: Path) -> None:
    """Remove what claimants left that were killed while they claimed."""
    for path in (*folder.glob(f".{NAME}.*"), *folder.glob(f"{NAME}.*")):
        with suppress(OSError):
            if (folder / NAME).stat().st_mtime - path.stat().st_mtime > LITTER:
                path.unlink()


@cache
def machine() -> str:
    """What tells this machine, this boot and this process-number space from others; empty where it is not
    known.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()}:{boot}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def process_start(pid: int) -> str:
    """When a process of this machine started, as text that only serves to compare; empty when it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The name, in brackets, may hold spaces: count from the last bracket. A zombie is gone.
            fields = stat.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(round(process.create_time()))
    except psutil.Error:
        return ""


def _acquire(path: Path, facts: Mapping[str, Any]) -> str:
    """The token of a claim file at ``path`` made for this process, or the empty string."""
    token = uuid.uuid4().hex
    mine = path.with_name(f".{path.name}.{token}")
    content = {
        "host": socket.gethostname(),
        "machine": machine(),
        "pid": os.getpid(),
        "started": process_start(os.getpid()),
        "token": token,
        **facts,
    }
    try:
        mine.write_text(json.dumps(content))
        while not _create(mine, path):
            # The file just written gives the time on the file system's own clock.
            found = _read(path, mine.stat().st_mtime)
            if found is None:
                continue
            if found.token == token:
                # A network file system made the link, lost its answer, and refused the second try.
                return token
            return token if not found.alive and _inherit(mine, path, found.token) else ""
        return token
    finally:
        mine.unlink(missing_ok=True)


def _create(mine: Path, path: Path) -> bool:
    try:
        os.link(mine, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        return _create_without_link(mine, path)
    return True


def _create_without_link(mine: Path, path: Path) -> bool:
    """For file systems without hard links: exclusive creation, with a moment in which the file is empty."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(mine.read_bytes())
    except OSError:
        # Half a claim would keep everybody waiting.
        path.unlink(missing_ok=True)
        raise
    return True


def _inherit(mine: Path, path: Path, dead: str) -> bool:
    """Take over the claim whose token is ``dead``: only its heir may replace it, and only while it is still
    there.
    """
    heir = path.with_name(f"{path.name}.{dead or 'spoilt'}")
    guard = _acquire(heir, {})
    if not guard:
        return False
    try:
        if _token_in(path) != dead:
            return False
        # A copy, since the caller removes its own file.
        copy = mine.with_name(f"{mine.name}.new")
        copy.write_bytes(mine.read_bytes())
        os.replace(copy, path)
        return True
    finally:
        heir.unlink(missing_ok=True)


def _read(path: Path, now: float) -> Owner | None:
    try:
        with path.open("rb") as stream:
            silence = now - os.fstat(stream.fileno()).st_mtime
            text = stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        content = dict(json.loads(text))
        known = {name: content.pop(name) for name in ("host", "machine", "pid", "started", "token")}
        return Owner(**known, silence=silence, facts=content)
    except (ValueError, TypeError, KeyError):
        # Empty while it is being created where links fail, or spoilt: only its age can tell.
        return Owner("unknown host", "", 0, "", "", silence)


def _token_in(path: Path) -> str | None:
    """The token in a claim file: empty when it is spoilt, None when there is none."""
    found = _read(path, time.time())
    return None if found is None else found.token


Waiting = Callable[[], bool]


def wait(folder: Path, until: Callable[[], bool], stop: Waiting, **facts: Any) -> Claim | None:
    """Claim a folder as soon as it is free, unless ``until`` comes true first (then None) or ``stop`` does
    (then None).
    """
    while not stop():
        if until():
            return None
        if (held := claim(folder, **facts)) is not None:
            return held
        time.sleep(0.3)
    return None
