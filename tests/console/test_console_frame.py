"""The frame of every page, in a browser: log-in and log-out, what outlives the end of a log-in, one-time links, what is
not there; read with and without JavaScript, in light and dark, large and small."""

import time

from playwright.sync_api import Browser
from tests.console.conftest import Console

from keyrack.domain.rights import EVERYTHING, Grant, Role
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.people import letting_in, log_in_links, persons
from keyrack.shell.office import clock
from keyrack.testing import aside
from keyrack.testing.browsing import LARGE, SMALL, Watched, opened
from keyrack.testing.catalogs import catalog_at, executed
from keyrack.testing.people import PASSWORD


def test_somebody_logs_in_and_out(browser: Browser, console: Console) -> None:
    with opened(browser, console.url) as page:
        page.go("/?then=this")
        assert "/log-in?next=/%3Fthen%3Dthis" in page.page.url
        page.check()
        page.log_in("mara")
        assert page.page.url.endswith("/?then=this")
        page.check()
        page.page.click("summary:has-text('mara')")
        page.page.click("text=Log out")
        page.page.wait_for_url("**/log-in?done=logged-out")
        assert page.page.inner_text("[role=status]") == "You are logged out."
        page.check()


def test_a_wrong_password_is_told_and_the_name_stays(browser: Browser, console: Console) -> None:
    with opened(browser, console.url) as page:
        page.expected.add(401)
        page.go("/log-in?next=/people")
        page.page.fill("#name", "mara")
        page.page.fill("#password", "no such password")
        page.page.click("main button.first")
        assert "do not belong together" in page.page.inner_text("[role=alert]")
        assert page.page.input_value("#name") == "mara"
        assert not page.page.input_value("#password")
        assert page.page.input_value("main [name=next]") == "/people"
        page.check()


def test_what_was_typed_outlives_the_end_of_a_log_in(browser: Browser, console: Console) -> None:
    """Sent too late, or left while nobody was there: it is there again, once, for the same person; no password is."""
    with opened(browser, console.url) as page:
        page.expected.add(401)
        page.go("/account")
        page.log_in("adam")
        page.page.fill("#name", "backup job")
        page.page.check("[name=roles][value=administrator]")
        page.page.fill("#old", "not to be kept")
        _age(console, "adam", 3600)
        page.page.click("text=Make the API key >> nth=-1")
        page.page.wait_for_url("**/log-in?next=/account")
        assert "not to be kept" not in _stored(page)
        page.log_in("adam")
        assert page.page.input_value("#name") == "backup job"
        assert page.page.is_checked("[name=roles][value=administrator]")
        assert page.page.is_visible("#restored")
        assert not page.page.input_value("#old")
        page.check()

        # The page goes there by itself, from its strip.
        page.page.fill("#name", "another job")
        page.page.fill("#old", "not to be kept")
        _age(console, "adam", 3600)
        page.page.evaluate("() => htmx.ajax('GET', '/live/strip', '#strip')")
        page.page.wait_for_url("**/log-in?next=/account")
        assert "not to be kept" not in _stored(page)
        page.log_in("adam")
        assert page.page.input_value("#name") == "another job"
        page.page.reload()
        assert page.page.input_value("#name") == ""
        assert not page.page.is_visible("#restored")

        # Nobody else finds what somebody has typed.
        page.page.fill("#name", "of adam alone")
        _age(console, "adam", 3600)
        page.page.click("text=Make the API key >> nth=-1")
        page.page.wait_for_url("**/log-in?next=/account")
        page.log_in("vera")
        assert page.page.input_value("#name") == ""
        assert _stored(page) == ""
        page.check()


def test_who_is_there_is_not_logged_off(browser: Browser, console: Console) -> None:
    """A minute before it is told, and a button prevents it; typing does without."""
    with opened(browser, console.url) as page:
        page.page.clock.install()
        page.go("/account")
        page.log_in("omar")
        page.page.wait_for_selector("#strip .status.good")
        _age(console, "omar", 15 * 60 - 70)
        page.page.clock.run_for(16_000)
        page.page.wait_for_selector("#ending")
        assert "logged off in about a minute" in page.page.inner_text("#ending")
        page.check()
        page.page.click("#ending button")
        page.page.wait_for_selector("#ending", state="detached")
        assert time.time() - _seen(console, "omar") < 30

        _age(console, "omar", 600)
        page.page.clock.run_for(61_000)
        with page.page.expect_response("**/here"):
            page.page.locator("#name").press_sequentially("x")
        assert time.time() - _seen(console, "omar") < 30
        page.check()


