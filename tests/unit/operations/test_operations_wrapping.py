"""Get with a Key Wrapping Specification (KMIP 1.4, 2.1.6), unwrapped here without Keyrack; wrapped Register."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_unwrap_with_padding, aes_key_wrap

from keyrack.spec.enumerations import (
    BlockCipherMode,
    CryptographicAlgorithm,
    EncodingOption,
    KeyFormatType,
    KeyWrapType,
    ObjectType,
    ResultReason,
    RevocationReasonCode,
    UsageLimitsUnit,
    WrappingMethod,
)
from keyrack.spec.structures import CryptographicParameters, UsageLimits
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_0, V1_1, V1_4
from keyrack.testing import ttlv
from keyrack.testing.conversation import (
    WRAP,
    Client,
    Item,
    activate,
    create,
    get,
    key_block,
    register,
    register_key,
    register_opaque,
    register_password,
    revoke,
)
from keyrack.wire.objects import (
    EncryptionKeyInformation,
    KeyBlock,
    KeyWrappingData,
    KeyWrappingSpecification,
    MacSignatureKeyInformation,
    SymmetricKey,
)

KEY = bytes(range(32))
KEK = bytes(range(100, 132))
MODES = [BlockCipherMode.NISTKEYWRAP, BlockCipherMode.AESKEYWRAPPADDING, BlockCipherMode.GCM]
NO, TTLV = EncodingOption.NO_ENCODING, EncodingOption.TTLV_ENCODING


def under(
    kek: str,
    mode: BlockCipherMode | None = None,
    encoding: EncodingOption | int | None = None,
    *names: str,
    method: WrappingMethod = WrappingMethod.ENCRYPT,
) -> KeyWrappingSpecification:
    """Encrypt with that key."""
    parameters = None if mode is None else CryptographicParameters(block_cipher_mode=mode)
    return KeyWrappingSpecification(
        wrapping_method=method,
        encryption_key_information=EncryptionKeyInformation(unique_identifier=kek, cryptographic_parameters=parameters),
        attribute_name=names,
        encoding_option=encoding,
    )


def opened(block: KeyBlock, mode: BlockCipherMode | None, kek: bytes = KEK) -> bytes:
    """What the Key Value holds, by the primitives alone."""
    assert isinstance(block.key_value, bytearray)
    assert block.key_wrapping_data is not None
    wrapped = bytes(block.key_value)
    if mode == BlockCipherMode.GCM:
        return AESGCM(kek).decrypt(block.key_wrapping_data.iv_counter_nonce or b"", wrapped, None)
    if mode == BlockCipherMode.AESKEYWRAPPADDING:
        return aes_key_unwrap_with_padding(kek, wrapped)
    return aes_key_unwrap(kek, wrapped)


async def a_kek(client: Client, given: dict[str, Any] | None = None) -> str:
    """An active wrapping key of known bytes."""
    uid = await client.made(register_key(KEK, {"Cryptographic Usage Mask": WRAP} | (given or {})))
    await client(activate(uid))
    return uid


@pytest.mark.parametrize("mode", [None, *MODES])
async def test_a_key_leaves_wrapped_in_ttlv(each: Client, mode: BlockCipherMode | None) -> None:
    """The Key Value structure is what is encrypted; the mode is NISTKeyWrap where none is named."""
    kek, uid = await a_kek(each), await each.made(register_key(KEY))

    answer = await each(get(uid, key_wrapping_specification=under(kek, mode)))

    block = answer.object.key_block
    value = ttlv.parse(opened(block, mode))
    assert KEY == value.octets(Tag.KEY_MATERIAL)
    assert (Tag.KEY_VALUE, WrappingMethod.ENCRYPT, kek) == (
        value.tag,
        block.key_wrapping_data.wrapping_method,
        block.key_wrapping_data.encryption_key_information.unique_identifier,
    )


@pytest.mark.parametrize("mode", MODES)
async def test_a_key_leaves_wrapped_without_encoding(each: Client, mode: BlockCipherMode) -> None:
    """From 1.1 on the bytes alone may be encrypted, and the answer says so; 1.0 has no word for it."""
    kek, uid = await a_kek(each), await each.made(register_key(KEY))
    encoding = None if each.version == V1_0 else NO

    answer = await each(get(uid, key_wrapping_specification=under(kek, mode, encoding)))

    block = answer.object.key_block
    plain = opened(block, mode)
    assert encoding == block.key_wrapping_data.encoding_option
    assert KEY == (ttlv.parse(plain).octets(Tag.KEY_MATERIAL) if encoding is None else plain)


async def test_a_transparent_key_leaves_wrapped(client: Client) -> None:
    """In TTLV; without encoding there is no byte string to encrypt."""
    kek, uid = await a_kek(client), await client.made(register_key(KEY))
    wanted = KeyFormatType.TRANSPARENT_SYMMETRIC_KEY

    answer = await client(get(uid, key_format_type=wanted, key_wrapping_specification=under(kek, None, TTLV)))
    refused = await client.refused(get(uid, key_format_type=wanted, key_wrapping_specification=under(kek, None, NO)))

    value = ttlv.parse(opened(answer.object.key_block, None))
    assert KEY == value.octets(Tag.KEY_MATERIAL, Tag.KEY)
    assert ResultReason.ENCODING_OPTION_ERROR == refused


async def test_attributes_travel_inside(each: Client) -> None:
    """Those that are named and there, in the version's own form."""
    kek = await a_kek(each)
    uid = await each.made(register_key(KEY, {"Object Group": ["one", "two"]}))

    answer = await each(get(uid, key_wrapping_specification=under(kek, None, None, "Object Group", "Name")))

    value = ttlv.parse(opened(answer.object.key_block, None))
    carried = [each.string(Tag.ATTRIBUTE_VALUE) for each in value.all(Tag.ATTRIBUTE)]
    assert ["one", "two"] == carried


