"""Root keys in the browser, before a server of two processes and a client at work: what is clicked counts for both."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser
from tests.console.conftest import PEOPLE, Console, _let_in

from keyrack.domain.rights import Grant
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_1
from keyrack.testing import aside
from keyrack.testing import vcenter_frames as frames
from keyrack.testing.browsing import SMALL, Watched, opened
from keyrack.testing.certificates import client
from keyrack.testing.client import Client, answers
from keyrack.testing.web_process import web_process

KEYS = 120
WITHIN = 10.0
"""Seconds for what counts within one on a machine that has nothing else to do."""
ROOT_KEY = "a root key"
"""What ``keyrack instance create a`` has made."""
SPARE = "vmware-2"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Two serving processes, and a key manager that makes nobody wait."""
    directory = tmp_path_factory.mktemp("root-keys") / "d"
    settings = {
        "KEYRACK_API__REQUESTS_PER_SECOND": "10000",
        "KEYRACK_KMIP__WORKERS": "2",
        "KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__STATE_CHANGE_SECONDS": "0",
        "KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__ROTATE_SECONDS": "0",
    }
    with web_process(directory, **settings) as web:
        aside.run(_let_in(web, {name: tuple(map(Grant, roles)) for name, roles in PEOPLE.items()}))
        yield Console(web)


@dataclass
class AtWork:
    """A client that has keys, and fetches them on connections that both processes have taken."""

    console: Console
    keys: list[str] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)

    def fetched(self, key: str, client: Client) -> str:
        """What a Get comes to: empty, or why it was refused."""
        (answer,) = answers(client.exchange(frames.get(key)))[1]
        return "" if answer.ok else answer.message

    def all_fetch(self, *, served: bool) -> None:
        """Every connection is served, or refused, within :data:`WITHIN` seconds."""
        until = time.monotonic() + WITHIN
        while any((self.fetched(self.keys[0], each) == "") is not served for each in self.clients):
            assert time.monotonic() < until, "not every process has heard of it"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def at_work(console: Console) -> Iterator[AtWork]:
    deployment = console.web.deployment
    identity = client(deployment.authority, "a")
    deployment.add_client("a", identity, create=True)
    context, address = deployment.context(identity), deployment.await_address(lambda: True)
    work = AtWork(console)
    work.clients = [Client(address, context, version=V1_1) for _ in range(8)]
    for _ in range(KEYS):
        (made,) = answers(work.clients[0].exchange(frames.create()))[1]
        work.keys.append(made.payload.string(Tag.UNIQUE_IDENTIFIER))
    yield work
    for each in work.clients:
        each.close()


def test_a_root_key_is_made_and_found(browser: Browser, console: Console, at_work: AtWork) -> None:
    """What is wrong is told beside the field, and what was typed stays; with its policies, in dark on a phone too."""
    with opened(browser, console.url, theme="dark", viewport=SMALL) as page:
        page.expected.add(422)
        page.log_in("adam")
        page.go("/root-keys")
        page.check()
        page.page.click("text=Create a root key")
        page.check()
        page.page.evaluate("() => { document.querySelector('main form').noValidate = true }")
        page.page.fill("#name", "x")
        page.page.fill("#description", "of Berlin")
        page.page.click("main button.first")
        assert "at least 2" in page.page.inner_text("#name-wrong")
        assert page.page.input_value("#description") == "of Berlin"
        page.check()
        page.page.fill("#name", SPARE)
        page.page.select_option("#rotate_every_months", "6")
        page.page.click("main button.first")
        assert "The root key is made" in page.page.inner_text("[role=status]")
        assert "of Berlin" in page.page.inner_text("main")
        assert not page.page.locator("text=Set the policies").count()  # an administrator sets none
        assert page.page.locator("a.button").all_inner_texts() == ["Rotate"]
        page.check()
        page.go("/root-keys")
        assert [each.split("\n")[0] for each in page.page.locator("tbody th").all_inner_texts()] == [
            ROOT_KEY,
            SPARE,
        ]


