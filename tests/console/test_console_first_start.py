"""The first start in a real browser, from the link that the terminal shows to a key that a KMIP client is given."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.browsing import LARGE, SMALL, Watched, opened
from keyrack.testing.certificates import authority, client
from keyrack.testing.certificates import client_context as context_of
from keyrack.testing.client import Client
from keyrack.testing.people import PASSWORD
from keyrack.testing.postgres import free_port
from keyrack.testing.ttlv import text
from keyrack.testing.vcenter import VCenter, esxi_host, virtual_machine

pytestmark = pytest.mark.sqlite("the wizard makes a file of its own")


@dataclass
class Setup:
    """A running ``keyrack setup``, and what it becomes."""

    process: "subprocess.Popen[str]"
    directory: Path
    told: dict[str, Any]
    port: int

    def run(self, *words: str) -> None:
        """A command beside it."""
        command = [sys.executable, "-m", "keyrack", *words, "--config", str(self.directory / "keyrack.toml")]
        subprocess.run(command, check=True, capture_output=True, env=surroundings(), timeout=60)


def surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("KEYRACK_")}


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    """The wizard in a process of its own; its directory is not there yet."""
    port = free_port()
    words = ["setup", "--json", "--port", str(port), "--directory", str(tmp_path / "d")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "keyrack", *words], env=surroundings(), stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        yield Setup(process, tmp_path / "d", said(process), port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def said(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next JSON document on its standard output."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or lines[-1] != "}\n":
        lines.append(process.stdout.readline())
        assert lines[-1], "it ended"
    told: dict[str, Any] = json.loads("".join(lines))
    return told


def looked_at(page: Watched) -> None:
    """By axe, at a desk in the light, and on a phone in the dark."""
    page.check()
    page.page.emulate_media(color_scheme="dark")
    page.page.set_viewport_size({"width": SMALL["width"], "height": SMALL["height"]})
    assert page.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    page.check()
    page.page.emulate_media(color_scheme="light")
    page.page.set_viewport_size({"width": LARGE["width"], "height": LARGE["height"]})


def on(page: Watched, step: str) -> None:
    page.page.click("main [value=next]")
    page.page.wait_for_url(f"**/setup/{step}")


def test_four_steps_in_a_browser_end_in_a_server_that_gives_out_keys(browser: Browser, setup: Setup) -> None:
    """On the way something is wrong in each step, a second browser tries the link, and it is looked at by axe."""
    url, still = f"https://127.0.0.1:{setup.port}", {"reduced_motion": "reduce"}  # axe sees no colour half way
    with opened(browser, url, **still) as page, opened(browser, url, **still) as other:
        page.expected.add(422)
        page.page.goto(setup.told["link"])
        page.page.wait_for_url("**/setup/name")
        assert "#" not in page.page.url
        _refused_elsewhere(other, setup.told["link"])
        looked_at(page)
        _name(page)
        _database(page)
        _key_manager(page)
        _administrator(page)
        looked_at(page)
        assert not setup.directory.exists(), "nothing is made before the last step"
        _created(page)
        page.log_in("mara")
        page.page.wait_for_selector("summary:has-text('mara')")
    ready = said(setup.process)
    assert ready["administration_api"] == f"127.0.0.1:{setup.port}"
    # The certificate that was compared in the terminal is the one that vCenter pins.
    assert ready["server_certificate_sha256"] == setup.told["certificate_sha256"]
    _gives_out_keys(setup, ready["address"])


def _refused_elsewhere(other: Watched, link: str) -> None:
    other.expected.add(401)
    other.page.goto(link)
    other.page.wait_for_selector("#token-wrong")
    assert "was used already" in other.page.inner_text("#token-wrong")
    other.go("/setup/name")
    assert other.page.url.endswith("/setup")
    other.check()


def _name(page: Watched) -> None:
    page.page.fill("#host", "127.0.0.1")
    page.page.fill("#port", "70000")
    page.page.click("main [value=next]")
    assert "'70000' is not a port" in page.page.inner_text("#port-wrong")
    assert (page.page.input_value("#host"), page.page.input_value("#port")) == ("127.0.0.1", "70000")
    looked_at(page)
    page.page.fill("#port", str(free_port()))
    on(page, "database")


def _database(page: Watched) -> None:
    assert not page.page.is_visible("#catalog_url")
    page.page.check("[value=postgresql]")
    page.page.fill("#catalog_url", "postgresql://keyrack@127.0.0.1:9/keyrack")
    page.page.click("main [value=next]")
    assert "cannot be reached" in page.page.inner_text("#catalog_url-wrong")
    looked_at(page)
    page.page.check("[value=sqlite]")
    on(page, "key-manager")
    page.page.click("main [value=back]")
    page.page.wait_for_url("**/setup/database")
    assert page.page.input_value("#catalog_url") == "postgresql://keyrack@127.0.0.1:9/keyrack"
    on(page, "key-manager")


def _key_manager(page: Watched) -> None:
    page.page.check("[value=key-protect]")
    page.page.click("main [value=next]")
    assert "GUID" in page.page.inner_text("#kms_instance-wrong")
    looked_at(page)
    page.page.check("[value=embedded]")
    page.page.click("main [value=test]")
    assert "Wrap and unwrap" in page.page.inner_text("section.panel")
    looked_at(page)
    on(page, "administrator")


def _administrator(page: Watched) -> None:
    page.page.fill("#first_person", "mara")
    page.page.fill("#password", "short")
    page.page.fill("#password_again", "short")
    page.page.click("main [value=next]")
    assert "12 are the least" in page.page.inner_text("#password-wrong")
    assert page.page.input_value("#first_person") == "mara"
    looked_at(page)
    page.page.fill("#password", PASSWORD)
    page.page.fill("#password_again", PASSWORD)
    on(page, "summary")


def _created(page: Watched) -> None:
    """The page goes on by itself; what it asks meanwhile, nobody answers for a moment."""
    page.page.click("main button.first")
    page.page.wait_for_url("**/setup/made", timeout=30_000)
    page.page.wait_for_url("**/log-in", timeout=60_000)
    wrongs = [each for each in page.wrongs if "ERR_CONNECTION_REFUSED" not in each and "/health/live" not in each]
    assert not wrongs
    page.wrongs.clear()
    page.expected.add(404)
    page.go("/setup/name")
    assert page.page.locator("h1").inner_text() == "There is nothing here"


def _gives_out_keys(setup: Setup, address: str) -> None:
    identity = client(authority(), "vcenter")
    certificate = setup.directory / "vcenter.pem"
    certificate.write_bytes(identity.pem)
    setup.run("cert", "add", "prod", str(certificate))
    host, _, port = address.rpartition(":")
    tls = context_of(identity, [(setup.directory / "tls" / "server.pem").read_bytes()])
    VCenter((host, int(port)), tls).encrypt(virtual_machine("vm-1"), esxi_host("esx-1"))
    with Client((host, int(port)), tls) as connection:
        found = connection.ask(Operation.LOCATE)
        uid = found.string(Tag.UNIQUE_IDENTIFIER)
        got = connection.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid))
    assert got.find(Tag.SYMMETRIC_KEY) is not None


def test_ctrl_c_leaves_nothing_behind(setup: Setup, tmp_path: Path) -> None:
    setup.process.send_signal(signal.SIGINT)

    assert 1 == setup.process.wait(20)
    assert [tmp_path / "log"] == list(tmp_path.iterdir())
    assert (tmp_path / "log").read_text() == "keyrack: stopped; nothing was made\n"
