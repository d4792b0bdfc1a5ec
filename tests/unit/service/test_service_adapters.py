"""KMIP adapters as instances: what an administrator may do with them, their certificates and their objects."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import ClientCertificate, Instance, InstanceStatus, Storage, identifier_of
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.service.identity import Peer
from keyrack.service.office import adapters as service
from keyrack.service.office.adapters import Adapters, Rooms, adapters_using
from keyrack.service.office.administration import (
    Administration,
    Administrator,
    CertificateElsewhere,
    CertificateThere,
    LimitReached,
    NameTaken,
    NotThere,
    Refused,
)
from keyrack.service.office.removal import InUse, NotDestroyable
from keyrack.spec.enumerations import ResultReason, RevocationReasonCode, State
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import Client, Item, activate, create, destroy, get, register_opaque, revoke
from keyrack.testing.house import House, memory_house

ADMINISTRATOR = Administrator("iam-ServiceId-1", "192.0.2.7", "c-1")
LIVING = [State.PRE_ACTIVE, State.ACTIVE, State.DEACTIVATED, State.COMPROMISED]
ALL = list(State)
A = "aa" * 32


@pytest.fixture(params=["memory", "sqlite"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A house without an instance, over each catalog."""
    catalog = MemoryCatalog() if request.param == "memory" else await catalog_at(tmp_path / "catalog.db", "local")
    yield memory_house(catalog)
    await catalog.close()


@pytest.fixture
def forgotten() -> list[str]:
    """Whose plaintext the process was told to let go of."""
    return []


@pytest.fixture
def adapters(house: House, forgotten: list[str]) -> Adapters:
    """What a manager of the default key manager instance works with."""
    return adapters_of(house, "embedded", forgotten)


def adapters_of(house: House, key_manager: str, forgotten: list[str]) -> Adapters:
    """The adapters of one key manager instance."""
    managers = {"embedded": manager(house), "embedded/two": manager(house)}

    def forget(unique_identifier: str) -> None:
        forgotten.append(unique_identifier)
        house.vault.forget(unique_identifier)

    rooms = Rooms(catalog=house.catalog, key_managers=managers, clock=lambda: int(house.clock() * 1000), forget=forget)
    return Adapters(rooms, key_manager, ADMINISTRATOR)


def manager(house: House) -> MemoryKeyManager:
    """The key manager in memory."""
    assert isinstance(house.key_manager, MemoryKeyManager)
    return house.key_manager


async def root_key(house: House) -> str:
    """A new root key."""
    return (await house.key_manager.create_root_key("crk")).identifier


async def made(house: House, adapters: Adapters, name: str = "vc1") -> Instance:
    """A new adapter with a root key of its own."""
    return await adapters.create(name, await root_key(house), description="first")


def certificate(of: Instance, fingerprint: str = A, name: str = "vcenter-1") -> ClientCertificate:
    """A client certificate that was read before."""
    return ClientCertificate(
        fingerprint=fingerprint,
        instance=of.identifier,
        name=name,
        subject="CN=vc",
        not_before=0,
        not_after=2**33,
        der=b"der",
        added_at=0,
    )


@pytest.fixture
async def adapter(house: House, adapters: Adapters) -> Instance:
    """An adapter that ``client`` may use."""
    held = await made(house, adapters)
    await adapters.add_certificate(certificate(held))
    house.peers["a"] = Peer(fingerprint=A, address="192.0.2.1:4711", tls="TLSv1.3")
    return held


@pytest.fixture
def client(house: House, adapter: Instance) -> Client:
    """A client of ``adapter``."""
    return Client(house)


async def journal(catalog: Catalog) -> list[dict[str, object]]:
    """Every record."""
    return [json.loads(record.text) for record in await catalog.journal()]


async def test_a_new_adapter_is_an_instance_that_serves(house: House, adapters: Adapters) -> None:
    """Whoever made it is kept with it; its keys will show in the key manager."""
    adapter = await made(house, adapters)

    assert await house.catalog.instances() == [adapter]
    assert (adapter.status, adapter.storage, adapter.key_manager) == (
        InstanceStatus.INSTALLED,
        Storage.KEY_MANAGER,
        "embedded",
    )
    assert (adapter.description, adapter.created_by, adapter.updated_at) == ("first", "iam-ServiceId-1", None)
    (entry,) = await journal(house.catalog)
    assert (entry["action"], entry["initiator"], entry["address"]) == (
        "instance.create",
        "iam-ServiceId-1",
        "192.0.2.7",
    )
    assert dict(entry["detail"])["correlation"] == "c-1"  # type: ignore[call-overload]


