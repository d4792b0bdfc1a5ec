"""Whoever writes the database or the key manager makes nobody get a key that is not the one asked for.

Two hundred keys over instances, versions and root keys in a real catalog, and all pairs of them (in the short form,
some of them): wrapped keys, identifiers and MACs change places by SQL, standard keys in the key manager. Nothing opens,
and put back everything opens again.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Unit
from keyrack.service.vault.blob import MAC
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.testing.vaults import DEPLOYMENT, an_instance, an_object, material

KEYS = 200
SHIFTS = range(1, KEYS)
"""A shift by each puts every key into the place of every other one once."""


@dataclass(slots=True)
class Site:
    """The catalog in its file, the key manager, and what was put into them."""

    path: Path
    catalog: SqliteCatalog
    manager: MemoryKeyManager
    instances: dict[str, Instance]
    held: list[ManagedObject]

    @property
    def vault(self) -> Vault:
        """One that remembers nothing."""
        return Vault({"memory": self.manager}, material(b"integrity root" * 3), DEPLOYMENT, most_entries=0)

    async def served(self, vault: Vault, managed: ManagedObject, instance: str | None = None) -> bytes | None:
        """What a client of the instance gets that asks for this identifier; ``None`` for a refusal."""
        asked = instance or managed.instance
        found = await self.catalog.load(asked, managed.unique_identifier)
        assert found is not None
        try:
            return bytes((await vault.open(self.instances[asked], found)).reveal())
        except CryptographicFailure:
            return None

    def write(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        """Behind the catalog's back."""
        with sqlite3.connect(self.path) as connection:
            connection.executemany(sql, rows)
        connection.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    manager = MemoryKeyManager()
    # Two root keys of the same material: where they differ in it, nothing else is needed to refuse.
    roots = [(await manager.create_root_key(name, bytes(range(32)))).identifier for name in ("one", "other")]
    instances = {
        name: an_instance(root, name, Storage.KEY_MANAGER)
        for name, root in zip(("a", "b", "c", "d"), (*roots, *roots), strict=True)
    }
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.commit(Unit(entries=(), instances=tuple(instances.values())))
    site = Site(tmp_path / "catalog.db", catalog, manager, instances, [])
    vault = site.vault
    for number in range(KEYS):
        instance = list(instances.values())[number % 4]
        managed = an_object(f"object-{number}", instance.identifier)
        context = replace(context_of(managed), key_version=1 + number // 4 % 2)
        with material(number.to_bytes(32, "big")) as kek:
            sealed = await vault.seal_new(instance, context, kek)
        standard_key = await vault.store(instance, sealed, managed.unique_identifier)
        site.held.append(replace(managed, sealed=sealed, standard_key=standard_key))
    await catalog.commit(Unit(entries=(), inserted=tuple(site.held)))
    yield site
    await catalog.close()


def shifted(held: Sequence[ManagedObject], by: int) -> Iterator[tuple[ManagedObject, ManagedObject]]:
    """Each key with the one that comes into its place."""
    return zip(held, (*held[by:], *held[:by]), strict=True)


@contextmanager
def swapped(
    site: Site, columns: str, value: Callable[[ManagedObject, ManagedObject], tuple[object, ...]], by: int
) -> Iterator[None]:
    """Write ``columns`` of each key from the key ``by`` places on, and put them back."""
    sql = f"UPDATE object SET {columns} WHERE identifier = ?"
    site.write(sql, [(*value(key, other), key.unique_identifier) for key, other in shifted(site.held, by)])
    yield
    site.write(sql, [(*value(key, key), key.unique_identifier) for key in site.held])


SWAPS: dict[str, tuple[str, Callable[[ManagedObject, ManagedObject], tuple[object, ...]]]] = {
    "wrapped keys": ("sealed = ?", lambda _, other: (other.sealed,)),
    "wrapped keys with their standard keys": (
        "sealed = ?, standard_key = ?",
        lambda _, other: (other.sealed, other.standard_key),
    ),
    "all but the MAC": (
        "sealed = ?",
        lambda key, other: ((other.sealed or b"")[:-MAC] + (key.sealed or b"")[-MAC:],),
    ),
    "MACs": ("sealed = ?", lambda key, other: ((key.sealed or b"")[:-MAC] + (other.sealed or b"")[-MAC:],)),
    "standard keys": ("standard_key = ?", lambda _, other: (other.standard_key,)),
}


@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", SWAPS)
async def test_what_changes_places_in_the_database_does_not_open(site: Site, what: str, step: int) -> None:
    columns, value = SWAPS[what]
    vault = site.vault

    for by in SHIFTS[::step]:
        with swapped(site, columns, value, by):
            assert {await site.served(vault, key) for key in site.held} == {None}, by

    assert [await site.served(vault, key) for key in site.held] == [n.to_bytes(32, "big") for n in range(KEYS)]


@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.slow)])
async def test_objects_that_change_their_identifiers_do_not_open(site: Site, step: int) -> None:
    """Whole rows: attributes, state and wrapped key of one object under the identifier of another."""
    vault = site.vault

    for by in SHIFTS[::step]:
        names = [(f"{other.unique_identifier} of", key.unique_identifier) for key, other in shifted(site.held, by)]
        site.write("UPDATE object SET identifier = ? WHERE identifier = ?", names)
        site.write("UPDATE object SET identifier = ? WHERE identifier = ?", [(name[:-3], name) for name, _ in names])
        for key, other in shifted(site.held, by):
            found = await site.catalog.load(key.instance, other.unique_identifier)
            if found is not None:
                assert await site.served(vault, found) is None, by
        site.write(
            "UPDATE object SET identifier = ? WHERE standard_key = ?",
            [(f"{key.standard_key}", key.standard_key) for key in site.held],
        )
        site.write(
            "UPDATE object SET identifier = ? WHERE standard_key = ?",
            [(key.unique_identifier, key.standard_key) for key in site.held],
        )

    assert None not in {await site.served(vault, key) for key in site.held}


async def test_a_key_that_is_given_to_another_instance_does_not_open_there(site: Site) -> None:
    vault = site.vault

    for instance in site.instances:
        site.write(
            "UPDATE object SET instance = ? WHERE identifier = ?",
            [(instance, key.unique_identifier) for key in site.held],
        )
        opened = [key.instance for key in site.held if await site.served(vault, key, instance) is not None]
        assert opened == [instance] * (KEYS // 4)


async def test_an_instance_that_is_given_another_root_key_opens_nothing(site: Site) -> None:
    """Though that one's material would unwrap every ciphertext."""
    one, other = dict.fromkeys(instance.root_key for instance in site.instances.values())
    vault = site.vault
    site.instances = {
        name: replace(instance, root_key=other if instance.root_key == one else one)
        for name, instance in site.instances.items()
    }

    assert {await site.served(vault, key) for key in site.held} == {None}


@pytest.mark.parametrize("step", [37, pytest.param(1, marks=pytest.mark.slow)])
async def test_standard_keys_that_change_places_in_the_key_manager_do_not_open(site: Site, step: int) -> None:
    vault = site.vault

    for by in SHIFTS[::step]:
        for key, other in shifted(site.held, by):
            site.manager.replace_standard_key(key.standard_key or "", other.sealed or b"")
        assert {await site.served(vault, key) for key in site.held} == {None}, by
    for key in site.held:
        site.manager.replace_standard_key(key.standard_key or "", key.sealed or b"")

    assert None not in {await site.served(vault, key) for key in site.held}
