"""A real browser without a window (Debian's chromium, or Chrome), that reaches no network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


@contextmanager
def chromium(profile: Path, *hosts: str) -> Iterator[Any]:
    """A browser context of Playwright with a profile of its own, which finds these hosts alone; the test is skipped
    where there is none.
    """
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"there is no browser: none of {', '.join(PROGRAMS)} is installed (Debian: chromium)")
    # Whatever the browser itself would look up is not found.
    rules = ["MAP * ~NOTFOUND", *(f"EXCLUDE {host}" for host in hosts)]
    flags = [*FLAGS, f"--host-resolver-rules={', '.join(rules)}"]
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=program, args=flags, viewport={"width": 1300, "height": 900}
        )
        try:
            yield context
        finally:
            context.close()


class Watched:
    """A page in the browser, and all that it did beside showing itself."""

    def __init__(self, context: Any, file: Path) -> None:
        self.requests: list[str] = []
        self.trouble: list[str] = []
        self.page = context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.trouble.append(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.goto(file.as_uri())

    def _dialog(self, dialog: Any) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def quiet(self, file: Path) -> bool:
        """Whether it asked for nothing but itself, said nothing, and opened no alert."""
        kept = [url for url in self.requests if not url.startswith("data:")]
        return kept == [file.as_uri()] and not self.trouble