async def test_an_adapter_is_found_by_name_or_identifier(house: House, adapters: Adapters) -> None:
    """An identifier goes before a name that looks like it."""
    first = await made(house, adapters)
    await made(house, adapters, first.identifier)

    assert await adapters.adapter("vc1") == first
    assert await adapters.adapter(first.identifier) == first
    with pytest.raises(NotThere):
        await adapters.adapter("vc2")


async def test_key_manager_instances_see_nothing_of_each_other(
    house: House, adapters: Adapters, forgotten: list[str]
) -> None:
    """Not even the names that are taken."""
    other = adapters_of(house, "embedded/two", forgotten)
    mine, theirs = await made(house, adapters), await made(house, other)

    assert [list(await each.all()) for each in (adapters, other)] == [[mine], [theirs]]
    with pytest.raises(NotThere):
        await other.adapter(mine.identifier)


async def test_an_instance_of_the_command_line_is_an_adapter(house: House, adapters: Adapters) -> None:
    """And a name that two key managers have is told apart there by its identifier."""
    administration = Administration(
        house.catalog, {"embedded": manager(house)}, Administrator("local-user-eve"), lambda: 5000
    )
    prod = await administration.create_instance("prod")
    assert list(await adapters.all()) == [prod]

    await made(house, adapters_of(house, "embedded/two", []), "prod")
    with pytest.raises(Refused, match=rf"2 instances are called 'prod'.*{prod.identifier} \(of embedded\)"):
        await administration.instance("prod")
    assert await administration.instance(prod.identifier) == prod


async def test_adapters_are_found_by_their_root_key(house: House, adapters: Adapters) -> None:
    """Whoever deletes a root key is told whom that would cut off."""
    key = await root_key(house)
    await adapters.create("vc2", key)
    await adapters.create("vc1", key)
    await made(house, adapters, "vc3")

    assert [each.name for each in await adapters.all(key)] == ["vc1", "vc2"]
    assert await adapters_using(house.catalog, "embedded", key) == ["vc1", "vc2"]
    assert await adapters_using(house.catalog, "embedded/two", key) == []


async def test_a_name_is_given_once(house: House, adapters: Adapters) -> None:
    """In one key manager instance."""
    await made(house, adapters)

    with pytest.raises(NameTaken):
        await made(house, adapters)


