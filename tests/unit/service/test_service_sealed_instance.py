"""A sealed instance hands nothing out and changes nothing, whenever the seal comes; its clients are told why."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Instance, Storage
from keyrack.ports.catalog import InstanceSealed, Unit
from keyrack.spec.enumerations import BatchErrorContinuationOption, ResultReason, ResultStatus
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing.conversation import (
    Client,
    Item,
    activate,
    create,
    destroy,
    discover_versions,
    get,
    get_attributes,
    locate,
    query,
    register_key,
)
from keyrack.testing.house import House, frame_of, memory_house
from keyrack.testing.interrupted_catalog import InterruptedCatalog

CONTINUE, STOP, UNDO = BatchErrorContinuationOption
SUCCESS, FAILED, _, UNDONE = ResultStatus
DENIED = ResultReason.PERMISSION_DENIED
MATERIAL = bytes(range(1, 33))
SINCE = 1_800_000_000
WORDS = "sealed since 2027-01-15T08:00:00Z"


@pytest.fixture
def catalog() -> InterruptedCatalog:
    """What the house works on."""
    return InterruptedCatalog()


@pytest.fixture
async def house(catalog: InterruptedCatalog) -> House:
    """A house with the instances ``a`` and ``b``; the second keeps its keys in the key manager, too."""
    built = memory_house(catalog)
    await built.admit("a")
    await built.admit("b", storage=Storage.KEY_MANAGER)
    return built


async def seal(house: House, who: str = "a", *, at: int | None = SINCE) -> Instance:
    """As an administrator's process does it: this one is told of nothing. ``None`` unseals."""
    (found,) = [each for each in await house.catalog.instances() if each.name == who]
    sealed = replace(found, sealed_at=at)
    await house.catalog.commit(Unit(entries=(), instances=(sealed,)))
    return sealed


async def journal(house: House) -> list[dict[str, Any]]:
    """The entries."""
    return [json.loads(record.text) for record in await house.catalog.journal()]


async def outcomes(house: House, after: int = 0) -> list[tuple[str, str, str]]:
    """Action, outcome and target of each entry."""
    return [(each["action"], each["outcome"], each["target"]) for each in (await journal(house))[after:]]


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@pytest.mark.parametrize("known", [True, False], ids=["session", "no session"])
async def test_a_sealed_instance_refuses_whatever_is_asked(house: House, known: bool, version: ProtocolVersion) -> None:
    """Permission Denied for every operation, in every version, whether the client was known before or comes anew."""
    client = Client(house, version)
    uid = await client.made(register_key(MATERIAL))
    await seal(house)
    if not known:
        house.desk.sessions.forget()
    wanted: list[Item] = [get(uid), get_attributes(uid), create(), activate(uid), destroy(uid), locate(), query()]

    answers = [(await client.batch(item))[0] for item in wanted]

    assert [DENIED] * len(wanted) == [item.result_reason for item in answers]
    assert [None] * len(wanted) == [item.response_payload for item in answers]
    for item in answers:
        assert WORDS in item.result_message
        assert "'keyrack instance unseal a'" in item.result_message
    assert 1 == await house.catalog.count("instance-a")


async def test_the_refusal_is_journaled(house: House) -> None:
    """Who has asked for what, and why it was refused, though nothing else of a sealed instance is committed."""
    client = Client(house)
    uid = await client.made()
    await seal(house)
    before = len(await journal(house))

    for item in (get(uid), create(), get("x" * 999), discover_versions()):
        await client.refused(item)

    entries = (await journal(house))[before:]
    assert [
        ("Get", "Permission Denied", uid),
        ("Create", "Permission Denied", ""),
        ("Get", "Permission Denied", "x" * 64),
        ("Discover Versions", "Permission Denied", ""),
    ] == await outcomes(house, before)
    assert {("instance-a", f"CertificateID-{house.peers['a'].fingerprint}", WORDS, "1.4")} == {
        (each["instance"], each["initiator"], each["detail"]["cause"], each["detail"]["kmip"]) for each in entries
    }


async def test_a_seal_between_opening_and_commit_holds_the_key_back(house: House, catalog: InterruptedCatalog) -> None:
    """The key was open already, and was to be handed out: not a byte of it leaves, and no Get has succeeded."""
    client = Client(house)
    uid = await client.made(register_key(MATERIAL))
    assert MATERIAL in await house.said(frame_of([get(uid)]))
    before = len(await journal(house))
    catalog.interrupt(lambda: _sealing(house))

    answer = await house.said(frame_of([get(uid)]))

    assert MATERIAL not in answer
    assert WORDS.encode() in answer
    assert [("Get", "Permission Denied", uid)] == await outcomes(house, before)


async def test_a_seal_before_the_commit_keeps_changes_away(house: House, catalog: InterruptedCatalog) -> None:
    """Also a refusal of another kind is told as the seal's: nobody learns anything of a sealed instance."""
    client = Client(house)
    uid = await client.made()
    for item in (create(), activate(uid), destroy(uid), get("nobody"), create({"Cryptographic Length": 7})):
        await seal(house, at=None)
        catalog.interrupt(lambda: _sealing(house))
        assert DENIED == await client.refused(item)

    await seal(house, at=None)
    assert [uid] == await client.located()
    assert (await client(get(uid))).unique_identifier == uid