def test_a_rotation_is_seen_to_its_end_while_keys_are_fetched(
    browser: Browser, console: Console, at_work: AtWork
) -> None:
    """The bar moves without the page being loaded again, and no Get fails meanwhile."""
    wrong: list[str] = []
    over = threading.Event()

    def fetch() -> None:
        while not over.is_set():
            wrong.extend(filter(None, (at_work.fetched(key, at_work.clients[1]) for key in at_work.keys[:5])))

    fetching = threading.Thread(target=fetch)
    fetching.start()
    try:
        with opened(browser, console.url) as page:
            page.log_in("mara")
            _to(page, ROOT_KEY)
            page.page.click("main a.button:text-is('Rotate')")
            assert "Nothing needs to be done in vCenter" in page.page.inner_text("main")
            page.check()
            page.page.click("main button.first")
            assert "new version" in page.page.inner_text("[role=status]")
            page.page.wait_for_selector("progress")
            page.check()
            page.page.evaluate("() => { window.stayed = true }")
            page.page.wait_for_selector(f"text=The newest version wraps all {KEYS} keys")
            assert page.page.evaluate("() => window.stayed")
            page.check()
            page.page.reload()
            assert [each.split()[0] for each in page.page.locator("h2:text('Versions') + .table tr").all_inner_texts()][
                1:
            ] == ["2", "1"]
    finally:
        over.set()
        fetching.join()
    assert not wrong


def test_disabled_no_key_is_handed_out_by_any_process(browser: Browser, console: Console, at_work: AtWork) -> None:
    """What may stop is shown, the name is wanted; enabled, keys are handed out again."""
    at_work.all_fetch(served=True)
    with opened(browser, console.url) as page:
        page.expected |= {409, 422}
        page.log_in("sofia")
        _to(page, ROOT_KEY)
        page.page.click("main a.button:text-is('Disable')")
        told = page.page.inner_text("main")
        assert f"{KEYS} keys" in told
        assert "after at most 35 seconds" in told
        page.check()
        page.page.fill("#confirmation", "not this")
        page.page.click("main button.danger")
        assert "is not the root key's name" in page.page.inner_text("#confirmation-wrong")
        assert page.page.input_value("#confirmation") == "not this"
        page.check()
        page.page.fill("#confirmation", ROOT_KEY)
        page.page.click("main button.danger")
        page.page.wait_for_url("**done=root-key-disable")
        at_work.all_fetch(served=False)
        assert "Suspended" in page.page.inner_text(".title")
        page.check()
        page.page.click("main a.button:text-is('Enable')")
        page.page.click("main button.first")
        page.page.wait_for_url("**done=root-key-enable")
        at_work.all_fetch(served=True)


def test_deleted_with_its_name_and_restored(browser: Browser, console: Console, at_work: AtWork) -> None:
    with opened(browser, console.url, viewport=SMALL) as page:
        page.log_in("sofia")
        _to(page, ROOT_KEY)
        page.page.click("main a.button:text-is('Delete')")
        page.check()
        page.page.fill("#confirmation", ROOT_KEY)
        page.page.click("main button.danger")
        page.page.wait_for_url("**done=root-key-delete")
        at_work.all_fetch(served=False)
        assert "can be restored until" in page.page.inner_text("main")
        page.check()
        page.go("/root-keys")
        assert not page.page.locator(f"main a:text-is('{ROOT_KEY}')").count()
        page.page.click("text=1 deleted root key")
        page.check()
        page.page.click(f"main a:text-is('{ROOT_KEY}')")
        page.page.click("main a.button:text-is('Restore')")
        page.page.click("main button.first")
        page.page.wait_for_url("**done=root-key-restore")
        at_work.all_fetch(served=True)


def test_two_people_delete(browser: Browser, console: Console) -> None:
    """Under dual authorisation the first sets it for deletion; the same person does not get further."""
    with opened(browser, console.url) as page:
        page.expected.add(403)
        page.log_in("sofia")
        _to(page, SPARE)
        page.page.select_option("#rotate_every_months", "3")
        page.page.check("[name=dual_authorisation]")
        page.page.click("text=Set the policies")
        assert "The policies are set" in page.page.inner_text("[role=status]")
        assert page.page.input_value("#rotate_every_months") == "3"
        page.page.click("main a.button:text-is('Delete')")
        assert "It takes two people" in page.page.inner_text("main")
        page.page.fill("#confirmation", SPARE)
        page.page.click("main button.danger")
        page.page.wait_for_url("**done=root-key-set-for-deletion")
        assert "person-sofia has set it for deletion" in page.page.inner_text("main")
        page.check()
        page.page.click("main a.button:text-is('Delete')")
        page.page.fill("#confirmation", SPARE)
        page.page.click("main button.danger")
        assert "another person deletes it" in page.page.inner_text("[role=alert]")
        page.check()
    with opened(browser, console.url) as page:
        page.log_in("mara")
        _to(page, SPARE)
        page.page.click("main a.button:text-is('Unset for deletion')")
        page.page.click("main button.first")
        page.page.wait_for_url("**done=root-key-keep")


def _to(page: Watched, name: str) -> None:
    page.go("/root-keys")
    page.page.click(f"main a:text-is('{name}')")
