"""What an administrator does: done whole and written down, or refused with the reason and the way out."""

import json
from collections.abc import Mapping

import pytest

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import ClientCertificate, InstanceStatus, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import KeyManager
from keyrack.service.health.certificate_health import server as judged
from keyrack.service.health.health import Level, examine
from keyrack.service.office.administration import Administration, Administrator, Refused
from keyrack.spec.enumerations import ObjectType, State

NOW = 1_800_000_000
A, B = "aa" * 32, "ab" * 32


def administration(catalog: MemoryCatalog, managers: Mapping[str, KeyManager]) -> Administration:
    """An administrator at work, at a time that stands still."""
    return Administration(catalog, managers, Administrator("local-user-eve"), lambda: NOW * 1000)


@pytest.fixture
def catalog() -> MemoryCatalog:
    """An empty catalog."""
    return MemoryCatalog()


@pytest.fixture
def manager() -> MemoryKeyManager:
    """A key manager without root keys."""
    return MemoryKeyManager()


@pytest.fixture
def work(catalog: MemoryCatalog, manager: MemoryKeyManager) -> Administration:
    """An administrator with that catalog and one key manager."""
    return administration(catalog, {"embedded": manager})


def a_certificate(instance: str, fingerprint: str = A, not_after: int = NOW + 400 * 86_400) -> ClientCertificate:
    """A client certificate that was read before."""
    return ClientCertificate(
        fingerprint=fingerprint,
        instance=instance,
        subject="CN=vc",
        not_before=NOW - 1,
        not_after=not_after,
        der=b"der",
        added_at=NOW,
    )


def a_key(instance: str, identifier: str, state: State = State.ACTIVE) -> ManagedObject:
    """A key without attributes."""
    return ManagedObject(
        unique_identifier=identifier,
        instance=instance,
        object_type=ObjectType.SYMMETRIC_KEY,
        state=state,
        attributes={},
    )


async def journal(work: Administration) -> list[tuple[str, str, str]]:
    """Who did what, on what."""
    entries = [json.loads(record.text) async for record in work.journal()]
    return [(entry["initiator"], entry["action"], entry["target"]) for entry in entries]


async def test_a_new_instance_is_usable_at_once(work: Administration, manager: MemoryKeyManager) -> None:
    """It is installed, with a root key of its own that was made for it."""
    made = await work.create_instance("prod")

    assert (made.status, made.storage, made.key_manager) == (InstanceStatus.INSTALLED, Storage.CATALOG, "embedded")
    assert (await manager.describe_root_key(made.root_key)).name == "prod root key"
    assert await work.instance("prod") == await work.instance(made.identifier) == made


async def test_a_root_key_that_is_there_can_be_named(work: Administration, manager: MemoryKeyManager) -> None:
    """No other is made then."""
    root_key = await manager.create_root_key("by hand")

    made = await work.create_instance("prod", root_key=root_key.identifier)

    assert made.root_key == root_key.identifier
    assert len(await manager.list_root_keys()) == 1


async def test_a_root_key_that_is_disabled_is_refused(work: Administration, manager: MemoryKeyManager) -> None:
    """An instance that could not serve is not made."""
    root_key = await manager.create_root_key("by hand")
    await manager.disable_root_key(root_key.identifier)

    with pytest.raises(Refused, match="is not active"):
        await work.create_instance("prod", root_key=root_key.identifier)

    assert await work.instances() == []


@pytest.mark.parametrize("name", ["", "-a", "a b", "ä", "x" * 64, "a/b", "a\nb"])
async def test_a_name_that_cannot_be_typed_everywhere_is_refused(work: Administration, name: str) -> None:
    """Letters, digits and three signs."""
    with pytest.raises(Refused, match="cannot be an instance's name"):
        await work.create_instance(name)


async def test_a_name_that_is_taken_is_refused_before_a_root_key_is_made(
    work: Administration, manager: MemoryKeyManager
) -> None:
    """A root key may cost money."""
    await work.create_instance("prod")

    with pytest.raises(Refused, match="there is an instance 'prod' already"):
        await work.create_instance("prod")

    assert len(await manager.list_root_keys()) == 1


async def test_one_of_several_key_managers_has_to_be_named(catalog: MemoryCatalog, manager: MemoryKeyManager) -> None:
    """Nothing is guessed."""
    work = administration(catalog, {"one": manager, "two": manager})

    with pytest.raises(Refused, match=r"more than one key manager \(one, two\)"):
        await work.create_instance("prod")
    with pytest.raises(Refused, match="no key manager 'three' is configured; use one of: one, two"):
        await work.create_instance("prod", key_manager="three")
    assert (await work.create_instance("prod", key_manager="two")).key_manager == "two"


