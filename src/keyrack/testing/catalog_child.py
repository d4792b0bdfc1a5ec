"""Programs that fault tests run in processes of their own: they commit, tell what was acknowledged, and are killed.

- ``python -m keyrack.testing.catalog_child commit PATH COUNT SYNCHRONOUS``: commit; a line for each, with the time
- ``python -m keyrack.testing.catalog_child fill PATH FILLER``: fill the disk, be refused, get room, go on
"""

import asyncio
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.checkpoint import EVERY
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.service.journal.chain import verify
from keyrack.testing.catalog_values import PRINCIPAL, certificate, entry, instance, key, named, numbered

ROUNDS = 5


def made(number: int) -> ManagedObject:
    """The key of a number, with a blob that tells it."""
    managed = key(numbered(number), Name=named(f"key {number}"))
    return replace(managed, sealed=f"blob of {number}".encode() * 20)


def creation(number: int) -> Unit:
    """A Create, as the executor commits it."""
    managed = made(number)
    return Unit(entries=(entry("Create", target=managed.unique_identifier),), principal=PRINCIPAL, inserted=(managed,))


def change(number: int) -> Unit:
    """A change of that key, version 2."""
    managed = replace(made(number), version=2)
    return Unit(
        entries=(entry("Activate", target=managed.unique_identifier),),
        principal=PRINCIPAL,
        seen={managed.unique_identifier: 1},
        updated=(managed,),
    )


async def prepared(path: Path) -> None:
    """A catalog with the instance and the certificate that the units need."""
    catalog = SqliteCatalog(path, "setup")
    await catalog.commit(Unit(entries=(), instances=(instance(),), certificates=(certificate(),)))
    await catalog.close()


async def commit(path: Path, first: int, count: int, tasks: int, acknowledged: int, *, early: bool = False) -> None:
    """Create and change keys in several tasks; write each number to the descriptor when it is durable.

    ``early`` acknowledges before, which a test must notice.
    """
    catalog = SqliteCatalog(path, "kmip-0")
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            if early:
                os.write(acknowledged, b"%d\n" % number)
            await catalog.commit(creation(number))
            await catalog.commit(change(number))
            if not early:
                os.write(acknowledged, b"%d\n" % number)

    await asyncio.gather(*(work() for _ in range(tasks)))
    await catalog.close()


async def commit_slowly(path: Path, count: int, synchronous: str) -> None:
    """Commit in three tasks, with frequent checkpoints, at a level of ``synchronous`` that the catalog itself refuses.

    Tells each number with the time, in seconds since 1970, when it was acknowledged.
    """
    catalog = SqliteCatalog(path, "kmip-0")
    catalog._writer._connection.execute(f"PRAGMA synchronous = {synchronous}")
    checkpointer = catalog._writer._checkpointer
    assert checkpointer is not None
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await catalog.commit(creation(number))
            os.write(1, b"%d %f\n" % (number, time.time()))
            if number % 20 == 19:
                checkpointer.wrote(EVERY)
            if number == count // 2:
                # One of them at least is to be over before the end.
                await asyncio.to_thread(checkpointer.close)

    await asyncio.gather(work(), work(), work())
    # Without a good-bye: closing would check-point, and sync what a power cut is to lose.
    os._exit(0)


async def fill(path: Path, filler: Path) -> dict[str, object]:
    """Alternate between a full disk and a free one; what happened, for the test to judge."""
    await prepared(path)
    catalog = SqliteCatalog(path, "kmip-0")
    acknowledged: list[int] = []
    longest, recoveries, refusals, number = 0.0, 0.0, 0, 0
    for _ in range(ROUNDS):
        _fill_up(filler)
        refused = False
        while not refused:
            began = time.monotonic()
            batch = range(number, number + 8)
            number += 8
            outcomes = await asyncio.gather(*(catalog.commit(creation(n)) for n in batch), return_exceptions=True)
            longest = max(longest, time.monotonic() - began)
            acknowledged += [n for n, outcome in zip(batch, outcomes, strict=True) if outcome is None]
            refused = any(isinstance(outcome, CatalogUnavailable) for outcome in outcomes)
            refusals += sum(isinstance(outcome, CatalogUnavailable) for outcome in outcomes)
        filler.unlink()
        began = time.monotonic()
        await catalog.commit(creation(number))
        acknowledged.append(number)
        number += 1
        recoveries = max(recoveries, time.monotonic() - began)
    present = [n for n in range(number) if await catalog.load(made(n).instance, made(n).unique_identifier)]
    flaws = [flaw.what for flaw in verify(await catalog.journal(limit=10**6)).flaws]
    await catalog.close()
    return {
        "acknowledged": acknowledged,
        "present": present,
        "refusals": refusals,
        "longest": longest,
        "recovery": recoveries,
        "flaws": flaws,
    }


def _fill_up(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


if __name__ == "__main__":
    if sys.argv[1] == "commit":
        asyncio.run(commit_slowly(Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
    else:
        sys.stdout.write(json.dumps(asyncio.run(fill(Path(sys.argv[2]), Path(sys.argv[3])))))
