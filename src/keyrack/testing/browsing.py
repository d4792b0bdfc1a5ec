"""A real browser, Debian's Chromium, before a real console: what a page shows, says on its console, and sends.

with chromium() as browser, opened(browser, console.url) as page:
    page.log_in("mara")
    page.go("/instances")
    page.check()   # nothing on the browser's console, no violation of the policy, nothing that axe finds
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from keyrack.testing.people import PASSWORD

BINARY: Final = Path("/usr/bin/chromium")
FLAGS: Final = (
    "--no-sandbox",  # as root, on machines that tests run on
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE: Final = Path(__file__).parents[3] / "tests" / "console" / "vendor" / "axe-4.14.1.min.js"
SMALL: Final = {"width": 390, "height": 844}
"""A phone."""
LARGE: Final = {"width": 1360, "height": 900}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, ended with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(BINARY), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page that remembers what went wrong in it."""

    page: Page
    url: str
    """Scheme, host and port of the console."""
    wrongs: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=lambda: {200, 303, 304})
    """Statuses that count as right; a browser's console tells of each refused request."""

    def __post_init__(self) -> None:
        """Listen."""
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrongs.append(f"page error: {error}"))
        self.page.on("requestfailed", self._failed)

    def go(self, path: str) -> None:
        """Open a page of the console."""
        self.page.goto(self.url + path, wait_until="load")

    def log_in(self, name: str, password: str = PASSWORD) -> None:
        """Through the page, as a person does."""
        if "/log-in" not in self.page.url:
            self.go("/log-in")
        self.page.fill("#name", name)
        self.page.fill("#password", password)
        self.page.click("main button.first")
        self.page.wait_for_url(lambda url: "/log-in" not in url)

    def check(self) -> None:
        """Raise ``AssertionError`` for whatever was wrong since the last time, and for what axe finds on the page."""
        found = self.violations()
        wrongs, self.wrongs = self.wrongs, []
        assert not wrongs, wrongs
        assert not found, json.dumps(found, indent=1)

    def violations(self) -> list[dict[str, Any]]:
        """What axe finds on the page as it is: each rule, and where."""
        if not self.page.evaluate("() => 'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            {"rule": each["id"], "help": each["help"], "at": [node["html"][:200] for node in each["nodes"]][:5]}
            for each in found["violations"]
        ]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not self._is_expected(message.text):
            self.wrongs.append(f"{message.type}: {message.text}")

    def _is_expected(self, text: str) -> bool:
        return any(f"status of {status}" in text for status in self.expected)

    def _failed(self, request: Request) -> None:
        if "ERR_ABORTED" not in (request.failure or ""):  # the page was left meanwhile
            self.wrongs.append(f"{request.method} {request.url}: {request.failure}")


@contextmanager
def opened(
    browser: Browser, url: str, *, language: str = "en", theme: str = "light", **options: Any
) -> Iterator[Watched]:
    """A new page in a context of its own: no cookie of another is there. ``options`` are Playwright's own."""
    settings: dict[str, Any] = {"viewport": LARGE, "timezone_id": "UTC", **options}
    context = browser.new_context(
        ignore_https_errors=True,  # the authority is a test's own; that it counts is tested with other clients
        locale={"zh-Hans": "zh-CN"}.get(language, language),
        color_scheme="dark" if theme == "dark" else "light",
        **settings,
    )
    context.set_default_timeout(10_000)
    try:
        yield Watched(context.new_page(), url)
    finally:
        context.close()
