"""Writes the golden vectors: ``python tests/vectors/make_messages.py`` talks to a Keyrack and writes down both sides.

For each protocol version, one conversation in which every operation that the version has is asked for, with objects of
every type that can be registered. The clock stands still; identifiers and key material are new at each run, so run it
only when the conversation itself changes, and read the difference of the trees.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from keyrack.operations._registry import OPERATIONS
from keyrack.spec.enumerations import (
    BlockCipherMode,
    CertificateType,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    EncodingOption,
    KeyFormatType,
    LinkType,
    NameType,
    ObjectType,
    Operation,
    QueryFunction,
    RevocationReasonCode,
    SecretDataType,
    UsageLimitsUnit,
    WrappingMethod,
)
from keyrack.spec.structures import (
    ApplicationSpecificInformation,
    CryptographicParameters,
    Link,
    Name,
    RevocationReason,
    UsageLimits,
)
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_1, VERSIONS, ProtocolVersion
from keyrack.testing.house import House, open_house
from keyrack.wire import tree
from keyrack.wire.attributes import Attribute
from keyrack.wire.messages import (
    RequestBatchItem,
    RequestHeader,
    RequestMessage,
    decode_payload,
    read_response,
    write_request,
)
from keyrack.wire.objects import (
    Certificate,
    EncryptionKeyInformation,
    KeyBlock,
    KeyValue,
    KeyWrappingSpecification,
    OpaqueObject,
    PrivateKey,
    PublicKey,
    SecretData,
    SymmetricKey,
    TemplateAttribute,
    TransparentSymmetricKey,
)

HERE = Path(__file__).parent
NOW = 1_800_000_000
PROVENANCE = (
    "Made by tests/vectors/make_messages.py: requests and responses of a Keyrack whose clock stands still. Checked "
    "against two other readings of the standard: keyrack.testing.ttlv, which shares nothing with the codec, and PyKMIP."
)

MASK = int(CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT)
WRAPPING = int(CryptographicUsageMask.WRAP_KEY | CryptographicUsageMask.UNWRAP_KEY)


def attribute(name: str, value: Any, index: int | None = None) -> Attribute:
    return Attribute(attribute_name=name, attribute_index=index, attribute_value=value)


def name(value: str) -> Attribute:
    return attribute("Name", Name(name_value=value, name_type=NameType.UNINTERPRETED_TEXT_STRING))


CUSTOM = (
    CustomValue(ItemType.INTEGER, -1),
    CustomValue(ItemType.LONG_INTEGER, 1 << 40),
    CustomValue(ItemType.BIG_INTEGER, 1 << 90),
    CustomValue(ItemType.ENUMERATION, 0x80000001),
    CustomValue(ItemType.BOOLEAN, True),
    CustomValue(ItemType.TEXT_STRING, "Schlüssel"),
    CustomValue(ItemType.BYTE_STRING, b"\x00\xff"),
    CustomValue(ItemType.DATE_TIME, NOW),
    CustomValue(ItemType.INTERVAL, 3600),
    CustomValue(ItemType.STRUCTURE, bytes.fromhex("4200990700000003 6162630000000000")),
)


class Conversation:
    """Asks, and writes down what was asked and answered."""

    def __init__(self, house: House, version: ProtocolVersion) -> None:
        self.house = house
        self.version = version
        self.exchanges: list[dict[str, Any]] = []

    async def ask(self, title: str, operation: Operation, *payloads: dict[str, Any], **header: Any) -> Any:
        """Send one item for each payload; answer the payload of the first, or ``None`` where it failed."""
        row = OPERATIONS[operation]
        items = tuple(
            RequestBatchItem(
                operation=operation,
                unique_batch_item_id=bytes([number]) if len(payloads) > 1 else None,
                request_payload=row.request(**fields),
            )
            for number, fields in enumerate(payloads, 1)
        )
        plain = RequestHeader(protocol_version=self.version, batch_count=len(items), **header)
        request = bytes(write_request(RequestMessage(plain, items)))
        answer = await self.house.desk.answer(request, self.house.peers["a"])
        assert answer is not None
        response = bytes(answer)
        self.exchanges.append({"name": title, "operation": operation.title, **shown("request", request)})
        self.exchanges[-1] |= shown("response", response)
        first = read_response(response).batch_items[0]
        return first.response_payload and decode_payload(row.response, first.response_payload, self.version)


def shown(side: str, message: bytes) -> dict[str, Any]:
    return {side: message.hex(), f"{side}_tree": tree.to_text(tree.parse(message)).splitlines()}


async def converse(house: House, version: ProtocolVersion) -> list[dict[str, Any]]:
    """One conversation in one version."""
    talk = Conversation(house, version)
    if version >= V1_1:
        await talk.ask("all versions", Operation.DISCOVER_VERSIONS, {})
    functions = tuple(function for function in QueryFunction if function.since <= version)
    await talk.ask("every function", Operation.QUERY, {"query_function": functions})
    uid = await create(talk)
    await attributes(talk, uid)
    await use(talk, uid)
    for title, fields in registered():
        kept = await talk.ask(title, Operation.REGISTER, fields)
        await talk.ask(f"{title}: get", Operation.GET, {"unique_identifier": kept.unique_identifier})
    await wrap(talk, uid)
    await end(talk, uid)
    return talk.exchanges


async def create(talk: Conversation) -> str:
    wanted = (
        attribute("Cryptographic Algorithm", CryptographicAlgorithm.AES),
        attribute("Cryptographic Length", 256),
        attribute("Cryptographic Usage Mask", MASK),
        name("golden"),
        attribute("Object Group", "group"),
        attribute("Contact Information", "someone"),
        attribute(
            "Application Specific Information",
            ApplicationSpecificInformation(application_namespace="ns", application_data="data"),
        ),
        attribute("Usage Limits", UsageLimits(usage_limits_total=1000, usage_limits_unit=UsageLimitsUnit.BYTE)),
        *(attribute(f"x-{value.item_type.name}", value) for value in CUSTOM),
    )
    template = TemplateAttribute(attribute=wanted)
    fields = {"object_type": ObjectType.SYMMETRIC_KEY, "template_attribute": template}
    made = await talk.ask("an AES key with every custom type", Operation.CREATE, fields)
    uid: str = made.unique_identifier
    return uid


async def attributes(talk: Conversation, uid: str) -> None:
    own = {"unique_identifier": uid}
    await talk.ask("before it is active", Operation.GET, own)
    await talk.ask("all attributes", Operation.GET_ATTRIBUTES, own)
    await talk.ask("one that is not there", Operation.GET_ATTRIBUTES, own | {"attribute_name": ("x-Nothing",)})
    await talk.ask("the names of all", Operation.GET_ATTRIBUTE_LIST, own)
    added = [own | {"attribute": attribute(f"x-{each}", CustomValue(ItemType.TEXT_STRING, each))} for each in "abc"]
    await talk.ask("three in a batch", Operation.ADD_ATTRIBUTE, *added)
    link = Link(link_type=LinkType.DERIVED_KEY_LINK, linked_object_identifier=uid)
    await talk.ask("a link", Operation.ADD_ATTRIBUTE, own | {"attribute": attribute("Link", link)})
    await talk.ask("a second group", Operation.ADD_ATTRIBUTE, own | {"attribute": attribute("Object Group", "other")})
    changed = attribute("Object Group", "changed", 1)
    await talk.ask("the second group", Operation.MODIFY_ATTRIBUTE, own | {"attribute": changed})
    await talk.ask(
        "the first group", Operation.DELETE_ATTRIBUTE, own | {"attribute_name": "Object Group", "attribute_index": 0}
    )
    await talk.ask("by name", Operation.LOCATE, {"attribute": (name("golden"),), "maximum_items": 3})


async def use(talk: Conversation, uid: str) -> None:
    own = {"unique_identifier": uid}
    await talk.ask("the key", Operation.ACTIVATE, own)
    await talk.ask("what it may", Operation.CHECK, own | {"cryptographic_usage_mask": MASK, "usage_limits_count": 10})
    await talk.ask("a lease", Operation.OBTAIN_LEASE, own)
    await talk.ask("ten bytes", Operation.GET_USAGE_ALLOCATION, own | {"usage_limits_count": 10})


def registered() -> Iterator[tuple[str, dict[str, Any]]]:
    """One Register for each kind of object."""
    private = ec.generate_private_key(ec.SECP256R1())
    spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pkcs8 = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    aes, elliptic = CryptographicAlgorithm.AES, CryptographicAlgorithm.ECDSA
    transparent = KeyValue(key_material=TransparentSymmetricKey(key=bytearray(range(16))))
    raw = KeyValue(key_material=bytearray(range(32)))
    yield _register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=_block(KeyFormatType.RAW, raw, aes, 256)))
    block = _block(KeyFormatType.TRANSPARENT_SYMMETRIC_KEY, transparent, aes, 128)
    _, fields = _register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=block))
    yield "Transparent Symmetric Key", fields
    password = KeyBlock(key_format_type=KeyFormatType.RAW, key_value=KeyValue(key_material=bytearray(b"password")))
    yield _register(ObjectType.SECRET_DATA, SecretData(secret_data_type=SecretDataType.PASSWORD, key_block=password))
    yield _register(
        ObjectType.OPAQUE_OBJECT, OpaqueObject(opaque_data_type=0x80000001, opaque_data_value=bytearray(b"opaque"))
    )
    public = _block(KeyFormatType.X_509, KeyValue(key_material=bytearray(spki)), elliptic, 256)
    yield _register(ObjectType.PUBLIC_KEY, PublicKey(key_block=public))
    block = _block(KeyFormatType.PKCS8, KeyValue(key_material=bytearray(pkcs8)), elliptic, 256)
    yield _register(ObjectType.PRIVATE_KEY, PrivateKey(key_block=block))
    yield _register(
        ObjectType.CERTIFICATE,
        Certificate(certificate_type=CertificateType.X_509, certificate_value=_certificate(private)),
    )


def _register(object_type: ObjectType, value: Any) -> tuple[str, dict[str, Any]]:
    wanted = () if object_type is ObjectType.OPAQUE_OBJECT else (attribute("Cryptographic Usage Mask", MASK),)
    fields = {"object_type": object_type, "template_attribute": TemplateAttribute(attribute=wanted), "object": value}
    return object_type.title, fields


def _block(form: KeyFormatType, value: KeyValue, algorithm: CryptographicAlgorithm, length: int) -> KeyBlock:
    return KeyBlock(
        key_format_type=form, key_value=value, cryptographic_algorithm=algorithm, cryptographic_length=length
    )


def _certificate(private: ec.EllipticCurvePrivateKey) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "golden")])
    begin, expire = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(subject, subject, private.public_key(), 1, begin, expire)
    return builder.sign(private, hashes.SHA256()).public_bytes(Encoding.DER)


async def wrap(talk: Conversation, uid: str) -> None:
    wanted = (
        attribute("Cryptographic Algorithm", CryptographicAlgorithm.AES),
        attribute("Cryptographic Length", 256),
        attribute("Cryptographic Usage Mask", WRAPPING),
        attribute("Activation Date", NOW),
    )
    fields = {"object_type": ObjectType.SYMMETRIC_KEY, "template_attribute": TemplateAttribute(attribute=wanted)}
    made = await talk.ask("a key to wrap with", Operation.CREATE, fields)
    parameters = CryptographicParameters(block_cipher_mode=BlockCipherMode.NISTKEYWRAP)
    information = EncryptionKeyInformation(
        unique_identifier=made.unique_identifier, cryptographic_parameters=parameters
    )
    wrapping = KeyWrappingSpecification(
        wrapping_method=WrappingMethod.ENCRYPT,
        encryption_key_information=information,
        encoding_option=EncodingOption.NO_ENCODING,
    )
    await talk.ask("wrapped", Operation.GET, {"unique_identifier": uid, "key_wrapping_specification": wrapping})


async def end(talk: Conversation, uid: str) -> None:
    own = {"unique_identifier": uid}
    await talk.ask("while it is active", Operation.DESTROY, own)
    reason = RevocationReason(
        revocation_reason_code=RevocationReasonCode.CESSATION_OF_OPERATION, revocation_message="done"
    )
    await talk.ask("the key", Operation.REVOKE, own | {"revocation_reason": reason})
    await talk.ask("the key", Operation.DESTROY, own)
    await talk.ask("what is destroyed", Operation.GET, own)
    await talk.ask("what never was", Operation.GET, {"unique_identifier": "none"}, time_stamp=NOW)


async def main() -> None:
    """Write one file for each version."""
    for version in VERSIONS:
        with tempfile.TemporaryDirectory() as directory:
            async with open_house(Path(directory)) as house:
                house.clock.now = NOW
                await house.admit("a")
                exchanges = await converse(house, version)
        content = {"provenance": PROVENANCE, "version": str(version), "exchanges": exchanges}
        (HERE / f"messages-{version}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
