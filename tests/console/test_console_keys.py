"""Keys in a browser, while a real client fetches them: found, looked at, ended and brought back, alone and by two."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser
from tests.console.conftest import Console

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.browsing import SMALL, Watched, opened
from keyrack.testing.certificates import client
from keyrack.testing.client import Client
from keyrack.testing.ttlv import text
from keyrack.testing.vcenter import VCenter

SETTLED = 20
"""Fetches of one key after which a page's act counts as seen by the client."""


@dataclass
class Fetching:
    """A client that asks for one key again and again, and remembers what it was told."""

    client: Client
    key: str
    told: list[bool] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _more: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._fetch, daemon=True)
        self._thread.start()

    def _fetch(self) -> None:
        while not self._over.is_set():
            answer = self.client.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, self.key))
            with self._more:
                self.told.append(answer.ok)
                self._more.notify_all()
            self._over.wait(0.01)

    def now(self) -> set[bool]:
        """What it is told from now on."""
        with self._more:
            # One may be on its way while the page answers.
            begun = len(self.told) + 1
            assert self._more.wait_for(lambda: len(self.told) >= begun + SETTLED, 10)
            return set(self.told[begun:])

    def end(self) -> None:
        """No more."""
        self._over.set()
        self._thread.join(10)


@dataclass
class Site:
    """The console, and a client whose instance ``prod`` has keys of three machines and a host."""

    console: Console
    client: Client
    keys: dict[str, str]
    """By the names of the machines."""


@pytest.fixture(scope="module")
def site(console: Console) -> Iterator[Site]:
    deployment = console.web.deployment
    identity = client(deployment.authority, "vcenter")
    deployment.add_client("prod", identity, create=True)
    address, context = deployment.await_address(lambda: True), deployment.context(identity)
    report = VCenter(address, context).play(virtual_machines=3, hosts=1)
    assert report.ok
    with Client(address, context) as opened_client:
        yield Site(console, opened_client, {held.machine.name: held.identifier for held in report.keys})


def act(page: Watched, name: str, words: str = "", why: str = "") -> None:
    """On the page of a key: go to the act's page, type what it wants, and send it."""
    here = page.page
    here.click(f".acts a[href$='/{name}']")
    if words:
        assert words in here.inner_text(".impact")
        here.fill("#confirmation", words)
    if why:
        here.fill("#why", why)
    here.click("main form button.first")
    here.wait_for_url(f"**done=key-{name}")


def test_a_key_is_ended_and_brought_back_while_a_client_fetches_it(browser: Browser, site: Site) -> None:
    """Deactivated, restored, destroyed, undone: at once, with the machine named, and the journal beside it."""
    key = site.keys["vm-01"]
    fetching = Fetching(site.client, key)
    try:
        with opened(browser, site.console.url) as page:
            here = page.page
            page.log_in("sofia")
            page.go("/instances/prod/keys")
            here.wait_for_selector("#key-figures:not([aria-busy])")
            assert "4\nActive" in here.inner_text("#key-figures")
            page.check()
            here.fill("#named", "VM-01")
            here.press("#named", "Enter")
            here.wait_for_url("**/keys?named=VM-01*")
            here.click("tbody th a")
            assert fetching.now() == {True}

            act(page, "deactivate", "vm-01", "moved to another cluster")
            assert "Deactivated" in here.inner_text("main .status >> nth=1")
            here.wait_for_selector("#key-events:has-text('Get')")
            page.check()
            act(page, "restore")
            assert fetching.now() == {True}

            act(page, "deactivate", "vm-01")
            here.click(".acts a[href$='/destroy']")
            page.expected.add(422)
            here.fill("#confirmation", "vm-02")
            here.fill("#why", "its machine is gone")
            here.click("main form button.first")
            assert "vm-01" in here.inner_text("#confirmation-wrong")
            assert here.input_value("#why") == "its machine is gone"
            here.fill("#confirmation", "vm-01")
            here.click("main form button.first")
            here.wait_for_url("**done=key-destroy")
            assert fetching.now() == {False}
            assert "to come" in here.inner_text("ol.life")
            page.check()

            act(page, "recover")
            act(page, "restore")
            assert fetching.now() == {True}
            here.go_back()
            here.go_back()
            assert "/keys/" in here.url
    finally:
        fetching.end()


def test_what_two_people_must_want_waits_and_is_done_by_the_second(browser: Browser, site: Site) -> None:
    """Asked for on the keys' page, told as waiting, agreed to by another person with the machine's name."""
    site.console.web.deployment.run("instance", "dual-control", "on", "prod")
    keys = [site.keys["vm-02"], site.keys["vm-03"]]
    with opened(browser, site.console.url) as page, opened(browser, site.console.url, theme="dark") as other:
        here, there = page.page, other.page
        page.log_in("sofia")
        for name in ("deactivate", "destroy"):
            page.go("/instances/prod/keys?named=vm-0&sort=name")
            for key in keys:
                here.check(f"tbody input[value='{key}']")
            here.select_option("#act", name)
            here.click("text=Continue")
            here.fill("#confirmation", "2 keys")
            here.fill("#why", "moved to another cluster")
            page.expected.add(202)
            here.click("main form button.first")
            here.wait_for_load_state()
        assert "waits for a second person" in here.inner_text("main")
        here.click("text=See what was asked for")
        assert "not you" in here.inner_text("main")
        address = here.url.removeprefix(site.console.url)

        other.log_in("mara")
        other.go("/approvals")
        there.wait_for_selector(".menu .count:has-text('1')")
        other.check()
        there.click("tbody th a")
        assert address in there.url
        assert "vm-02" in there.inner_text(".impact")
        other.check()
        there.fill("#confirmation", "2 keys")
        there.click("button.danger")
        there.wait_for_url("**done=agreed")
        for key in keys:
            assert not site.client.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, key)).ok
        page.go(f"/instances/prod/keys/{keys[0]}")
        here.wait_for_selector("#key-events li .status.bad")
        assert here.locator("#key-events li:has-text('moved to another cluster')").count() == 2


def test_on_a_phone_and_without_scripts_keys_can_be_read(browser: Browser, site: Site) -> None:
    """The table, a key and an act's page; nothing of them is wider than the screen."""
    key = site.keys["vm-01"]
    pages = ("/instances/prod/keys", f"/instances/prod/keys/{key}", f"/instances/prod/keys/{key}/deactivate")
    with opened(browser, site.console.url, viewport=SMALL) as page:
        page.log_in("sofia")
        for path in pages:
            page.go(path)
            page.check()
            assert page.page.evaluate("() => document.documentElement.scrollWidth") <= SMALL["width"], path
    with opened(browser, site.console.url, java_script_enabled=False) as page:
        page.log_in("sofia")
        page.go(pages[0])
        page.page.click("thead a:has-text('Last fetch')")
        assert "sort=-last-fetch" in page.page.url
        page.go(pages[1])
        page.page.click("#key-events a")
        assert "Get" in page.page.inner_text("#key-events")
