"""The proof that every key can be had back: it sees a copy that does not open, wherever it is kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite import copying
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Catalog, Unit
from keyrack.ports.cluster import PROOF
from keyrack.service.copies.proving import BackupProved, Proved, Proving
from keyrack.service.vault.envelope import Vault
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.conversation import destroy
from keyrack.testing.offices import Offices, open_offices

pytestmark = pytest.mark.skipif(over_postgres(), reason="PostgreSQL has backups of its own: docs/backup.md")


def vault_for(offices: Offices) -> Callable[[Catalog], Vault]:
    manager = offices.key_manager
    return lambda catalog: Vault(
        {"embedded": manager}, manager.integrity_root(), "deployment", wrapping_keys=catalog.wrapping_key
    )


async def proved(offices: Offices, copy: Path | None = None) -> Proved:
    proving = Proving(offices.catalog, offices.house.vault, {"embedded": offices.key_manager})
    await proving.living()
    if copy is not None:
        catalog = SqliteCatalog(copy, "backup")
        try:
            await proving.backup(BackupProved(name=copy.name, at=1), catalog, vault_for(offices))
        finally:
            await catalog.close()
    return proving.found


async def spoil(catalog: Catalog, offices: Offices, uid: str) -> None:
    """One bit of what is wrapped, in the middle."""
    found = await catalog.load(offices.instance.identifier, uid)
    assert isinstance(found, ManagedObject)
    assert found.sealed is not None
    spoilt = bytearray(found.sealed)
    spoilt[len(spoilt) // 2] ^= 1
    await catalog.commit(Unit(entries=(), updated=(found.changed(sealed=bytes(spoilt)),)))


async def test_every_copy_opens_and_the_same_bytes_are_opened_once(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        for _ in range(3):
            await offices.key()
        copy = tmp_path / "copy.db"
        copying.copy(tmp_path / "catalog.sqlite", copy)
        await offices.key()

        found = await proved(offices, copy)

        assert (found.keys, found.catalog, found.alone, found.well) == (4, 4, 4, True)
        (backup,) = found.backups
        assert (backup.keys, backup.same, backup.opened) == (3, 3, 0)
        report = found.report(7)
        assert (report.kind, report.at, report.good, report.keys) == (PROOF, 7, True, 4)


@pytest.mark.parametrize("where", ["catalog", "backup"])
async def test_a_spoilt_copy_is_told_of(tmp_path: Path, where: str) -> None:
    async with open_offices(tmp_path) as offices:
        keys = [await offices.key() for _ in range(3)]
        copy = tmp_path / "copy.db"
        copying.copy(tmp_path / "catalog.sqlite", copy)
        if where == "catalog":
            await spoil(offices.catalog, offices, keys[1])
        else:
            backup = SqliteCatalog(copy, "spoiler")
            await spoil(backup, offices, keys[1])
            await backup.close()

        found = await proved(offices, copy)

        assert not found.well
        assert [(each.where, each.unique_identifier) for each in found.failures] == [
            ("catalog" if where == "catalog" else "copy.db", keys[1])
        ]
        assert not found.report(1).good


async def test_a_backup_may_hold_what_nobody_can_open_any_more_once_it_is_destroyed(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        kept, gone = await offices.key(), await offices.key(active=False)
        copy = tmp_path / "copy.db"
        copying.copy(tmp_path / "catalog.sqlite", copy)
        backup = SqliteCatalog(copy, "spoiler")
        await spoil(backup, offices, gone)
        await backup.close()
        await offices.client(destroy(gone))

        found = await proved(offices, copy)

        assert found.well
        (told,) = found.backups
        assert (told.keys, told.same, told.outlived, found.keys, found.destroyed) == (2, 1, 1, 1, 1)
        assert kept


async def test_what_is_withheld_is_not_opened(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        key = await offices.key()
        await offices.withhold(key)

        found = await proved(offices)

        assert (found.keys, found.withheld, found.catalog, found.well) == (1, 1, 0, True)


async def test_another_key_in_the_place_of_one_is_found(tmp_path: Path) -> None:
    """That bytes have opened is no proof of another object that has the same."""
    async with open_offices(tmp_path) as offices:
        one, other = await offices.key(), await offices.key()
        copy = tmp_path / "copy.db"
        copying.copy(tmp_path / "catalog.sqlite", copy)
        backup = SqliteCatalog(copy, "swapper")
        instance = offices.instance.identifier
        first, second = await backup.load(instance, one), await backup.load(instance, other)
        assert first is not None
        assert second is not None
        await backup.commit(Unit(entries=(), updated=(replace(first.changed(), sealed=second.sealed),)))
        await backup.close()

        found = await proved(offices, copy)

        assert [(each.where, each.unique_identifier) for each in found.failures] == [("copy.db", one)]
