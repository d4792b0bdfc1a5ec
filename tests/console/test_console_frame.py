"""The frame of every page: log-in and log-out, language, light and dark, what is not there."""

from playwright.sync_api import Browser
from tests.console.conftest import Console

from keyrack.testing.browsing import opened


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