async def test_wrapping_takes_what_is_secret_out_of_the_answer(client: Client) -> None:
    """A sensitive key may leave so."""
    kek, uid = await a_kek(client), await client.made(register_key(KEY, {"Sensitive": True}))

    answer = await client(get(uid, key_wrapping_specification=under(kek, None, NO)))

    assert KEY == opened(answer.object.key_block, None)


async def test_secret_data_leaves_wrapped(client: Client) -> None:
    """Of whatever length, with the padding mode."""
    kek, uid = await a_kek(client), await client.made(register_password(b"seven b"))
    mode = BlockCipherMode.AESKEYWRAPPADDING

    answer = await client(get(uid, key_wrapping_specification=under(kek, mode, NO)))

    assert b"seven b" == opened(answer.object.key_block, mode)


async def _refused(client: Client, specification: KeyWrappingSpecification, item: Item | None = None) -> Any:
    uid = await client.made(item or register_key(KEY))
    return await client.refused(get(uid, key_wrapping_specification=specification))


async def test_a_wrapping_key_must_be_there(each: Client) -> None:
    """Absent and foreign alike: Item Not Found."""
    foreign = await a_kek(Client(each.house, each.version, "b"))

    assert ResultReason.ITEM_NOT_FOUND == await _refused(each, under("nobody"))
    assert ResultReason.ITEM_NOT_FOUND == await _refused(each, under(foreign))


async def test_a_wrapping_key_must_be_a_key(each: Client) -> None:
    """An Opaque Object wraps nothing: Illegal Operation."""
    opaque = await each.made(register_opaque(b"o" * 32))

    assert ResultReason.ILLEGAL_OPERATION == await _refused(each, under(opaque))


