"""The console of the demonstration: its web process, somebody who may log in, and the link that does it once."""

import asyncio
import http.client
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from keyrack.domain.rights import Grant, Role
from keyrack.service.office.administration import Administration
from keyrack.service.people import letting_in, log_in_links, persons
from keyrack.service.people.passwords import Passwords
from keyrack.shell.assemble import House
from keyrack.shell.config.whole import WEB_ADDRESS_FILE
from keyrack.shell.links import log_in_link
from keyrack.shell.web.beside import administered

NAME: Final = "demo"
GRANTS: Final = (Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
OPENS_WITHIN: Final = 20.0
"""Seconds; it takes one or two."""
_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that look alike."""


@dataclass(frozen=True, slots=True)
class Way:
    """How somebody gets into the console."""

    link: str = field(repr=False)
    """Logs in once, within a quarter of an hour."""
    name: str
    password: str = field(repr=False)
    """For every other time, and where an act wants a proof."""

    @property
    def url(self) -> str:
        """The console's address, without what logs in."""
        parts = urlsplit(self.link)
        return f"{parts.scheme}://{parts.netloc}/"


@asynccontextmanager
async def console(
    house: House, administration: Administration, file: Path
) -> AsyncIterator["asyncio.Task[Way | None]"]:
    """The web process as long as the block lasts, and the way in once it listens; ``None`` where it does not."""
    async with administered(house, 0, file):
        opening = asyncio.create_task(_opened(house, administration))
        try:
            yield opening
        finally:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)


async def _opened(house: House, administration: Administration) -> Way | None:
    book = house.catalog
    who = await persons.add(administration, book, NAME, GRANTS)
    password = "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))
    who = await letting_in.set_password(administration, book, Passwords(), who, password)
    with suppress(TimeoutError):
        async with asyncio.timeout(OPENS_WITHIN):
            while not (house.config.run_directory / WEB_ADDRESS_FILE).exists():
                await asyncio.sleep(0.05)
            return Way(log_in_link(house.config, await log_in_links.offer(administration, book, who)), NAME, password)
    return None


def walked(way: Way, certificate: str, instance: str) -> str:
    """Log in with the link as a browser does, and look at the instances; what is wrong, or nothing.

    ``certificate``: the one that the server has to show, in PEM.
    """
    context = ssl.create_default_context(cadata=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    parts = urlsplit(way.link)
    connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, context=context, timeout=10)
    try:
        form = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", parts.path, urlencode({"token": parts.fragment}), form)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 303:
            return f"the one-time link was answered with {answer.status}"
        cookie = answer.headers["set-cookie"].partition(";")[0]
        connection.request("GET", "/instances", headers={"cookie": cookie, "accept": "text/html"})
        answer = connection.getresponse()
        shown = answer.read().decode()
        found = answer.status == 200 and instance in shown
        return "" if found else f"the page of the instances was answered with {answer.status}"
    except (OSError, http.client.HTTPException) as error:
        return f"the console cannot be asked: {error}"
    finally:
        connection.close()
