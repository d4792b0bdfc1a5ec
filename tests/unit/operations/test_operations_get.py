"""Get (KMIP 1.4, 4.11), and how it fails (11.12); wrapping is in its own file."""

import pytest

from keyrack.spec.enumerations import (
    KeyCompressionType,
    KeyFormatType,
    KeyWrapType,
    ObjectType,
    ResultReason,
    RevocationReasonCode,
    SecretDataType,
    State,
)
from keyrack.spec.versions import V1_1, V1_4
from keyrack.testing.conversation import (
    Client,
    activate,
    create,
    destroy,
    get,
    register_key,
    register_opaque,
    register_password,
    revoke,
)
from keyrack.testing.house import House
from keyrack.wire.objects import TransparentSymmetricKey

KEY = bytes(range(32))


async def test_a_key_comes_back_as_it_was_registered(each: Client) -> None:
    """Algorithm, length, format and bytes, in every version."""
    uid = await each.made(register_key(KEY))

    block = (await each(get(uid))).object.key_block

    assert (KeyFormatType.RAW, 3, 256) == (
        block.key_format_type,
        block.cryptographic_algorithm,
        block.cryptographic_length,
    )
    assert KEY == bytes(block.key_value.key_material)


async def test_a_key_is_given_raw_or_transparent(each: Client) -> None:
    """A symmetric key's bytes are the same in both formats, whichever it was made in."""
    uid = await each.made(register_key(KEY))

    raw = await each(get(uid, key_format_type=KeyFormatType.RAW))
    transparent = await each(get(uid, key_format_type=KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))

    assert KEY == bytes(raw.object.key_block.key_value.key_material)
    assert TransparentSymmetricKey(key=bytearray(KEY)) == transparent.object.key_block.key_value.key_material


async def test_secret_data_and_opaque_objects_come_back(each: Client) -> None:
    """With their types, and the bytes as they were."""
    password = await each(get(await each.made(register_password(b"correct horse"))))
    opaque = await each(get(await each.made(register_opaque(b"\x00\x01"))))

    assert (ObjectType.SECRET_DATA, SecretDataType.PASSWORD) == (
        password.object_type,
        password.object.secret_data_type,
    )
    assert b"correct horse" == bytes(password.object.key_block.key_value.key_material)
    assert (0x80000001, b"\x00\x01") == (opaque.object.opaque_data_type, bytes(opaque.object.opaque_data_value))


@pytest.mark.parametrize("code", [RevocationReasonCode.SUPERSEDED, RevocationReasonCode.KEY_COMPROMISE])
async def test_a_key_that_protects_no_more_is_still_given(each: Client, code: RevocationReasonCode) -> None:
    """Pre-Active, Active, Deactivated, Compromised: what was encrypted must be readable."""
    uid = await each.made()
    before = await each.material(uid)
    await each(activate(uid))
    active = await each.material(uid)
    await each(revoke(uid, code))

    assert before == active == await each.material(uid)


async def test_a_destroyed_key_is_never_given_again(each: Client) -> None:
    """Only its attributes are left: Illegal Operation, after each of the two ways into destruction."""
    uid, other = await each.made(), await each.made()
    await each.material(uid)
    await each(destroy(uid))
    await each(revoke(other, RevocationReasonCode.KEY_COMPROMISE))
    await each(destroy(other))

    assert ResultReason.ILLEGAL_OPERATION == await each.refused(get(uid))
    assert ResultReason.ILLEGAL_OPERATION == await each.refused(get(other))
    assert State.DESTROYED_COMPROMISED == await each.attribute(other, "State")


async def test_absent_and_foreign_objects_are_not_found(each: Client, house: House) -> None:
    """Both alike, down to the message."""
    foreign = await Client(house, each.version, "b").made()

    first, second = await each.batch(get(foreign), ids=False), await each.batch(get("nobody"), ids=False)

    assert ResultReason.ITEM_NOT_FOUND == first[0].result_reason
    assert first == second


async def test_a_get_without_identifier_needs_a_placeholder(each: Client) -> None:
    """Nothing has set one in this message."""
    assert ResultReason.ITEM_NOT_FOUND == await each.refused(get())


UNAVAILABLE = [KeyFormatType.PKCS8, KeyFormatType.OPAQUE, KeyFormatType.X_509]


@pytest.mark.parametrize("wanted", UNAVAILABLE)
async def test_a_format_that_the_key_has_not_is_refused(client: Client, wanted: KeyFormatType) -> None:
    """Key Format Type Not Supported."""
    uid = await client.made()

    assert ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED == await client.refused(get(uid, key_format_type=wanted))


async def test_secret_data_is_given_in_the_format_it_came_in(client: Client) -> None:
    """A password is no symmetric key: there is no other format of it."""
    uid = await client.made(register_password(b"secret"))

    refused = await client.refused(get(uid, key_format_type=KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))

    assert ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED == refused


async def test_a_compression_is_refused(each: Client) -> None:
    """Symmetric keys are not compressed."""
    uid = await each.made()

    refused = await each.refused(
        get(uid, key_compression_type=KeyCompressionType.EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME)
    )

    assert ResultReason.KEY_COMPRESSION_TYPE_NOT_SUPPORTED == refused


async def test_a_sensitive_key_does_not_leave_in_clear(client: Client) -> None:
    """Sensitive in 1.4, which has the word; General Failure in older versions, which do not."""
    uid = await client.made(create({"Sensitive": True}))

    assert ResultReason.SENSITIVE == await client.refused(get(uid))
    assert ResultReason.GENERAL_FAILURE == await Client(client.house, V1_1).refused(get(uid))


async def test_a_key_that_is_not_extractable_does_not_leave(client: Client) -> None:
    """Not Extractable in 1.4; General Failure before."""
    uid = await client.made(create({"Extractable": False}))

    assert ResultReason.NOT_EXTRACTABLE == await client.refused(get(uid))
    assert ResultReason.GENERAL_FAILURE == await Client(client.house, V1_1).refused(get(uid))


@pytest.mark.parametrize("wrap_type", KeyWrapType)
async def test_a_plain_key_is_given_plain_whatever_wrap_type_is_named(client: Client, wrap_type: KeyWrapType) -> None:
    """Not Wrapped and As Registered are the same for it."""
    uid = await client.made(register_key(KEY))

    assert V1_4 == client.version
    assert KEY == await client.material(uid, key_wrap_type=wrap_type)


async def test_the_first_get_takes_the_freshness_away(client: Client) -> None:
    """Fresh is True until the material has been handed out (KMIP 1.4, 3.34); the Last Change Date stays."""
    uid = await client.made()
    before = await client.attributes(uid, "Fresh", "Last Change Date")
    client.house.clock.now += 10
    await client(get(uid))

    after = await client.attributes(uid, "Fresh", "Last Change Date")

    assert (True, False) == (before["Fresh"], after["Fresh"])
    assert before["Last Change Date"] == after["Last Change Date"]
