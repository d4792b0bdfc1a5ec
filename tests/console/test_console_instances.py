"""Instances in a browser: made from the live list of root keys, looked at, changed, taken out of service, removed."""

from playwright.sync_api import Browser
from tests.console.conftest import Console

from keyrack.testing.browsing import SMALL, Watched, opened

PAGES = ("/instances", "/instances/new", *(f"/instances/b/{tab}" for tab in ("key-manager", "settings", "remove")))


def send(page: Watched, then: str) -> None:
    """The first form's main button of the page, and wait for where it leads."""
    page.page.click("main form button.first")
    page.page.wait_for_url(then)


def test_an_instance_from_its_making_to_its_end(browser: Browser, console: Console) -> None:
    with opened(browser, console.url) as page:
        here = page.page
        page.log_in("adam")
        page.go("/instances")
        page.check()
        here.click("text=Create an instance")
        here.wait_for_selector("input[name=root_key]")
        page.check()
        here.fill("#name", "not a name")
        here.check("input[value='+new']")
        page.expected.add(422)
        here.click("main form button.first")
        here.wait_for_selector("#name-wrong")
        assert here.is_checked("input[value='+new']")
        page.check()

        here.fill("#name", "a")
        here.fill("#description", "The vCenter of data centre 2")
        send(page, "**/certificates*")
        address = here.url.partition("/certificates")[0].removeprefix(console.url)
        page.go(f"{address}/key-manager")
        here.wait_for_selector("#condition .status.good:has-text('Active')")
        page.check()

        page.go(f"{address}/settings")
        here.fill("#name", "renamed")
        send(page, "**/settings?done=instance-renamed")
        assert here.inner_text("h1") == "renamed"
        page.check()
        here.click("text=Deactivate it …")
        here.fill("#why", "move to another rack")
        page.check()
        send(page, "**/settings?done=instance-deactivated")
        assert "move to another rack" in here.inner_text("#instance-state")

        here.click("text=Remove it …")
        page.expected.add(409)
        here.click("main form button.first")
        here.fill("#confirmation", "renamed")
        page.check()
        send(page, "**/instances?done=instance-removed")
        assert "renamed" not in here.inner_text("main")
        page.check()


def test_pages_are_fit_for_dark_and_for_a_phone(browser: Browser, console: Console) -> None:
    """One that is configured later; nothing is wider than a phone, and a seal made elsewhere shows by itself."""
    with opened(browser, console.url, theme="dark", viewport=SMALL) as page:
        here = page.page
        page.log_in("mara")
        page.go("/instances/new")
        here.fill("#name", "b")
        here.select_option("#key_manager", "+later")
        here.wait_for_selector("text=The instance is made Inactive")
        send(page, "**/key-manager?done=instance-entered")
        here.check("input[value='+new']")
        send(page, "**/key-manager?done=instance-configured")
        for path in PAGES:
            page.go(path)
            here.wait_for_load_state("networkidle")
            page.check()
            assert here.evaluate("document.documentElement.scrollWidth") <= SMALL["width"], path

        page.go("/instances/b/key-manager")
        console.web.deployment.run("instance", "seal", "b")
        here.wait_for_selector("#instance-state .status.bad:has-text('Sealed')")
        page.go("/instances/b/settings")
        here.click("text=Unseal it")
        here.wait_for_url("**/settings?done=instance-unsealed")
        page.check()


def test_without_javascript_root_keys_are_listed_by_a_button(browser: Browser, console: Console) -> None:
    with opened(browser, console.url, java_script_enabled=False) as page:
        here = page.page
        page.log_in("adam")
        page.go("/instances/new")
        here.fill("#name", "c")
        here.click("text=Show its root keys")
        assert here.input_value("#name") == "c"
        here.check("input[value='+new']")
        send(page, "**/certificates*")
        page.go(here.url.partition("/certificates")[0].removeprefix(console.url) + "/key-manager")
        here.click("text=Ask the key manager now")
        assert "c root key" in here.inner_text("#condition")
