"""The journal and the people through a browser, while a vCenter is at work: searched, followed, proved, handed on."""

import csv
import json
import sqlite3
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Download
from tests.console.conftest import Console

from keyrack.service.journal.exported import Exported
from keyrack.testing.browsing import SMALL, Watched, opened
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.certificates import client
from keyrack.testing.people import PASSWORD
from keyrack.testing.vcenter import VCenter, esxi_host, virtual_machine


@pytest.fixture(scope="module")
def vcenter(console: Console) -> VCenter:
    """A vCenter that has encrypted a machine, db-01 on esxi-01."""
    deployment = console.web.deployment
    identity = client(deployment.authority, "vcenter-01")
    deployment.add_client("prod", identity, create=True)
    host, _, port = (deployment.directory / "run" / "kmip.address").read_text().strip().rpartition(":")
    made = VCenter((host.strip("[]"), int(port)), deployment.context(identity))
    made.encrypt(virtual_machine("db-01"), esxi_host("esxi-01"))
    return made


def numbers(page: Watched) -> list[int]:
    """Of the records that are shown, from top to bottom."""
    rows = page.page.locator("#records tbody tr")
    return [int(str(row.get_attribute("id")).removeprefix("record-")) for row in rows.all()]


def test_the_journal_is_searched_and_a_record_told(browser: Browser, console: Console, vcenter: VCenter) -> None:
    """By a machine's name, on a large screen and on a phone, light and dark; one record with what is kept of it."""
    with opened(browser, console.url) as page:
        page.log_in("aud")
        page.go("/activity")
        page.check()
        page.page.fill("#key", "db-01")
        page.page.select_option("#action", "Get")
        page.page.click("main button.first")
        page.page.wait_for_url("**action=Get**")
        (row, *_) = page.page.locator("#records tbody tr").all()
        assert "db-01" in row.inner_text()
        assert "vcenter-01" in row.inner_text()
        assert "127.0.0.1" in row.inner_text()
        row.locator("a").first.click()
        page.page.wait_for_selector("#hash")
        page.page.click("summary:has-text('The event as JSON')")
        event = json.loads(page.page.inner_text("#event"))
        assert event["journal"]["hash"] == page.page.inner_text("#hash")
        page.check()
    with opened(browser, console.url, theme="dark", viewport=SMALL) as page:
        page.log_in("aud")
        page.go("/instances/prod/activity?last=1h")
        assert numbers(page)
        page.check()


def test_a_followed_journal_moves_by_itself_until_it_is_paused(
    browser: Browser, console: Console, vcenter: VCenter
) -> None:
    """The newest on top, what fits alone, and each record once."""
    with opened(browser, console.url) as page:
        page.log_in("aud")
        page.go("/activity?kind=data")
        page.page.click("main >> text=Follow")
        before = numbers(page)
        vcenter.poll()
        page.page.wait_for_function(
            "first => document.querySelector('#records tbody tr').id !== first", arg=f"record-{before[0]}"
        )
        moved = numbers(page)
        assert moved[0] > before[0]
        assert moved == sorted(set(moved), reverse=True)
        page.check()
        page.page.click("main >> text=Pause")
        page.page.wait_for_url(lambda url: "follow" not in url)
        assert page.page.locator("#records[hx-get]").count() == 0


def test_what_was_found_is_handed_out_as_files(
    browser: Browser, console: Console, vcenter: VCenter, tmp_path: Path
) -> None:
    """A table, events, and events that prove themselves."""
    with opened(browser, console.url) as page:
        page.log_in("aud")
        page.go("/activity?kind=data&action=Get")
        fetched = len(numbers(page))
        files = []
        for form in ("csv", "events", "proof"):
            page.page.click("summary:has-text('Download')") if form == "csv" else None
            with page.page.expect_download() as download:
                page.page.click(f"a[href*='form={form}']")
            files.append(saved(download.value, tmp_path))
        table, events, proof = files
        with table.open(newline="") as opened_table:
            rows = list(csv.DictReader(opened_table))
        told = [json.loads(each) for each in events.read_text().splitlines()]
        assert {row["action"] for row in rows} == {"vmware-solutions.kmip-key.read"}
        assert len(rows) == len(told) == fetched
        assert not Exported([], None).verified(proof.read_text().splitlines(keepends=True)).flaws


def saved(download: Download, directory: Path) -> Path:
    """The file."""
    path = directory / download.suggested_filename
    download.save_as(path)
    return path


def test_somebody_is_added_logs_in_by_the_link_and_does_what_the_role_may(browser: Browser, console: Console) -> None:
    """In a second browser; then a role more, and the door shut."""
    with opened(browser, console.url) as office, opened(browser, console.url) as desk:
        office.log_in("adam")
        office.go("/people")
        office.check()
        office.page.click("text=Add a person")
        office.page.fill("#name", "nora")
        office.page.check("[name=role][value=viewer]")
        office.check()
        office.page.click("main button.first")
        office.page.wait_for_selector("#link")
        link = office.page.inner_text("#link")
        office.check()

        desk.page.goto(link)
        desk.page.fill("#password", PASSWORD)
        desk.page.fill("#again", PASSWORD)
        desk.page.click("main button.first")
        desk.page.wait_for_load_state()
        desk.go("/log-in")
        desk.log_in("nora")
        desk.expected.add(403)
        desk.go("/instances")
        assert desk.page.inner_text("h1") == "Instances"
        desk.go("/people")
        assert "right" in desk.page.inner_text("[role=alert]")
        desk.go("/activity")
        assert "right" in desk.page.inner_text("[role=alert]")

        office.page.click("text=Go on to nora")
        office.page.select_option("#role", "auditor")
        office.page.click("main button:text-is('Give')")
        office.page.wait_for_url("**done=person-grant")
        office.check()
        desk.go("/activity")
        assert "/log-in" in desk.page.url
        desk.log_in("nora")
        assert desk.page.inner_text("h1") == "Activity"

        office.page.click("main >> text=Lock out")
        office.check()
        office.page.click("main button.danger")
        office.page.wait_for_url("**done=person-lock")
        assert "Locked out" in office.page.inner_text(".title")
        office.go("/people/rights")
        office.check()
        desk.go("/activity")
        assert "/log-in" in desk.page.url


def test_a_journal_is_verified_and_one_that_was_changed_is_told_where(
    browser: Browser, console: Console, vcenter: VCenter
) -> None:
    """The page tells by itself when it has ended."""
    if over_postgres():
        pytest.skip("there a server has no right to change a record")
    with opened(browser, console.url) as page:
        page.log_in("aud")
        page.go("/activity")
        page.page.click("text=Verify now")
        page.page.wait_for_selector("#proof .status.good >> text=It is")
        assert "by aud" in page.page.inner_text("#proof")
        page.check()
        place = spoil(console.web.deployment.catalog, 3)
        page.page.click("text=Verify now")
        page.page.wait_for_selector("#proof [role=alert]")
        told = page.page.inner_text("#proof [role=alert]")
        assert "The journal is not as it was written" in told
        assert f"{place}: the hash does not follow: this record, or one before it, is not as it was written" in told
        page.check()


def spoil(catalog: Path, number: int) -> str:
    """Change one record, as somebody can who has the file; its chain and its place in that."""
    with sqlite3.connect(catalog, timeout=10) as file:
        file.execute("DROP TRIGGER journal_is_not_changed")
        file.execute("UPDATE journal SET text = replace(text, 'success', 'undone') WHERE number = ?", (number,))
        ((chain, sequence),) = file.execute("SELECT chain, sequence FROM journal WHERE number = ?", (number,))
    file.close()
    return f"{chain} {sequence}"