async def test_there_is_a_limit_to_adapters_and_certificates(
    house: House, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there stays as it is."""
    monkeypatch.setattr(service, "MOST_ADAPTERS", 1)
    monkeypatch.setattr(service, "MOST_CERTIFICATES", 1)
    adapter = await made(house, adapters)
    await adapters.add_certificate(certificate(adapter))

    with pytest.raises(LimitReached):
        await made(house, adapters, "vc2")
    with pytest.raises(LimitReached):
        await adapters.add_certificate(certificate(adapter, "bb" * 32, "vcenter-2"))
    assert len(await adapters.certificates(adapter)) == len(await adapters.all()) == 1


async def test_a_certificate_is_found_by_name_or_identifier(house: House, adapters: Adapters) -> None:
    """Of this adapter alone; who added it is kept, and the adapter has changed."""
    adapter = await made(house, adapters)
    house.clock.now += 10
    added = await adapters.add_certificate(certificate(adapter))

    assert added.added_by == "iam-ServiceId-1"
    assert await adapters.certificate(adapter, "vcenter-1") == added
    assert await adapters.certificate(adapter, added.identifier) == added
    other = await made(house, adapters, "vc2")
    for name in ("vcenter-1", added.identifier):
        with pytest.raises(NotThere):
            await adapters.certificate(other, name)
    changed = await adapters.adapter("vc1")
    assert (changed.updated_at, changed.updated_by) == (int(house.clock()), "iam-ServiceId-1")


async def test_a_certificate_belongs_to_one_adapter(house: House, adapters: Adapters) -> None:
    """Each way of giving it twice is told apart."""
    adapter, other = await made(house, adapters), await made(house, adapters, "vc2")
    await adapters.add_certificate(certificate(adapter))

    with pytest.raises(CertificateThere):
        await adapters.add_certificate(certificate(adapter, name="again"))
    with pytest.raises(CertificateElsewhere):
        await adapters.add_certificate(certificate(other))
    with pytest.raises(NameTaken):
        await adapters.add_certificate(certificate(adapter, "bb" * 32))
    await adapters.add_certificate(certificate(other, "bb" * 32))


async def test_a_certificate_that_was_removed_counts_no_more(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """At the next request."""
    await client.made()
    await adapters.remove_certificate(await adapters.certificate(adapter, "vcenter-1"))

    assert await client.refused(create()) == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL


async def test_a_certificate_for_an_adapter_that_is_gone_is_refused(house: House, adapters: Adapters) -> None:
    """Of two administrators one was quicker."""
    adapter = await made(house, adapters)
    await adapters.remove(adapter)

    with pytest.raises(NotThere):
        await adapters.add_certificate(certificate(adapter))


async def test_objects_are_listed_as_they_are_now(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """In the state that their dates have made, with who has made and changed them."""
    waiting = await client.made(create({"Activation Date": int(house.clock()) + 60}))
    house.clock.now += 1
    gone = await client.made()
    await client(destroy(gone))
    author = (f"CertificateID-{A}", "iam-ServiceId-1")

    (listed,) = await adapters.objects(adapter, LIVING, limit=10, offset=0)
    assert (listed.managed.unique_identifier, listed.managed.state) == (waiting, State.PRE_ACTIVE)
    assert (listed.created_by.initiator, listed.created_by.admitted_by) == author
    house.clock.now += 60
    (listed,) = await adapters.objects(adapter, [State.ACTIVE], limit=10, offset=0)
    assert listed.managed.state is State.ACTIVE
    assert listed == await adapters.object(adapter, waiting)

    assert await adapters.count_objects(adapter, ALL) == 2
    destroyed = (await adapters.object(adapter, gone)).destroyed_by
    assert destroyed is not None
    assert (destroyed.initiator, destroyed.admitted_by) == author
    with pytest.raises(NotThere):
        await adapters.object(await made(house, adapters, "vc2"), waiting)


@pytest.mark.parametrize(
    ("acts", "state"),
    [
        ((), State.DESTROYED),
        ((activate, revoke), State.DESTROYED),
        ((activate, lambda uid: revoke(uid, RevocationReasonCode.KEY_COMPROMISE)), State.DESTROYED_COMPROMISED),
    ],
    ids=["pre-active", "deactivated", "compromised"],
)
async def test_an_object_is_destroyed_as_a_client_would(  # noqa: PLR0917 - fixtures
    house: House,
    adapters: Adapters,
    adapter: Instance,
    client: Client,
    forgotten: list[str],
    acts: Sequence[Callable[[str], Item]],
    state: State,
) -> None:
    """Same states, same dates; no client gets its material any more, and the administrator is named."""
    uid = await client.made()
    for act in acts:
        await client(act(uid))
    house.clock.now += 5
    await adapters.destroy(adapter, uid)

    destroyed = await adapters.object(adapter, uid)
    assert destroyed.managed.state is state
    assert destroyed.managed.value("Destroy Date") == int(house.clock())
    assert destroyed.destroyed_by == destroyed.changed_by
    assert destroyed.changed_by.initiator == "iam-ServiceId-1"
    assert forgotten == [uid]
    assert await client.refused(get(uid)) == ResultReason.ILLEGAL_OPERATION
    (*_, told, _) = await journal(house.catalog)
    assert (told["action"], told["target"], told["initiator"]) == ("key.destroy", uid, "iam-ServiceId-1")
    assert (await adapters.adapter("vc1")).updated_at == int(house.clock())


async def test_an_active_object_is_destroyed_by_force_alone(
    house: House, adapters: Adapters, adapter: Instance, client: Client, forgotten: list[str]
) -> None:
    """By way of Deactivated, as the law says; a machine might need it."""
    uid = await client.made()
    await client(activate(uid))

    with pytest.raises(NotDestroyable, match="is Active"):
        await adapters.destroy(adapter, uid)
    assert forgotten == []
    assert len(await client.material(uid)) == 32
    await adapters.destroy(adapter, uid, force=True)

    found = (await adapters.object(adapter, uid)).managed
    assert (found.state, found.value("Deactivation Date")) == (State.DESTROYED, int(house.clock()))
    assert await client.refused(get(uid)) == ResultReason.ILLEGAL_OPERATION


async def test_an_object_that_time_has_made_active_is_active(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """Though nobody has written it down."""
    uid = await client.made(create({"Activation Date": int(house.clock()) + 60}))
    house.clock.now += 60

    with pytest.raises(NotDestroyable):
        await adapters.destroy(adapter, uid)
    await adapters.destroy(adapter, uid, force=True)


async def test_a_destroyed_object_is_not_destroyed_again(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """Force has nothing left to do."""
    uid = await client.made()
    await adapters.destroy(adapter, uid)
    before = await adapters.object(adapter, uid)

    with pytest.raises(NotDestroyable, match="destroyed already"):
        await adapters.destroy(adapter, uid)
    await adapters.destroy(adapter, uid, force=True)
    assert await adapters.object(adapter, uid) == before


async def test_an_object_without_state_is_destroyed_too(adapters: Adapters, adapter: Instance, client: Client) -> None:
    """An Opaque Object knows neither Active nor Deactivated."""
    uid = await client.made(register_opaque(b"x"))
    await adapters.destroy(adapter, uid)

    assert await adapters.count_objects(adapter, LIVING) == 0


async def test_an_object_of_another_adapter_is_not_destroyed(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """It is not there."""
    uid = await client.made()

    with pytest.raises(NotThere):
        await adapters.destroy(await made(house, adapters, "vc2"), uid, force=True)
    assert (await adapters.object(adapter, uid)).managed.state is State.PRE_ACTIVE


async def test_an_adapter_with_objects_stays(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """And goes on serving."""
    uid = await client.made()

    with pytest.raises(InUse):
        await adapters.remove(adapter)
    assert len(await client.material(uid)) == 32
    assert (await adapters.adapter("vc1")).status is InstanceStatus.INSTALLED


async def test_an_adapter_goes_with_all_that_is_its_own(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """Its certificates count no more, copies of destroyed objects leave the key manager, the journal stays."""
    uid = await client.made()
    await client(destroy(uid))
    assert len(await _standard_keys(house)) == 1
    await adapters.remove(adapter)

    assert list(await adapters.all()) == []
    assert await _standard_keys(house) == []
    assert await client.refused(create()) == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    acts = [entry["action"] for entry in await journal(house.catalog) if entry["instance"] == adapter.identifier]
    assert acts[:2] == ["instance.create", "certificate.add"]
    assert acts[-2:] == ["instance.removing", "instance.remove"]
    with pytest.raises(NotThere):
        await adapters.remove(adapter)


async def test_a_removal_that_the_key_manager_stops_goes_on_later(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """Nobody is served meanwhile; what the key manager refuses to delete stays there."""
    for _ in range(2):
        await client(destroy(await client.made()))
    manager(house).fail("delete_standard_key", Fault.UNAVAILABLE)

    with pytest.raises(KeyManagerUnavailable):
        await adapters.remove(adapter)
    removing = await adapters.adapter("vc1")
    assert removing.status is InstanceStatus.REMOVING
    assert await client.refused(create()) == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    manager(house).fail("delete_standard_key", Fault.REFUSE)
    await adapters.remove(removing)

    assert list(await adapters.all()) == []
    assert len(await _standard_keys(house)) == 1


async def test_what_a_crash_has_left_half_made_holds_its_adapter(
    house: House, adapters: Adapters, adapter: Instance, client: Client
) -> None:
    """The reconciler may finish the object: it must not be lost with the adapter."""
    uid = await client.made()
    found = await house.catalog.load(adapter.identifier, uid)
    assert found is not None
    other = replace(found, unique_identifier=identifier_of("another"))
    await adapters.destroy(adapter, uid)
    administration = Administration(house.catalog, {}, ADMINISTRATOR, lambda: 0)
    await administration.commit("standard-key.intent", adapter.identifier, "x", {}, intents=(other,))

    with pytest.raises(InUse):
        await adapters.remove(adapter)


async def _standard_keys(house: House) -> list[str]:
    return [each.name async for each in manager(house).list_standard_keys("vmware_kmip_")]
