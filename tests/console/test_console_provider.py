"""Log-in at a provider in a real browser: another site, with real redirects, and a cookie that comes from no other
site."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from keyrack.shell.console.calls import LOG_IN
from keyrack.testing import oidc
from keyrack.testing.browsing import Watched, opened
from keyrack.testing.catalogs import executed
from keyrack.testing.web_process import WebProcess, web_process


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[oidc.Provider]:
    with oidc.provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory, known: oidc.Provider) -> Iterator[WebProcess]:
    directory = tmp_path_factory.mktemp("console")
    secret = directory / "secret"
    secret.write_text(oidc.SECRET + "\n")
    secret.chmod(0o600)
    table = {
        "ISSUER": known.url,
        "CLIENT_ID": oidc.CLIENT,
        "CLIENT_SECRET_FILE": str(secret),
        "CA_BUNDLE": str(known.ca),
        "AUTO_CREATE": "true",
    }
    settings = {f"KEYRACK_API__OIDC__{name}": value for name, value in table.items()}
    with web_process(directory / "d", KEYRACK_API__HOSTS="localhost", **settings) as running:
        known.redirect = f"https://localhost:{running.address[1]}/api/v1/oidc/callback"
        yield running


def test_somebody_comes_from_another_site_and_is_asked_once(
    browser: Browser, web: WebProcess, known: oidc.Provider
) -> None:
    """By the link in the log-in, back to the page that was asked for; and from then on by links of other sites too."""
    with opened(browser, f"https://localhost:{web.address[1]}") as page:
        page.expected.add(404)
        page.go("/account?x=1")
        page.check()
        page.page.click("text=Log in with 127.0.0.1")
        page.page.wait_for_url("**/account?x=1")
        assert "anna@127.0.0.1" in page.page.inner_text("main")
        asked = known.asked.count("/authorize")

        _follow_a_link(page, known, "/account?x=2")
        page.page.wait_for_selector("nav.menu")
        assert page.page.url.endswith("/account?x=2")
        assert known.asked.count("/authorize") == asked
        page.check()

        # Who is not logged in is asked, and led in no round.
        page.page.context.clear_cookies()
        _follow_a_link(page, known, "/account?x=3")
        page.page.wait_for_url(f"**{LOG_IN}?next=/account%3Fx%3D3")
        page.check()


def test_who_is_proved_elsewhere_proves_it_there_and_loses_nothing(
    browser: Browser, web: WebProcess, known: oidc.Provider
) -> None:
    with opened(browser, f"https://localhost:{web.address[1]}") as page:
        page.expected.add(403)
        page.go("/account")
        page.page.click("text=Log in with 127.0.0.1")
        page.page.wait_for_url("**/account")
        # The last proof of everybody is an hour old.
        executed(web.deployment.catalog, "UPDATE login_session SET stepped_up_at = ?", int(time.time()) - 3600)
        _ask_for_a_key(page)
        page.page.wait_for_selector("text=Prove it at the log-in provider")
        page.check()
        page.page.click("text=Prove it at the log-in provider")
        page.page.wait_for_selector("#restored:not([hidden])")
        assert page.page.input_value("#name") == "backup job"
        page.page.click("text=Make the API key >> nth=-1")
        page.page.wait_for_selector("#api-key")
        page.check()


def _follow_a_link(page: Watched, known: oidc.Provider, path: str) -> None:
    """From a page of another site."""
    page.page.goto(f"{known.url}/another-site")
    page.page.evaluate("url => { setTimeout(() => { location.href = url; }, 20); }", page.url + path)


def _ask_for_a_key(page: Watched) -> None:
    page.page.fill("#name", "backup job")
    page.page.click("text=Make the API key >> nth=-1")