def test_one_time_links_work_once_and_leave_no_trace(browser: Browser, console: Console) -> None:
    """Neither in the address, nor in the server's log."""
    logs_in, sets = aside.run(_links(console, "vera", "nora"))
    with opened(browser, console.url) as page:
        page.expected |= {401, 422}
        page.go(f"/log-in/link#{logs_in}")
        page.page.wait_for_selector("summary:has-text('vera')")
        assert logs_in not in page.page.url
        page.page.context.clear_cookies()
        page.go(f"/log-in/link#{logs_in}")
        page.page.wait_for_selector("[role=alert]")
        assert "does not count" in page.page.inner_text("[role=alert]")
        page.check()

        page.go("/set-password")
        page.page.wait_for_selector("#lacking")
        assert page.page.is_hidden("form[data-behind-hash]")
        page.go(f"/set-password#{sets}")
        page.page.wait_for_selector("form[data-behind-hash]")
        assert page.page.url.endswith("/set-password")
        page.page.fill("#password", PASSWORD)
        page.page.fill("#again", "another")
        page.page.click("text=Set the password")
        page.page.wait_for_selector("#again-wrong")
        page.page.fill("#password", PASSWORD)
        page.page.fill("#again", PASSWORD)
        page.page.click("text=Set the password")
        page.page.wait_for_url("**/log-in?done=password-set")
        page.log_in("nora")
        page.check()
    told = console.web.deployment.log.read_text()
    assert logs_in[4:] not in told
    assert sets[4:] not in told
    assert "/log-in/link" in told


def test_pages_are_read_and_forms_sent_without_javascript(browser: Browser, console: Console) -> None:
    with opened(browser, console.url, java_script_enabled=False) as page:
        page.go("/account")
        page.log_in("vera")
        assert page.page.inner_text("h1") == "My account"
        for path in ("/", "/instances", "/account"):
            page.go(path)
            assert page.page.is_visible("main h1"), path
            assert page.page.is_visible("nav a[aria-current=page]") or path == "/account"
        for name in ("old", "password", "again"):
            page.page.fill(f"#{name}", "no such password")
        page.page.click("text=Change the password")
        assert page.page.is_visible("#old-wrong")
        page.page.click("summary:has-text('English')")
        page.page.click("text=Deutsch")
        assert page.page.get_attribute("html", "lang") == "de"
        assert page.page.url == f"{console.url}/account"


def test_a_refusal_leads_on(browser: Browser, console: Console) -> None:
    """On a large light screen and on a small dark one."""
    for theme, screen in (("light", LARGE), ("dark", SMALL)):
        with opened(browser, console.url, theme=theme, viewport=screen) as page:
            page.expected |= {404, 422}
            for path in ("/nothing", "/set-password#krl_x") if screen is SMALL else ("/log-in/link",):
                page.go(path)
                page.check()
            page.go("/account")
            page.log_in("vera")
            page.page.wait_for_selector("#strip .status.good")
            page.page.fill("#name", "x")
            page.page.evaluate("() => document.getElementById('days').removeAttribute('max')")
            page.page.fill("#days", "9999")
            page.page.click("text=Make the API key >> nth=-1")
            page.page.wait_for_selector("#days-wrong")
            assert page.page.url.endswith("/account"), "the address is the one of the form: it can be loaded again"
            assert page.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            page.check()
            page.go("/nothing")
            page.check()
            page.page.click("main a.button")
            page.page.wait_for_url(f"{console.url}/")


def _stored(page: Watched) -> str:
    stored: str = page.page.evaluate("() => JSON.stringify(sessionStorage)")
    return "" if stored == "{}" else stored


async def _links(console: Console, logs_in: str, sets: str) -> tuple[str, str]:
    catalog = await catalog_at(console.web.deployment.catalog, "tests")
    try:
        office = Administration(catalog, {}, Administrator("tests", grants=EVERYTHING), clock)
        one = await log_in_links.offer(office, catalog, await persons.person(office, catalog, logs_in))
        new = await persons.add(office, catalog, sets, (Grant(Role.VIEWER),))
        return one, await letting_in.invite(office, catalog, new)
    finally:
        await catalog.close()


def _age(console: Console, name: str, seconds: int) -> None:
    """Let so much time have passed since the person's last request."""
    aside.run(_aged(console, name, seconds))


def _seen(console: Console, name: str) -> int:
    """When the person was last seen, in seconds since 1970."""
    return aside.run(_aged(console, name, 0))


async def _aged(console: Console, name: str, seconds: int) -> int:
    catalog = await catalog_at(console.web.deployment.catalog, "tests")
    try:
        who = await catalog.person_called(name)
        assert who is not None
        held = await catalog.login_sessions(who.identifier)
        if seconds:
            # A log-in is never seen earlier than it was: the catalog would not do it.
            at = int(time.time()) - seconds
            executed(
                console.web.deployment.catalog,
                "UPDATE login_session SET seen_at = ? WHERE person = ?",
                at,
                who.identifier,
            )
        return max(each.seen_at for each in held)
    finally:
        await catalog.close()
