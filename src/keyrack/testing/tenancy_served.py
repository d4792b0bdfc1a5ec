"""The doors of a real ``keyrack serve``: its web process over HTTPS, its KMIP listener over mutual TLS."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from keyrack.testing.catalogs import catalog_at
from keyrack.testing.certificates import client_context
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.rest import Answer
from keyrack.testing.tenancy import KmipClient, World
from keyrack.testing.web_process import WebProcess

UNFIT: Final = frozenset({"follow_journal", "renew_server_certificate", "replace_server_certificate"})
"""Calls that this cannot make: one never ends, the others take away the certificate by which the doors know it."""
HEARD: Final = 0.5
"""Seconds after which every process has heard of a change."""
_TOO_MANY: Final = 429


@dataclass(slots=True)
class Outside:
    """Each request on a connection of its own."""

    served: WebProcess

    async def rest(self, method: str, url: str, token: str, body: Any, headers: dict[str, str]) -> Answer:
        """One call; one that comes too often comes again."""
        while True:
            answer = await asyncio.to_thread(self.served.ask, method, url, token or None, body, headers=headers)
            if answer.status != _TOO_MANY:
                return answer
            await asyncio.sleep(int(answer.headers["retry-after"]))

    async def kmip(self, frame: bytes, who: KmipClient) -> bytes | None:
        """One message; ``None`` where the server does not take the certificate."""
        if who.moved:
            who.moved = False
            await self.heard()
        return await asyncio.to_thread(self._exchanged, frame, who)

    def _exchanged(self, frame: bytes, who: KmipClient) -> bytes | None:
        deployment = self.served.deployment
        context = client_context(who.identity, [deployment.authority.pem])
        try:
            with Client(deployment.await_address(lambda: True), context) as connection:
                return connection.exchange(frame)
        except (OSError, ConnectionEnded):
            return None

    async def heard(self) -> None:
        """Wait until every process has."""
        await asyncio.to_thread(time.sleep, HEARD)


@asynccontextmanager
async def served_world(served: WebProcess, seed: int) -> AsyncIterator[World]:
    """A world in a deployment that is served."""
    catalog = await catalog_at(served.deployment.catalog, "tests")
    try:
        world = World(random.Random(seed), catalog, Outside(served))
        await world.found()
        await world.doors.heard()
        yield world
    finally:
        await catalog.close()
