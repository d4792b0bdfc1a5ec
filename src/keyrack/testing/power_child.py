"""A program that power-loss tests trace: clients create keys through the whole desk, and each answer is told.

``python -m keyrack.testing.power_child PATH COUNT SYNCHRONOUS``: a line for each key that was acknowledged, with its
Unique Identifier, the SHA-256 of its wrapped key, and the time of the answer in seconds since 1970.
"""

import asyncio
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.checkpoint import EVERY
from keyrack.testing.conversation import Client
from keyrack.testing.house import memory_house

CLIENTS = 3
CHECKPOINT_AFTER = 20
"""Keys between two checkpoints of the log: often, so that their syncs and writes are cut, too."""


async def create(path: Path, count: int, synchronous: str) -> None:
    """Create keys at a level of ``synchronous`` that the catalog itself refuses."""
    catalog = SqliteCatalog(path, "kmip-0")
    catalog._writer._connection.execute(f"PRAGMA synchronous = {synchronous}")
    checkpointer = catalog._writer._checkpointer
    assert checkpointer is not None
    house = memory_house(catalog)
    instance = await house.admit("a")
    numbers = iter(range(count))

    async def work() -> None:
        client = Client(house)
        for number in numbers:
            made = await client.made()
            answered = time.time()
            sealed = await catalog.stored_blob(instance.identifier, made)
            os.write(1, f"{made} {sha256(sealed or b'').hexdigest()} {answered}\n".encode())
            if number % CHECKPOINT_AFTER == CHECKPOINT_AFTER - 1:
                checkpointer.wrote(EVERY)
            if number == count // 2:
                # One of them at least is to be over before the end.
                await asyncio.to_thread(checkpointer.close)

    await asyncio.gather(*(work() for _ in range(CLIENTS)))
    # Without a good-bye: closing would check-point, and sync what a power cut is to lose.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(create(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
