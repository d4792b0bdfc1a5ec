"""Changing where wrapped keys are kept: what each way does to every key, and what it refuses before it begins."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Hierarchy, Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Catalog, Unit
from keyrack.ports.key_manager import KeyManagerRefused, Reason
from keyrack.service.moves.completion import Completed
from keyrack.service.moves.storage import set_storage
from keyrack.service.moves.successors import Overtaken
from keyrack.service.office.refusals import Refused
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import destroy, get, register_opaque
from keyrack.testing.moves import HERE, THERE, Moves

COUNT = 5
CATALOG, KEY_MANAGER = Storage.CATALOG, Storage.KEY_MANAGER


@pytest.fixture(params=["memory", "sqlite"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalog]:
    on_disk = request.param == "sqlite"
    made: Catalog = await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else MemoryCatalog()
    yield made
    await made.close()


async def filled(
    catalog: Catalog | None, storage: Storage, hierarchy: Hierarchy = Hierarchy.DIRECT, count: int = COUNT
) -> Moves:
    moves = await Moves.create(catalog, storage=storage, hierarchy=hierarchy)
    if count:
        await moves.fill(count)
    return moves


async def kept_in(moves: Moves, storage: Storage, *, keep: bool = False) -> Completed:
    return await set_storage(moves.ground(), await moves.instance(), storage, keep_standard_keys=keep)


@pytest.mark.parametrize("hierarchy", list(Hierarchy))
@pytest.mark.parametrize("there", list(Storage))
async def test_every_key_follows_and_stays_the_same(catalog: Catalog, hierarchy: Hierarchy, there: Storage) -> None:
    """Each has one standard key then, or none; new ones too."""
    (here,) = set(Storage) - {there}
    moves = await filled(catalog, here, hierarchy)

    came = await kept_in(moves, there)
    moves.house.desk.sessions.forget()
    await moves.made()

    wanted = COUNT + (hierarchy is Hierarchy.TWO_LEVEL)
    assert (wanted, [], 0) == (came.outcome.changed, came.left, came.leftovers)
    assert there is (await moves.instance()).storage
    await moves.verify()
    await moves.verify_copies()


async def test_there_and_back_again(catalog: Catalog) -> None:
    """And a second time the same has nothing to do."""
    moves = await filled(catalog, CATALOG)
    for storage in (KEY_MANAGER, KEY_MANAGER, CATALOG, CATALOG, KEY_MANAGER):
        came = await kept_in(moves, storage)
        assert [] == came.left
        await moves.verify()
        await moves.verify_copies()


async def test_standard_keys_may_be_kept_and_are_taken_up_again(catalog: Catalog) -> None:
    """Nobody deletes them; on the way back no second ones are made."""
    moves = await filled(catalog, KEY_MANAGER)
    before = {each.unique_identifier: each.standard_key for each in await moves.sealed()}

    assert [] == (await kept_in(moves, CATALOG, keep=True)).left
    assert set(before) == set((await moves.copies())[HERE])
    assert {None} == {each.standard_key for each in await moves.sealed()}
    moves.here.calls.clear()
    await kept_in(moves, KEY_MANAGER)

    assert 1 == moves.here.calls["put_standard_key"]  # The one that was tried out.
    assert before == {each.unique_identifier: each.standard_key for each in await moves.sealed()}
    await moves.verify_copies()


async def test_a_key_that_does_not_open_keeps_its_standard_key() -> None:
    """The catalog's copy is opened before the other one is let go of."""
    moves = await filled(None, KEY_MANAGER)
    first = (await moves.sealed())[0]
    unwrap = moves.here.unwrap

    async def fails(root_key: str, ciphertext: bytes, aad: object) -> object:
        if first.sealed and ciphertext in first.sealed:
            raise KeyManagerRefused("that is not mine", Reason.CIPHERTEXT)
        return await unwrap(root_key, ciphertext, aad)  # type: ignore[arg-type]

    moves.here.unwrap = fails  # type: ignore[method-assign,assignment]
    came = await kept_in(moves, CATALOG)

    assert [first.unique_identifier] == [identifier for identifier, _ in came.left]
    assert Counter([first.unique_identifier]) == (await moves.copies())[HERE]
    moves.here.unwrap = unwrap  # type: ignore[method-assign]
    assert [] == (await kept_in(moves, CATALOG)).left
    await moves.verify_copies()


async def test_a_revoked_key_is_not_freed_by_leaving_the_key_manager() -> None:
    """Its standard key was deleted a moment ago: it is withheld, and stays so, until it is restored there."""
    moves = await filled(None, KEY_MANAGER)
    revoked = (await moves.sealed())[1]
    kept = await moves.here.get_standard_key(revoked.standard_key or "")
    await moves.here.delete_standard_key(kept.identifier)

    came = await kept_in(moves, CATALOG)

    assert [revoked.unique_identifier] == [identifier for identifier, _ in came.left]
    assert "restore it there" in came.left[0][1]
    moves.house.desk.sessions.forget()
    await moves.client.refused(get(revoked.unique_identifier))
    moves.here._standard_keys[kept.identifier] = kept
    assert [] == (await kept_in(moves, CATALOG)).left
    await moves.verify()
    await moves.verify_copies()


