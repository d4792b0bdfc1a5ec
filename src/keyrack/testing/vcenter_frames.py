"""The request messages of a vCenter, byte for byte as it sends them, for any key: KMIP 1.1, no more than it needs."""

from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType, Operation, QueryFunction
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_1
from keyrack.testing.client import Ask, request
from keyrack.testing.ttlv import Item, enumeration, integer, structure, text

ENCRYPT_AND_DECRYPT = 12
"""Cryptographic Usage Mask of every key that it makes."""


def discover(batch_id: bytes | None = None) -> bytes:
    """Discover Versions, empty; the first on each connection has no Unique Batch Item ID."""
    return request(Ask(Operation.DISCOVER_VERSIONS, (), batch_id), version=V1_1)


def frame(operation: Operation, *payloads: tuple[Item, ...]) -> bytes:
    """A message of one operation, once for each payload, with the batch item identifiers that vCenter counts."""
    asks = [Ask(operation, payload, batch_id(number)) for number, payload in enumerate(payloads, 1)]
    return request(*asks, version=V1_1)


def create() -> bytes:
    """Create of an AES-256 key, without a name or any state."""
    template = (
        _attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
        _attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, ENCRYPT_AND_DECRYPT)),
        _attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
    )
    kind = enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY)
    return frame(Operation.CREATE, (kind, structure(Tag.TEMPLATE_ATTRIBUTE, *template)))


def get(identifier: str) -> bytes:
    """Get, by identifier alone."""
    return frame(Operation.GET, (_uid(identifier),))


def activate(identifier: str) -> bytes:
    """Activate."""
    return frame(Operation.ACTIVATE, (_uid(identifier),))


def get_attribute(identifier: str, name: str) -> bytes:
    """Get Attributes of one attribute."""
    return frame(Operation.GET_ATTRIBUTES, (_uid(identifier), text(Tag.ATTRIBUTE_NAME, name)))


def add_attributes(identifier: str, attributes: tuple[tuple[str, str], ...]) -> bytes:
    """Add Attribute, once for each attribute, in one message."""
    payloads = [(_uid(identifier), _attribute(name, text(Tag.ATTRIBUTE_VALUE, value))) for name, value in attributes]
    return frame(Operation.ADD_ATTRIBUTE, *payloads)


def query_server() -> bytes:
    """Query of the server's information."""
    return frame(Operation.QUERY, (enumeration(Tag.QUERY_FUNCTION, QueryFunction.QUERY_SERVER_INFORMATION),))


def batch_id(number: int) -> bytes:
    """The Unique Batch Item ID of the n-th item of a message, counted from 1."""
    return b"QLKC" + number.to_bytes(4, "little")


def _uid(identifier: str) -> Item:
    return text(Tag.UNIQUE_IDENTIFIER, identifier)


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)
