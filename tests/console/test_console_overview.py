"""Overview and server before a real server at work: numbers and plots that go on by themselves, trouble in words."""

import os
import re
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest
from playwright.sync_api import Browser
from tests.console.conftest import Console

from keyrack.testing.browsing import SMALL, Watched, opened
from keyrack.testing.certificates import client
from keyrack.testing.client import Client
from keyrack.testing.vcenter import VCenter

DRAWN = """() => [...document.querySelectorAll("[data-plot] canvas")]
  .filter((canvas) => canvas.width > 100 && canvas.toDataURL().length > 3000).length"""
"""Plots with more in them than nothing: an empty one of this size has a thousand characters."""


@pytest.fixture(scope="module")
def vcenter(console: Console) -> ssl.SSLContext:
    """An instance, and the certificate of a vCenter that may use it."""
    deployment = console.web.deployment
    identity = client(deployment.authority, "vcenter")
    deployment.add_client("a", identity, create=True)
    return deployment.context(identity)


@contextmanager
def at_work(console: Console, context: ssl.SSLContext) -> Iterator[None]:
    """A vCenter that encrypts and reboots as long as the block lasts, and a stranger who knocks."""
    address, end = console.web.deployment.await_address(lambda: True), Event()

    def work() -> None:
        while not end.is_set():
            VCenter(address, context).play(1, 1)
            with suppress(OSError):
                Client(address, console.web.deployment.context(None)).close()
            end.wait(0.3)

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def keys_on(page: Watched) -> int:
    """As the first figure says."""
    return int(page.page.inner_text(".figure strong >> nth=0").replace(",", ""))


def await_text(page: Watched, selector: str, wanted: str, *, seconds: float = 15) -> None:
    """Until the page says it, by itself."""
    page.page.wait_for_function(
        "([where, wanted]) => document.querySelector(where)?.innerText.includes(wanted)",
        arg=[selector, wanted],
        timeout=seconds * 1000,
    )


def test_numbers_and_plots_go_on_by_themselves(browser: Browser, console: Console, vcenter: ssl.SSLContext) -> None:
    with opened(browser, console.url) as page:
        page.log_in("mara")
        await_text(page, "h2#next-steps", "Next steps", seconds=5)
        page.check()
        with at_work(console, vcenter):
            page.go("/")
            before = keys_on(page)
            page.page.focus("[data-span=day]")
            page.page.evaluate("() => document.querySelector('details.panel').open = true")
            page.page.wait_for_function(f"() => ({DRAWN})() === 4", timeout=30_000)
            page.page.wait_for_function(
                "before => Number(document.querySelector('.figure strong').innerText.replace(',', '')) > before",
                arg=before,
                timeout=15_000,
            )
        # What goes on by itself takes nobody's place in the page away, and closes nothing.
        assert page.page.evaluate("() => document.activeElement.dataset.span") == "day"
        assert page.page.evaluate("() => document.querySelector('details.panel').open")
        page.page.click("[data-span=day]")
        page.page.wait_for_function(f"() => ({DRAWN})() === 4")
        assert "All is well" in page.page.inner_text("#verdict")
        assert "Unwraps" in page.page.inner_text("#above table")
        page.check()
        page.page.emulate_media(color_scheme="dark")
        page.page.wait_for_timeout(300)
        page.check()
        page.go("/server")
        page.check()


def test_without_javascript_all_of_it_can_be_read(browser: Browser, console: Console, vcenter: ssl.SSLContext) -> None:
    with opened(browser, console.url, java_script_enabled=False) as page:
        page.log_in("mara")
        page.go("/")
        page.page.click("details.panel summary")
        said = page.page.inner_text("main")
        for each in ("All is well", "Get Attributes", "Key manager, ms", "35 seconds", "364 days"):
            assert each in said
        assert page.page.is_hidden("[data-plots]")
        page.go("/server")
        assert re.search(r"kmip-0\s+Takes them", page.page.inner_text("main"))


def test_the_certificate_is_renewed_once_the_name_is_typed(
    browser: Browser, console: Console, vcenter: ssl.SSLContext
) -> None:
    """And is in force in every process before the page says so."""
    with opened(browser, console.url) as page:
        page.expected.add(409)
        page.log_in("mara")
        page.go("/server")
        before = page.page.inner_text("#server-sha256")
        page.page.click("text=Renew it")
        page.page.fill("#days", "400")
        page.page.click("button.danger")
        assert page.page.input_value("#days") == "400"
        page.check()
        page.page.fill("#confirmation", page.page.input_value("[name=asked]"))
        page.page.click("button.danger")
        page.page.wait_for_url("**/server?done=server-certificate")
        assert page.page.inner_text("#server-sha256") != before
        assert "1 of 1" in page.page.inner_text("#certificate")
        page.check()


def test_what_stops_is_told_within_seconds(browser: Browser, console: Console, vcenter: ssl.SSLContext) -> None:
    """A serving process that hangs; then, the last of all, a root key that is disabled behind the server's back."""
    deployment = console.web.deployment
    assert deployment.process is not None
    with opened(browser, console.url, viewport=SMALL, theme="dark") as page:
        page.log_in("mara")
        await_text(page, "#verdict", "All is well")
        os.kill(deployment.process.pid, signal.SIGSTOP)
        try:
            await_text(page, "#above", "The serving processes keep us waiting")
        finally:
            os.kill(deployment.process.pid, signal.SIGCONT)
        await_text(page, "#verdict", "All is well")
        (root_key,) = {each.root_key for each in console.web.instances()}
        deployment.run("root-key", "disable", root_key, "--yes", "a root key")
        await_text(page, "#above", "The root key of a cannot be used")
        page.check()