async def test_a_revoked_key_is_refused_while_its_turn_has_not_come() -> None:
    """The instance keeps its keys in the catalog already, this one is still in the key manager, and was deleted."""
    moves = await filled(None, KEY_MANAGER, count=2)
    instance, (one, _) = await moves.instance(), await moves.sealed()
    await moves.catalog.commit(Unit(entries=(), instances=(replace(instance, storage=CATALOG),)))
    await moves.here.delete_standard_key(one.standard_key or "")
    moves.house.desk.sessions.forget()
    moves.house.vault.purge()

    await moves.client.refused(get(one.unique_identifier))
    with pytest.raises(CryptographicFailure):
        await moves.house.vault.open(await moves.instance(), one)


# --- refused before anything is written ---


async def nothing_written(moves: Moves, before: Instance, told: str) -> None:
    """It is refused with these words, and all is as it was."""
    sealed = await moves.sealed()
    with pytest.raises(Refused, match=told):
        await kept_in(moves, KEY_MANAGER)
    assert (before, sealed) == (await moves.instance(), await moves.sealed())
    assert Counter() == (await moves.copies())[HERE]


async def test_objects_that_are_too_long_are_listed(catalog: Catalog) -> None:
    """All of them, with their lengths; destroyed ones hinder nobody."""
    moves = await filled(catalog, CATALOG)
    long = [await moves.client.made(register_opaque(bytes(9000))) for _ in range(3)]

    with pytest.raises(Refused) as refused:
        await kept_in(moves, KEY_MANAGER)

    assert all(uid in str(refused.value) for uid in long)
    assert "7500" in str(refused.value)
    await nothing_written(moves, await moves.instance(), "longer")
    for uid in long:
        await moves.client(destroy(uid))
    assert [] == (await kept_in(moves, KEY_MANAGER)).left


@pytest.mark.parametrize(
    ("reason", "code", "told"),
    [
        (Reason.POLICY, "409 KEY_CREATE_IMPORT_ACCESS_ERR", "keyCreateImportAccess"),
        (Reason.PERMISSION, "403", "Writer"),
    ],
)
@pytest.mark.parametrize("count", [0, COUNT])
async def test_a_key_manager_that_takes_no_standard_keys_is_found_out_first(
    reason: Reason, code: str, told: str, count: int
) -> None:
    """With its own word, and what the customer changes; also for an instance without any key yet."""
    moves = await filled(None, CATALOG, count=count)

    async def refuses(name: str, payload: bytes) -> str:
        raise KeyManagerRefused("not so", reason, code=code)

    moves.here.put_standard_key = refuses  # type: ignore[method-assign]
    await nothing_written(moves, await moves.instance(), rf"(?s)not so.*{code}.*{told}")


async def test_what_was_tried_out_is_left_where_nothing_may_be_deleted() -> None:
    """It is remembered, and deleted by whoever may."""
    moves = await filled(None, CATALOG)
    moves.here.fail("delete_standard_key", Fault.REFUSE)

    assert 1 == (await kept_in(moves, KEY_MANAGER)).leftovers
    assert 0 == (await kept_in(moves, KEY_MANAGER)).leftovers
    await moves.verify_copies()


async def test_an_instance_that_moves_is_refused() -> None:
    """One thing after the other."""
    moves = await filled(None, CATALOG)
    instance = await moves.instance()
    root_key = (await moves.there.create_root_key("there")).identifier
    moving = replace(instance, key_manager=THERE, root_key=root_key, former=instance.home)
    await moves.catalog.commit(Unit(entries=(), instances=(moving,)))

    await nothing_written(moves, moving, "change-root-key a --key-manager other --root-key")


async def test_another_command_that_came_first_is_told() -> None:
    """It was decided on an instance that is another one by now."""
    moves = await filled(None, CATALOG)
    instance = await moves.instance()
    await kept_in(moves, KEY_MANAGER)

    with pytest.raises(Overtaken):
        await set_storage(moves.ground(), instance, KEY_MANAGER)


async def test_an_opposite_command_ends_a_walk() -> None:
    """Both cannot go on: what the first has done stays, and the second has its way."""
    moves = await filled(None, CATALOG, count=30)
    put, second = moves.here.put_standard_key, list[Completed]()

    async def meanwhile(name: str, payload: bytes) -> str:
        if name.startswith("vmware_kmip_"):
            moves.here.put_standard_key = put  # type: ignore[method-assign]
            second.append(await kept_in(moves, CATALOG))
        return await put(name, payload)

    moves.here.put_standard_key = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Overtaken):
        await kept_in(moves, KEY_MANAGER)
    await kept_in(moves, CATALOG)

    await moves.verify()
    await moves.verify_copies()


# --- copies that tell where they are ---


async def test_under_a_wrapping_key_that_moved_alone_a_copy_tells_where_it_is() -> None:
    """It was made in another key manager, in the catalog alone; its standard key is here."""
    moves = await filled(None, CATALOG, Hierarchy.TWO_LEVEL)
    instance, vault = await moves.instance(), moves.house.vault
    moved = replace(instance, key_manager=THERE, root_key=(await moves.there.create_root_key("there")).identifier)
    wrapping_key = await moves.catalog.wrapping_key(instance.identifier)
    assert wrapping_key is not None
    resealed = await vault.reseal(replace(moved, former=instance.home), wrapping_key)
    await moves.catalog.commit(
        Unit(entries=(), instances=(moved,), wrapping_keys=(wrapping_key.changed(sealed=resealed),))
    )

    assert [] == (await kept_in(moves, KEY_MANAGER)).left

    objects = [each for each in await moves.sealed() if isinstance(each, ManagedObject)]
    told = {vault.wrapping.verified(each.instance, each.sealed).header.provider for each in objects}
    assert {THERE} == told
    await moves.verify()
    await moves.verify_copies()