async def test_a_wrapping_key_must_be_fit(each: Client) -> None:
    """Pre-Active, without the usage, deactivated or not of AES: Permission Denied."""
    sleeping = await each.made(register_key(KEK, {"Cryptographic Usage Mask": WRAP}))
    other = await a_kek(each, {"Cryptographic Usage Mask": 12})
    retired = await a_kek(each)
    await each(revoke(retired, RevocationReasonCode.SUPERSEDED))
    mac = await each.made(
        create({"Cryptographic Algorithm": CryptographicAlgorithm.HMAC_SHA256, "Cryptographic Usage Mask": WRAP})
    )
    await each(activate(mac))

    refusals = [await _refused(each, under(kek)) for kek in (sleeping, other, retired, mac)]

    assert [ResultReason.PERMISSION_DENIED] * 4 == refusals


async def test_a_wrapping_key_past_its_protect_stop_date_is_refused(client: Client) -> None:
    """It only processes what was protected before (KMIP 1.4, 3.26)."""
    now = int(client.house.clock())
    kek = await a_kek(client, {"Protect Stop Date": now + 5})
    client.house.clock.now += 5

    assert ResultReason.PERMISSION_DENIED == await _refused(client, under(kek))


async def test_the_parameters_must_be_the_wrapping_keys_own(each: Client) -> None:
    """A key bound to GCM does not wrap otherwise: Item Not Found, as the table says."""
    kek = await a_kek(each, {"Cryptographic Parameters": CryptographicParameters(block_cipher_mode=9)})

    assert ResultReason.ITEM_NOT_FOUND == await _refused(each, under(kek, BlockCipherMode.NISTKEYWRAP))


async def test_other_methods_and_modes_are_not_built(each: Client) -> None:
    """MAC/sign, and CBC: Feature Not Supported."""
    kek = await a_kek(each)
    signing = KeyWrappingSpecification(
        wrapping_method=WrappingMethod.MAC_SIGN,
        mac_signature_key_information=MacSignatureKeyInformation(unique_identifier=kek),
    )

    assert ResultReason.FEATURE_NOT_SUPPORTED == await _refused(each, signing)
    assert ResultReason.FEATURE_NOT_SUPPORTED == await _refused(each, under(kek, BlockCipherMode.CBC))


async def test_a_specification_without_a_key_is_refused(each: Client) -> None:
    """It names neither an encryption key nor a signing key."""
    assert ResultReason.INVALID_FIELD == await _refused(
        each, KeyWrappingSpecification(wrapping_method=WrappingMethod.ENCRYPT)
    )


async def test_attributes_do_not_travel_without_encoding(client: Client) -> None:
    """Encoding Option Error, from 1.1 on; so for an option that nobody knows."""
    kek = await a_kek(client)

    assert ResultReason.ENCODING_OPTION_ERROR == await _refused(client, under(kek, None, NO, "Name"))
    assert ResultReason.ENCODING_OPTION_ERROR == await _refused(client, under(kek, None, 7))
    assert ResultReason.ENCODING_OPTION_ERROR == await _refused(
        Client(client.house, V1_1), under(kek, None, NO, "Name")
    )


async def test_nist_key_wrap_takes_whole_blocks_alone(client: Client) -> None:
    """A password of seven bytes does not fit without encoding."""
    kek = await a_kek(client)

    refused = await _refused(client, under(kek, BlockCipherMode.NISTKEYWRAP, NO), register_password(b"seven b"))

    assert ResultReason.ENCODING_OPTION_ERROR == refused


async def test_what_has_no_key_block_is_not_wrapped(each: Client) -> None:
    """An Opaque Object: Illegal Operation."""
    kek = await a_kek(each)

    assert ResultReason.ILLEGAL_OPERATION == await _refused(each, under(kek), register_opaque(b"octets"))


def _limits(total: int, unit: UsageLimitsUnit) -> dict[str, Any]:
    return {"Usage Limits": UsageLimits(usage_limits_total=total, usage_limits_unit=unit)}