async def test_every_act_is_in_the_journal(work: Administration) -> None:
    """With the administrator's name, in the transaction of the act itself."""
    made = await work.create_instance("prod")
    await work.add_certificate(a_certificate(made.identifier))
    await work.remove_certificate(await work.certificate(made, A[:4]))

    assert await journal(work) == [
        ("local-user-eve", "instance.create", made.identifier),
        ("local-user-eve", "certificate.add", A),
        ("local-user-eve", "certificate.remove", A),
    ]


async def test_a_certificate_means_one_instance(work: Administration) -> None:
    """The refusal says which one has it, and how to take it away there."""
    prod, test = await work.create_instance("prod"), await work.create_instance("test")
    await work.add_certificate(a_certificate(prod.identifier))

    with pytest.raises(Refused, match="in force for this instance already"):
        await work.add_certificate(a_certificate(prod.identifier))
    with pytest.raises(Refused, match="belongs to instance 'prod'.*keyrack cert remove prod aaaaaaaaaaaaaaaa"):
        await work.add_certificate(a_certificate(test.identifier))


async def test_a_certificate_is_named_by_the_beginning_of_its_fingerprint(work: Administration) -> None:
    """As vCenter shows it too; what is not enough to tell it is refused."""
    prod = await work.create_instance("prod")
    for fingerprint in (A, "aaaa" + "b" * 60):
        await work.add_certificate(a_certificate(prod.identifier, fingerprint))

    assert (await work.certificate(prod, "AA:AA:AA")).fingerprint == A
    for prefix, why in (
        ("aaaa", "2 certificates begin"),
        ("aaa", "at least 4 hexadecimal digits"),
        ("wxyz", "not the beginning of a fingerprint"),
        ("bbbb", "has no certificate that begins"),
    ):
        with pytest.raises(Refused, match=why):
            await work.certificate(prod, prefix)


async def test_keys_are_found_by_state(work: Administration, catalog: MemoryCatalog) -> None:
    """Those of the instance alone."""
    prod, test = await work.create_instance("prod"), await work.create_instance("test")
    keys = [
        a_key(prod.identifier, "11110000-0000-4000-8000-000000000001"),
        a_key(prod.identifier, "22220000-0000-4000-8000-000000000002", State.DEACTIVATED),
        a_key(test.identifier, "33330000-0000-4000-8000-000000000003"),
    ]
    entry = Entry(at=5000, action="Get", outcome="success", initiator="x", address="y", instance=prod.identifier)
    await catalog.commit(Unit(entries=(entry,), inserted=keys))

    assert [key.unique_identifier[0] for key in await work.keys(prod)] == ["1", "2"]
    assert [key.unique_identifier[0] for key in await work.keys(prod, State.DEACTIVATED)] == ["2"]


async def test_an_instance_that_is_not_there_is_told_with_those_that_are(work: Administration) -> None:
    """Or with how to create one."""
    with pytest.raises(Refused, match="create it with 'keyrack instance create prod'"):
        await work.instance("prod")
    await work.create_instance("test")
    with pytest.raises(Refused, match="use one of: test"):
        await work.instance("prod")


async def test_all_is_well_when_root_keys_work(
    work: Administration, catalog: MemoryCatalog, manager: MemoryKeyManager
) -> None:
    """Clients, keys and root keys are looked at for each instance."""
    prod = await work.create_instance("prod")
    await work.add_certificate(a_certificate(prod.identifier))

    health = await examine(catalog, {"embedded": manager}, NOW)

    assert {finding.level for finding in health.findings} == {Level.OK}
    (numbers,) = health.numbers["instances"]
    assert numbers | {"name": "prod", "status": "Installed", "keys": 0, "certificates": 1, "sealed": False} == numbers


async def test_a_disabled_root_key_is_unhealthy(
    work: Administration, catalog: MemoryCatalog, manager: MemoryKeyManager
) -> None:
    """vCenter's own check would not notice: it fetches no key."""
    prod = await work.create_instance("prod")
    await manager.disable_root_key(prod.root_key)

    health = await examine(catalog, {"embedded": manager}, NOW)

    assert [each.what for each in health.findings if each.level is Level.FAILED] == ["root key of prod"]
    assert not health.ok


async def test_what_should_be_looked_after_is_a_warning(work: Administration, catalog: MemoryCatalog) -> None:
    """A key manager that was not opened: well, all the same."""
    await work.create_instance("empty")
    await work.create_instance("lapsing")

    health = await examine(catalog, {}, NOW)

    warned = [each.what for each in health.findings if each.level is Level.WARNING]
    assert warned == ["root key of empty", "root key of lapsing"]
    assert health.ok


@pytest.mark.parametrize(
    ("days", "level"), [(91, Level.OK), (90, Level.WARNING), (0, Level.WARNING), (-1, Level.FAILED)]
)
def test_the_server_certificate_calls_for_attention_in_time(days: int, level: Level) -> None:
    """vCenter has to be told of the next one before this one ends."""
    assert judged(days).level is level
