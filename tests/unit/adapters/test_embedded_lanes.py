"""The embedded key manager's threads: who only reads does not wait for who writes."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.embedded.root_keys.unlock import KeyFile

BUSY = 1.5
"""Seconds for which another process writes."""


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "keystore.db", isolation_level=None, check_same_thread=False)
    yield connection
    connection.close()


@pytest.fixture
def manager(tmp_path: Path) -> EmbeddedKeyManager:
    unlock = KeyFile(tmp_path / "keystore.key")
    unlock.create()
    return EmbeddedKeyManager.create(tmp_path / "keystore", unlock)


async def test_a_payload_is_read_while_another_waits_to_be_written(
    manager: EmbeddedKeyManager, busy: sqlite3.Connection
) -> None:
    """The Get of a host that boots, while a command of an administrator holds the database and a Create waits."""
    kept = await manager.put_standard_key("vmware_kmip_one", b"payload")
    busy.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(BUSY, busy.execute, "COMMIT")
    began = time.monotonic()

    writing = asyncio.create_task(manager.put_standard_key("vmware_kmip_two", b"another"))
    await asyncio.sleep(0.1)
    found = await manager.get_standard_key(kept)
    took = time.monotonic() - began

    assert b"payload" == found.payload
    assert took < BUSY
    assert b"another" == (await manager.get_standard_key(await writing)).payload
    await manager.close()
