"""An object whose standard key was deleted in the key manager is withheld; and causes that only the journal learns."""

import json
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.errors import GeneralFailure, KmipError
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Unit
from keyrack.service.executor import ItemContext
from keyrack.spec.enumerations import BlockCipherMode, ResultReason, State, WrappingMethod
from keyrack.spec.structures import CryptographicParameters
from keyrack.testing.conversation import WRAP, Client, activate, destroy, get, register_key
from keyrack.testing.house import House, Refused, frame_of, memory_house
from keyrack.testing.interrupted_catalog import InterruptedCatalog
from keyrack.wire.objects import EncryptionKeyInformation, KeyWrappingSpecification

DENIED = ResultReason.PERMISSION_DENIED
MATERIAL = bytes(range(1, 33))
GONE = 1_800_000_000


@pytest.fixture
def catalog() -> InterruptedCatalog:
    """What the house works on."""
    return InterruptedCatalog()


@pytest.fixture
async def house(catalog: InterruptedCatalog) -> House:
    """A house with the instance ``a``."""
    built = memory_house(catalog)
    await built.admit("a")
    return built


async def withhold(house: House, uid: str, at: int | None = GONE) -> None:
    """As the process that looks for standard keys does it; ``None`` restores."""
    found = await house.catalog.load("instance-a", uid)
    assert found is not None
    changed = found.changed(withheld_at=at, standard_key="sk-7")
    await house.catalog.commit(Unit(entries=(), seen={uid: found.version}, updated=(changed,)))


async def last(house: House) -> dict[str, Any]:
    """The last entry of the journal."""
    records = await house.catalog.journal()
    entry: dict[str, Any] = json.loads(records[-1].text)
    return entry


async def test_a_withheld_object_is_not_handed_out(client: Client) -> None:
    """Though it is in memory, open: Permission Denied, and what to do; the journal tells which standard key it was."""
    uid = await client.made(register_key(MATERIAL))
    assert MATERIAL == await client.material(uid)
    await withhold(client.house, uid)

    with pytest.raises(Refused, match=r"deleted in the key manager 'embedded'; restore it there") as refused:
        await client(get(uid))
    assert MATERIAL not in await client.house.said(frame_of([get(uid)]))

    entry = await last(client.house)
    assert DENIED == refused.value.reason
    assert ("Get", "Permission Denied", uid) == (entry["action"], entry["outcome"], entry["target"])
    assert "standard key sk-7 is gone" in entry["detail"]["cause"]


async def test_a_withheld_key_wraps_no_other(client: Client) -> None:
    """Its material is not used either."""
    kek = await client.made(register_key(MATERIAL, {"Cryptographic Usage Mask": WRAP}))
    await client(activate(kek))
    uid = await client.made(register_key(bytes(range(2, 34))))
    specification = KeyWrappingSpecification(
        wrapping_method=WrappingMethod.ENCRYPT,
        encryption_key_information=EncryptionKeyInformation(
            unique_identifier=kek,
            cryptographic_parameters=CryptographicParameters(block_cipher_mode=BlockCipherMode.NISTKEYWRAP),
        ),
    )
    assert (await client(get(uid, key_wrapping_specification=specification))).unique_identifier == uid
    await withhold(client.house, kek)

    assert DENIED == await client.refused(get(uid, key_wrapping_specification=specification))
    assert (await client(get(uid))).unique_identifier == uid


async def test_an_object_that_is_withheld_meanwhile_is_not_handed_out(
    client: Client, catalog: InterruptedCatalog
) -> None:
    """Between its opening and the commit: the Get is decided anew."""
    uid = await client.made(register_key(MATERIAL))
    catalog.interrupt(lambda: withhold(client.house, uid))

    answer = await client.house.said(frame_of([get(uid)]))

    assert MATERIAL not in answer
    assert b"restore it there" in answer
    assert "Permission Denied" == (await last(client.house))["outcome"]


async def test_a_withheld_object_is_there_otherwise(client: Client) -> None:
    """It is found and described, restored it is served again, and withheld it may be destroyed."""
    uid = await client.made(register_key(MATERIAL))
    await withhold(client.house, uid)
    assert ([uid], State.PRE_ACTIVE) == (await client.located(), await client.attribute(uid, "State"))

    await withhold(client.house, uid, None)
    assert MATERIAL == await client.material(uid)

    await withhold(client.house, uid)
    await client(destroy(uid))
    assert State.DESTROYED == await client.attribute(uid, "State")


# --- causes ---


async def test_the_journal_keeps_the_cause_of_a_failure(client: Client) -> None:
    """Why the key manager did not answer is for those who have to mend it; the client hears to try again."""
    uid = await client.made()
    client.house.vault.forget(uid)
    manager = client.house.key_manager
    assert isinstance(manager, MemoryKeyManager)
    manager.down = Fault.UNAVAILABLE

    with pytest.raises(Refused, match="does not answer now") as refused:
        await client(get(uid))

    cause = (await last(client.house))["detail"]["cause"]
    assert cause
    assert cause not in (refused.value.message or "")


async def test_a_long_cause_is_cut(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a key manager says may be long; 200 characters of it are kept, and the last one says that there was more."""
    uid = await client.made()

    async def fail(self: ItemContext, managed: ManagedObject) -> None:
        failure = GeneralFailure("told")
        failure.cause = "because " * 100
        raise failure

    monkeypatch.setattr(ItemContext, "open", fail)
    await client.refused(get(uid))

    assert ("because " * 100)[:199] + "…" == (await last(client.house))["detail"]["cause"]


async def test_a_refusal_without_a_cause_tells_of_none(client: Client) -> None:
    """Most failures are the client's own, and say everything in their reason."""
    await client.refused(get("nobody"))

    assert "cause" not in (await last(client.house))["detail"]
    assert "" == KmipError().cause
