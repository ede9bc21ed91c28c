"""The verb that shows the mirror in a browser: MLflow's own server, on this machine only, opened where one looks."""

from __future__ import annotations

import http.client
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from suite.verbs import common
from suite.verbs.common import FAILED, OK, Ask, say
from suite.vocabulary import SpecErrors

if TYPE_CHECKING:
    from suite.store import Store

HOST = "127.0.0.1"
START = 300.0
"""Seconds that the server may take to answer: on a busy machine it needs more than one minute."""
QUIET = {
    # Workers for evaluating language models: eight processes that nothing here asks for.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONWARNINGS": "ignore",
}


def ui(ask: Ask, uri: str | None, port: int, browser: bool) -> int:
    """Bring MLflow up to date, serve its pages until interrupted, and open the experiment of a spec."""
    from suite import tracking

    store = ask.open()
    plans = common.plans_of(ask) if ask.specs else common.remembered(store)[0]
    names = list(dict.fromkeys(plan.spec.name for plan in plans))
    where = tracking.tracking_uri(store, uri)
    if importlib.util.find_spec("mlflow") is None:
        raise SpecErrors(["MLflow is not installed: pip install mlflow (tables need none: suite report)"])
    tracking.sync(common.latest(plans), store, uri, check=False, data_root=ask.data_root)
    known = tracking.experiments(store, uri)
    asked = [name for name in names if name in known]
    if ask.specs and not asked:
        raise SpecErrors([f"{', '.join(names)}: nothing to show yet: suite run {' '.join(ask.specs)}"])
    if tracking.is_server(where):
        address = _address(tracking.pages(store, uri), asked, store, uri)
        say(address)
        _open(address, browser)
        return OK
    free = _free(port)
    if free != port:
        say(f"port {port} is taken, so {free} is used (links of reports: --mlflow-url http://{HOST}:{free})")
    address = _address(f"http://{HOST}:{free}", asked, store, uri)
    return _served(command(where, store, free), address, free, browser)


def command(uri: str, store: Store, port: int) -> list[str]:
    """The server of MLflow's pages, reachable from this machine only; what other programs send it goes into the
    store.
    """
    words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    words += ["--artifacts-destination", str((store.root / "mlflow" / "received").absolute())]
    return [*words, "--host", HOST, "--port", str(port), "--workers", "1"]


def _address(base: str, names: Sequence[str], store: Store, uri: str | None) -> str:
    """The page of the experiment that is meant, or the list of them all."""
    from suite import tracking
    from suite.mirror import view

    known = tracking.experiments(store, uri)
    if len(names) != 1:
        return f"{base}/#/experiments"
    return view.address(base, known[names[0]].id)


def _free(port: int) -> int:
    """This port, or any other when it is taken."""
    for wanted in (port, 0):
        with socket.socket() as probe:
            # As the server does: a port that was in use a moment ago is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((HOST, wanted))
                return int(probe.getsockname()[1])
    raise SpecErrors([f"no port is free on {HOST}"])


def _served(words: Sequence[str], address: str, port: int, browser: bool) -> int:
    say("MLflow is starting (some twenty seconds, more on a busy machine)")
    with tempfile.TemporaryFile("w+") as log, _running(words, log) as server:
        if not _answers(server, port):
            log.seek(0)
            last = [line for line in log.read().splitlines() if line.strip()][-1:]
            say(f"MLflow did not start: {' '.join(last) or 'it does not answer'}")
            return FAILED
        say(f"{address} (Ctrl-C ends it)")
        _open(address, browser)
        server.wait()
        return OK


@contextmanager
def _running(words: Sequence[str], log: object) -> Iterator[subprocess.Popen[bytes]]:
    """The server in a process group of its own, all of which ends with us, also on SIGTERM; Ctrl-C is a usual
    end.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    server = subprocess.Popen(
        words,
        stdout=log,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT,
        env={**os.environ, **QUIET},
        start_new_session=True,
    )
    try:
        yield server
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(server.pid, number)
            with suppress(subprocess.TimeoutExpired):
                server.wait(10)


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server answers; False when it ended before, or takes too long."""
    end = time.monotonic() + START
    while server.poll() is None and time.monotonic() < end:
        with suppress(OSError, http.client.HTTPException):
            asked = http.client.HTTPConnection(HOST, port, timeout=5)
            asked.request("GET", "/health")
            if asked.getresponse().status == http.client.OK:
                return True
        time.sleep(0.3)
    return False


def _open(address: str, browser: bool) -> None:
    """In the user's browser, where there is a screen."""
    screen = (
        sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if browser and screen:
        with suppress(webbrowser.Error):
            webbrowser.open(address)
