"""A real deployment with its console, people of each role who can log in, and a browser."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser

from keyrack.domain.rights import EVERYTHING, Grant, Role
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.people import letting_in, persons
from keyrack.service.people.passwords import Cost, Passwords
from keyrack.shell.office import clock
from keyrack.testing import aside
from keyrack.testing.browsing import BINARY, chromium
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import PASSWORD
from keyrack.testing.web_process import WebProcess, web_process

PEOPLE = {
    "mara": (Role.ADMINISTRATOR, Role.SECURITY_OFFICER),
    "adam": (Role.ADMINISTRATOR,),
    "sofia": (Role.SECURITY_OFFICER,),
    "omar": (Role.OPERATOR,),
    "vera": (Role.VIEWER,),
    "aud": (Role.AUDITOR,),
}
"""Each with the same password."""


@dataclass(slots=True)
class Console:
    """A running one."""

    web: WebProcess

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        _, port = self.web.address
        return f"https://localhost:{port}"

    def let_in(self, name: str, *grants: Grant) -> None:
        """A person who can log in with ``testing.people.PASSWORD``."""
        aside.run(_let_in(self.web, {name: grants}))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; one for all tests of a process."""
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not there: install the package chromium")
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A deployment of its own for each file of tests, with :data:`PEOPLE`."""
    directory = tmp_path_factory.mktemp("console") / "d"
    with web_process(directory, KEYRACK_API__REQUESTS_PER_SECOND="10000") as web:
        aside.run(_let_in(web, {name: tuple(map(Grant, roles)) for name, roles in PEOPLE.items()}))
        yield Console(web)


async def _let_in(web: WebProcess, wanted: dict[str, tuple[Grant, ...]]) -> None:
    """With the cheapest hash that verifies at once: how costly one has to be is tested elsewhere."""
    catalog = await catalog_at(web.deployment.catalog, "tests")
    try:
        office = Administration(catalog, {}, Administrator("tests", grants=EVERYTHING), clock)
        passwords = Passwords(Cost(memory=64, passes=1))
        for name, grants in wanted.items():
            made = await persons.add(office, catalog, name, grants)
            await letting_in.set_password(office, catalog, passwords, made, PASSWORD)
    finally:
        await catalog.close()