@pytest.mark.parametrize("passing", [0, 1], ids=["before the intent", "after the standard key"])
async def test_a_seal_leaves_no_standard_key_behind(
    house: House, catalog: InterruptedCatalog, passing: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What a Create has put into the key manager before the seal came is taken back; before, it puts nothing there.

    And the log tells of no mistake of the server: it was none.
    """
    manager = house.key_manager
    assert isinstance(manager, MemoryKeyManager)
    catalog.interrupt(lambda: _sealing(house, "b"), passing=passing)

    assert DENIED == await Client(house, who="b").refused(create())

    assert passing == manager.calls["put_standard_key"]
    assert [] == [each async for each in manager.list_standard_keys("")]
    assert ([], 0) == (await catalog.intents(), await catalog.count("instance-b"))
    assert [] == caplog.messages


async def _sealing(house: House, who: str = "a") -> None:
    await seal(house, who)


@pytest.mark.parametrize(
    ("option", "answered", "journaled"),
    [(STOP, 1, 1), (CONTINUE, 3, 3), (UNDO, 3, 3)],
    ids=["stop", "continue", "undo"],
)
async def test_batches_of_a_sealed_instance(
    house: House, option: BatchErrorContinuationOption, answered: int, journaled: int
) -> None:
    """Each item that is answered is refused and journaled; none happens."""
    client = Client(house)
    uid = await client.made()
    await seal(house)
    before = len(await journal(house))

    answers = await client.batch(create(), get(uid), locate(), batch_error_continuation_option=option)

    assert [(FAILED, DENIED)] * answered == [(item.result_status, item.result_reason) for item in answers]
    assert ["Permission Denied"] * journaled == [outcome for _, outcome, _ in await outcomes(house, before)]
    assert 1 == await house.catalog.count("instance-a")


async def test_a_seal_in_the_middle_of_a_batch(house: House, catalog: InterruptedCatalog) -> None:
    """What was done before is answered; what follows is refused, and names its target by the ID Placeholder."""
    client = Client(house)
    before = len(await journal(house))
    catalog.interrupt(lambda: _sealing(house), passing=1)

    answers = await client.batch(create(), activate(), get(), batch_error_continuation_option=CONTINUE)

    uid = answers[0].response_payload.unique_identifier
    assert [SUCCESS, FAILED, FAILED] == [item.result_status for item in answers]
    assert [
        ("Create", "success", uid),
        ("Activate", "Permission Denied", uid),
        ("Get", "Permission Denied", uid),
    ] == await outcomes(house, before)


async def test_an_unsealed_instance_serves_at_once(house: House) -> None:
    """Nobody needs to be told, and nothing was lost; sealed again it refuses again."""
    client = Client(house)
    uid = await client.made(register_key(MATERIAL))
    for _ in range(2):
        await seal(house)
        assert DENIED == await client.refused(get(uid))
        await seal(house, at=None)
        assert MATERIAL == await client.material(uid)


async def test_an_instance_that_is_unsealed_just_now(house: House, catalog: InterruptedCatalog) -> None:
    """Between the refused commit and the look at the seal: the client may ask again."""
    client = Client(house)
    uid = await client.made()

    async def sealed_for_a_moment() -> None:
        raise InstanceSealed

    catalog.interrupt(sealed_for_a_moment)
    (item,) = await client.batch(get(uid))

    assert (DENIED, None) == (item.result_reason, item.response_payload)
    assert "ask again" in item.result_message
    assert (await client(get(uid))).unique_identifier == uid


async def test_other_instances_are_served(house: House) -> None:
    """A seal is one instance's."""
    await seal(house)

    uid = await Client(house, who="b").made()

    assert [uid] == await Client(house, who="b").located()


async def test_a_sealed_instance_does_not_ask_its_key_manager(house: House) -> None:
    """Its plaintext was let go of; a client that asks on and on does not bring it back into memory."""
    client, manager = Client(house), house.key_manager
    uid = await client.made(register_key(MATERIAL))
    sealed = await seal(house)
    await client.refused(get(uid))
    house.vault.purge(sealed.identifier)
    assert isinstance(manager, MemoryKeyManager)
    manager.calls.clear()

    for _ in range(3):
        await client.refused(get(uid))

    assert 0 == manager.calls.total()


async def test_who_is_removed_hears_nothing_of_the_seal(house: House) -> None:
    """Authentication Not Successful, whether it was known before the seal or is looked up after."""
    client = Client(house)
    await client.made()
    await seal(house)
    await house.catalog.commit(Unit(entries=(), removed_certificates=(house.peers["a"].fingerprint,)))

    for _ in range(2):
        assert ResultReason.AUTHENTICATION_NOT_SUCCESSFUL == await client.refused(locate())


async def test_a_refusal_that_cannot_be_recorded_is_a_refusal(house: House, catalog: InterruptedCatalog) -> None:
    """Nothing is handed out because a disk is full."""
    client = Client(house)
    uid = await client.made()
    await seal(house)
    await client.refused(get(uid))
    catalog.available = False

    assert DENIED == await client.refused(get(uid))


@pytest.mark.parametrize(("name", "told"), [("vm's", """unseal 'vm'"'"'s'"""), ("two words", "unseal 'two words'")])
async def test_the_command_can_be_typed_as_it_is_told(house: House, name: str, told: str) -> None:
    """Names that a shell would take apart are quoted."""
    sealed = await seal(house)
    await house.catalog.commit(Unit(entries=(), instances=(replace(sealed, name=name),)))

    items: Sequence[Any] = await Client(house).batch(locate())

    assert told in items[0].result_message
