"""Of several hosts the one that takes writes is found, whatever the others do."""

import socket
import time
from collections.abc import Iterator

import asyncpg
import pytest

from keyrack.adapters.catalogs.postgres.connecting import Place, connect, each_host, pool
from keyrack.testing.postgres import binaries
from keyrack.testing.postgres_catalogs import Fresh

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that takes connections and says nothing, as one whose cable was pulled."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_each_host_of_a_url_keeps_login_database_and_options() -> None:
    """Only the host differs."""
    assert ["postgresql://k@a:1/d?sslmode=disable", "postgresql://k@b/d?sslmode=disable"] == each_host(
        "postgresql://k@a:1,b/d?sslmode=disable"
    )
    assert ["postgresql:///d?host=/run"] == each_host("postgresql:///d?host=/run")


async def test_a_silent_first_host_holds_up_nobody(postgres: Fresh, silent: str) -> None:
    """A connection, and a pool of them, are made within half a second."""
    url = postgres.url.replace("127.0.0.1", f"{silent},127.0.0.1", 1)
    began = time.monotonic()
    connection = await connect(Place(url, "test"))
    readers = await pool(Place(url, "test"), 2)
    took = time.monotonic() - began

    assert 1 == await connection.fetchval("SELECT 1")
    assert 1 == await readers.fetchval("SELECT 1")
    assert took < 1.5, f"{took:.2f} s"
    await connection.close()
    await readers.close()


async def test_what_is_told_is_what_helps(postgres: Fresh, silent: str) -> None:
    """A refused login is told, and not that another host was silent."""
    url = postgres.url.replace("keyrack@127.0.0.1", "nobody@127.0.0.1:1,127.0.0.1", 1)
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await connect(Place(url, "test"))
    with pytest.raises(TimeoutError):
        await connect(Place(f"postgresql://k@{silent},{silent}/d?sslmode=disable", "test"), timeout=0.2)
