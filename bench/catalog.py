"""What the catalog costs: CPU and time of a look-up and of a journaled Get, at several concurrencies and sizes.

    python bench/catalog.py [--keys 1000 100000] [--directory DIR] [--seconds 2]

CPU is that of the whole process, the committing thread included, in microseconds for each operation; p50 and p99 are
what a caller waits. The directory decides what is measured: a sync on a memory file system costs nothing.
"""

import argparse
import asyncio
import random
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.instances import ClientCertificate, Instance, InstanceStatus, Principal, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.ports.catalog import Candidates, Unit
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    CryptographicUsageMask,
    HashingAlgorithm,
    KeyFormatType,
    NameType,
    ObjectType,
    State,
)
from keyrack.spec.structures import Digest, Name
from keyrack.spec.types import CustomValue, ItemType

INSTANCE = str(uuid.UUID(int=1))
FINGERPRINT = "a" * 64
PRINCIPAL = Principal(fingerprint=FINGERPRINT, instance=INSTANCE)
MASK = CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT


def key(number: int) -> ManagedObject:
    """A key as vCenter leaves it: three custom attributes, a name, the server's dates."""
    values = {
        "Cryptographic Algorithm": CryptographicAlgorithm.AES,
        "Cryptographic Length": 256,
        "Cryptographic Usage Mask": int(MASK),
        "Digest": Digest(
            hashing_algorithm=HashingAlgorithm.SHA_256, digest_value=bytes(32), key_format_type=KeyFormatType.RAW
        ),
        "Initial Date": 1_700_000_000 + number,
        "Activation Date": 1_700_000_000 + number,
        "Last Change Date": 1_700_000_000 + number,
        "Lease Time": 3600,
        "Name": Name(name_value=f"key {number}", name_type=NameType.UNINTERPRETED_TEXT_STRING),
        "x-Product": CustomValue(ItemType.TEXT_STRING, "VMware vSphere"),
        "x-Component": CustomValue(ItemType.TEXT_STRING, "Virtual Machine"),
        "x-Identifier": CustomValue(ItemType.TEXT_STRING, str(uuid.UUID(int=number << 64))),
    }
    return ManagedObject(
        unique_identifier=identifier(number),
        instance=INSTANCE,
        object_type=ObjectType.SYMMETRIC_KEY,
        state=State.ACTIVE,
        attributes={name: (Indexed(0, value),) for name, value in values.items()},
        sealed=random.Random(number).randbytes(420),
    )


def identifier(number: int) -> str:
    """A random-looking but repeatable Unique Identifier."""
    return str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))


def entry(action: str, target: str) -> Entry:
    """What the executor records of an operation."""
    return Entry(
        at=time.time_ns() // 1_000_000,
        action=action,
        outcome="success",
        initiator=f"CertificateID-{FINGERPRINT}",
        address="192.0.2.17:49152",
        instance=INSTANCE,
        target=target,
        detail={"kmip": "1.1", "tls": "TLSv1.2"},
    )


async def fill(catalog: SqliteCatalog, keys: int) -> None:
    """An instance with a certificate and ``keys`` keys."""
    instance = Instance(
        identifier=INSTANCE,
        name="bench",
        status=InstanceStatus.INSTALLED,
        key_manager="embedded",
        root_key="root",
        storage=Storage.CATALOG,
        created_at=0,
    )
    pinned = ClientCertificate(
        fingerprint=FINGERPRINT, instance=INSTANCE, subject="", not_before=0, not_after=0, der=b"", added_at=0
    )
    await catalog.commit(Unit(entries=(), instances=(instance,), certificates=(pinned,)))
    for begin in range(0, keys, 1000):
        await catalog.commit(Unit(entries=(), inserted=[key(n) for n in range(begin, min(keys, begin + 1000))]))