async def test_wrapping_spends_the_wrapping_keys_usage(each: Client) -> None:
    """Two objects may be wrapped, and no third; what is left shows in the attribute."""
    kek = await a_kek(each, _limits(2, UsageLimitsUnit.OBJECT))
    uid = await each.made(register_key(KEY))
    specification = under(kek)
    for _ in range(2):
        await each(get(uid, key_wrapping_specification=specification))

    refused = await each.refused(get(uid, key_wrapping_specification=specification))

    assert ResultReason.PERMISSION_DENIED == refused
    assert 0 == (await each.attribute(kek, "Usage Limits")).usage_limits_count


async def test_wrapping_spends_bytes(client: Client) -> None:
    """As many as were encrypted: 32 without encoding."""
    kek = await a_kek(client, _limits(100, UsageLimitsUnit.BYTE))
    uid = await client.made(register_key(KEY))
    await client(get(uid, key_wrapping_specification=under(kek, None, NO)))

    assert 68 == (await client.attribute(kek, "Usage Limits")).usage_limits_count


async def test_a_key_wrapped_with_itself_spends_and_is_no_longer_fresh(client: Client) -> None:
    """Both changes of the one object are kept."""
    kek = await a_kek(client, _limits(5, UsageLimitsUnit.OBJECT))

    answer = await client(get(kek, key_wrapping_specification=under(kek, None, NO)))

    found = await client.attributes(kek, "Usage Limits", "Fresh")
    assert KEK == opened(answer.object.key_block, None)
    assert (4, False) == (found["Usage Limits"].usage_limits_count, found["Fresh"])


# --- objects that come wrapped ---

WRAPPED = aes_key_wrap(KEK, KEY)


def register_wrapped(kek: str, given: dict[str, Any] | None = None) -> Item:
    """A key that the client has wrapped itself."""
    block = key_block(
        KEY,
        key_value=bytearray(WRAPPED),
        key_wrapping_data=KeyWrappingData(
            wrapping_method=WrappingMethod.ENCRYPT,
            encryption_key_information=EncryptionKeyInformation(unique_identifier=kek),
            encoding_option=NO,
        ),
    )
    return register(
        ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=block), {"Cryptographic Usage Mask": 12} | (given or {})
    )


async def test_a_wrapped_key_comes_back_as_it_came(each: Client) -> None:
    """With its Key Wrapping Data; the server does not open it, and has no Digest of what it cannot see."""
    uid = await each.made(register_wrapped("elsewhere"))

    block = (await each(get(uid))).object.key_block

    assert WRAPPED == bytes(block.key_value)
    assert "elsewhere" == block.key_wrapping_data.encryption_key_information.unique_identifier
    assert (256, 3) == (block.cryptographic_length, block.cryptographic_algorithm)
    assert None is await each.attribute(uid, "Digest")


async def test_a_wrapped_key_is_not_opened_nor_wrapped_again(client: Client) -> None:
    """Not Wrapped: not supported; a second wrapping: Illegal Operation; as registered: as it came, sensitive or not."""
    kek, uid = await a_kek(client), await client.made(register_wrapped("elsewhere", {"Sensitive": True}))

    assert V1_4 == client.version
    assert ResultReason.FEATURE_NOT_SUPPORTED == await client.refused(get(uid, key_wrap_type=KeyWrapType.NOT_WRAPPED))
    assert ResultReason.ILLEGAL_OPERATION == await client.refused(get(uid, key_wrapping_specification=under(kek)))
    kept = (await client(get(uid, key_wrap_type=KeyWrapType.AS_REGISTERED))).object.key_block
    assert WRAPPED == bytes(kept.key_value)


async def test_a_wrapped_key_does_not_wrap(client: Client) -> None:
    """The server has not its bytes."""
    kek = await client.made(register_wrapped("elsewhere", {"Cryptographic Usage Mask": WRAP}))
    await client(activate(kek))

    assert ResultReason.ILLEGAL_OPERATION == await _refused(client, under(kek))
