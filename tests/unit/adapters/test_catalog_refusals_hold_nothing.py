"""Who is refused by the catalog leaves nothing in memory: keys are wiped when nobody holds them, not when garbage is
collected."""

import asyncio
import gc
import sqlite3
import weakref
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.instances import Principal
from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, Conflict, InstanceSealed, NotAuthorised, Unit
from keyrack.testing.catalog_values import KEY, ONE, OTHER_KEY, PRINCIPAL, TWO, certificate, entry, key
from keyrack.testing.catalog_values import instance as an_instance

SEALED = Principal(fingerprint="b" * 64, instance=TWO)


class Held:
    """What stands for a key."""


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[SqliteCatalog]:
    """With an instance, a certificate and a key; and with another instance, which is sealed."""
    made = SqliteCatalog(tmp_path / "catalog.sqlite", "tests", deadline=0.3)
    await made.commit(
        Unit(
            entries=(entry(),),
            instances=(an_instance(), replace(an_instance(TWO, "two"), sealed_at=1)),
            certificates=(certificate(), certificate(SEALED.fingerprint, TWO)),
            inserted=(key(),),
        )
    )
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def nobody_collects() -> Iterator[None]:
    """As on a server that is idle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def refused(catalog: SqliteCatalog, unit: Unit) -> tuple[type[Exception], object]:
    """How a commit is refused by whose side somebody holds a key, and what is left of it afterwards."""
    gone: list[weakref.ref[Held]] = []

    async def one() -> None:
        held = Held()
        gone.append(weakref.ref(held))
        await catalog.commit(unit)

    try:
        await one()
    except Exception as error:  # pytest.raises would hold it itself
        kind = type(error)
    await asyncio.sleep(0)  # The loop itself holds what has woken us, until the next turn.
    return kind, gone[0]()


REFUSALS = {
    "conflict": (Unit(entries=(entry(),), principal=PRINCIPAL, seen={KEY: 7}), Conflict),
    "sealed": (Unit(entries=(entry(),), principal=SEALED), InstanceSealed),
    "stranger": (Unit(entries=(entry(),), principal=Principal(fingerprint="c" * 64, instance=ONE)), NotAuthorised),
    "taken": (Unit(entries=(entry(),), instances=(an_instance("other", "one"),)), AlreadyThere),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_holds_nothing(catalog: SqliteCatalog, case: str) -> None:
    unit, kind = REFUSALS[case]
    assert (kind, None) == await refused(catalog, unit)


async def test_a_catalog_that_cannot_commit_holds_nothing(catalog: SqliteCatalog, tmp_path: Path) -> None:
    """A unit that cannot be written, though the database is open."""
    with sqlite3.connect(tmp_path / "catalog.sqlite", isolation_level=None) as other:
        other.execute("ALTER TABLE journal RENAME TO elsewhere")
        found = await refused(catalog, Unit(entries=(entry(),), inserted=(key(OTHER_KEY),)))
        other.execute("ALTER TABLE elsewhere RENAME TO journal")

    assert (CatalogUnavailable, None) == found
