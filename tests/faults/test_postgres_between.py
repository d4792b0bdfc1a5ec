"""Who stands between a node and PostgreSQL is not believed when it says that it is this machine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from keyrack.adapters.catalogs.postgres.connecting import Place
from keyrack.adapters.catalogs.postgres.opening import check
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.testing.postgres import SERVER, binaries
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.postgres_grounds import ADDRESS

pytestmark = [
    pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"),
    pytest.mark.skipif(ADDRESS is None, reason="needs an address that is not loopback"),
]


@pytest.fixture
async def between(postgres: Fresh) -> AsyncIterator[int]:
    """The port, on the network, of a relay to a server that is told of connections from loopback."""
    postgres.make()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", postgres.cluster.port)
        await asyncio.gather(relay(reader, back), relay(there, writer), return_exceptions=True)

    server = await asyncio.start_server(take, ADDRESS, 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_a_relay_that_says_it_is_loopback_is_refused(postgres: Fresh, between: int, mode: str) -> None:
    """Such a one reads and changes every statement; nothing that it answers about itself counts."""
    url = f"postgresql://{SERVER}@{ADDRESS}:{between}/{postgres.name}?sslmode={mode}"

    with pytest.raises(UnfitDatabase, match="sslmode=verify-full"):
        await check(Place(url, "test"))

    await check(Place(postgres.url, "test"))