async def measure(name: str, concurrency: int, seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    """Run ``act`` in as many tasks for a while, and print what it cost."""
    waits: list[float] = []
    end = time.perf_counter() + seconds

    async def worker() -> None:
        now = time.perf_counter()
        while now < end:
            await act()
            done = time.perf_counter()
            waits.append(done - now)
            now = done

    await asyncio.gather(*(worker() for _ in range(concurrency)))  # warm
    waits.clear()
    end = time.perf_counter() + seconds
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    waits.sort()
    count = len(waits)
    print(
        f"{name:34} x{concurrency:<3} {cpu / count * 1e6:8.1f} us CPU {count / took:10.0f}/s"
        f"  p50 {waits[count // 2] * 1e3:7.3f} ms  p99 {waits[count * 99 // 100] * 1e3:7.3f} ms"
    )


class Acts:
    """What is measured, over a catalog of so many keys."""

    def __init__(self, catalog: SqliteCatalog, keys: int) -> None:
        self.catalog = catalog
        self.keys = keys
        self.identifiers = [identifier(n) for n in range(keys)]
        self.choose = random.Random(1).choice
        self.created = iter(range(10_000_000, 20_000_000))

    async def authorise(self) -> None:
        for _ in range(100):
            await self.catalog.authorise(FINGERPRINT)

    async def load(self) -> None:
        for _ in range(100):
            await self.catalog.load(INSTANCE, self.choose(self.identifiers))

    async def load_and_look(self) -> None:
        for _ in range(100):
            held = await self.catalog.load(INSTANCE, self.choose(self.identifiers))
            assert held is not None
            held.value("Activation Date")
            held.value("Deactivation Date")

    async def get(self) -> None:
        target = self.choose(self.identifiers)
        await self.catalog.load(INSTANCE, target)
        await self.catalog.commit(Unit(entries=(entry("Get", target),), principal=PRINCIPAL, seen={target: 1}))

    async def journal(self) -> None:
        target = self.choose(self.identifiers)
        await self.catalog.commit(Unit(entries=(entry("Get", target),), principal=PRINCIPAL, seen={target: 1}))

    async def create(self) -> None:
        made = key(next(self.created))
        record = entry("Create", made.unique_identifier)
        await self.catalog.commit(Unit(entries=(record,), principal=PRINCIPAL, inserted=(made,)))

    async def locate(self) -> None:
        name = Name(name_value=f"key {self.choose(range(self.keys))}", name_type=NameType.UNINTERPRETED_TEXT_STRING)
        assert len(await self.catalog.search(INSTANCE, Candidates(equal=(("Name", name),)))) == 1


async def run(path: Path, keys: int, seconds: float) -> None:
    """All measurements at one size."""
    catalog = SqliteCatalog(path, "bench")
    began = time.perf_counter()
    await fill(catalog, keys)
    print(f"--- {keys} keys (filled in {time.perf_counter() - began:.1f} s)")
    acts = Acts(catalog, keys)
    await measure("100 authorise", 1, seconds / 2, acts.authorise)
    await measure("100 load", 1, seconds / 2, acts.load)
    await measure("100 load + look at two dates", 1, seconds / 2, acts.load_and_look)
    await measure("Locate by name", 1, seconds / 2, acts.locate)
    for concurrency in (1, 8, 64):
        await measure("journaled commit", concurrency, seconds, acts.journal)
    await measure("load + journaled commit", 8, seconds, acts.get)
    for concurrency in (1, 8):
        await measure("Create", concurrency, seconds, acts.create)
    await catalog.close()


def main() -> None:
    """Measure at each size."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--keys", type=int, nargs="+", default=[1_000, 100_000])
    arguments.add_argument("--directory", type=Path, default=None)
    arguments.add_argument("--seconds", type=float, default=2.0)
    chosen = arguments.parse_args()
    for keys in chosen.keys:
        with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
            asyncio.run(run(Path(directory) / "catalog.db", keys, chosen.seconds))


if __name__ == "__main__":
    main()
