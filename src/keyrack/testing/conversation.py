"""A client of a :class:`keyrack.testing.house.House` in few words: one method for each operation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keyrack.operations.activate import ActivateRequest
from keyrack.operations.add_attribute import AddAttributeRequest
from keyrack.operations.check import CheckRequest
from keyrack.operations.create import CreateRequest
from keyrack.operations.delete_attribute import DeleteAttributeRequest
from keyrack.operations.destroy import DestroyRequest
from keyrack.operations.discover_versions import DiscoverVersionsRequest
from keyrack.operations.get import GetRequest
from keyrack.operations.get_attribute_list import GetAttributeListRequest
from keyrack.operations.get_attributes import GetAttributesRequest
from keyrack.operations.get_usage_allocation import GetUsageAllocationRequest
from keyrack.operations.locate import LocateRequest
from keyrack.operations.modify_attribute import ModifyAttributeRequest
from keyrack.operations.obtain_lease import ObtainLeaseRequest
from keyrack.operations.query import QueryRequest
from keyrack.operations.register import RegisterRequest
from keyrack.operations.revoke import RevokeRequest
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    CryptographicUsageMask,
    KeyFormatType,
    NameType,
    ObjectType,
    Operation,
    QueryFunction,
    ResultReason,
    RevocationReasonCode,
    SecretDataType,
)
from keyrack.spec.structures import Name, RevocationReason
from keyrack.spec.versions import V1_4, ProtocolVersion
from keyrack.testing.house import House, Refused
from keyrack.wire.attributes import Attribute
from keyrack.wire.objects import (
    KeyBlock,
    KeyValue,
    OpaqueObject,
    SecretData,
    SymmetricKey,
    TemplateAttribute,
)

Item = tuple[Operation, Any]
"""A batch item to be: its operation and its payload."""

ENCRYPT = CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT
WRAP = CryptographicUsageMask.WRAP_KEY | CryptographicUsageMask.UNWRAP_KEY

AES = {
    "Cryptographic Algorithm": CryptographicAlgorithm.AES,
    "Cryptographic Length": 256,
    "Cryptographic Usage Mask": ENCRYPT,
}
"""What a client asks for that wants an AES-256 key to encrypt with."""


def name(value: str, name_type: NameType = NameType.UNINTERPRETED_TEXT_STRING) -> Name:
    """A Name."""
    return Name(name_value=value, name_type=name_type)


def attributes(given: dict[str, Any]) -> tuple[Attribute, ...]:
    """Attributes by name; a list stands for several instances."""
    return tuple(
        Attribute(attribute_name=title, attribute_value=each)
        for title, value in given.items()
        for each in (value if isinstance(value, list) else [value])
    )


def create(given: dict[str, Any] | None = None, *, templates: Sequence[str] = (), **more: Any) -> Item:
    """Create an AES-256 key, with ``given`` attributes besides, or in the place of its own (``None``: without)."""
    wanted = {title: value for title, value in (AES | (given or {})).items() if value is not None}
    template = TemplateAttribute(name=tuple(name(each) for each in templates), attribute=attributes(wanted))
    return Operation.CREATE, CreateRequest(
        object_type=more.get("object_type", ObjectType.SYMMETRIC_KEY), template_attribute=template
    )


def register(
    object_type: ObjectType, managed: Any, given: dict[str, Any] | None = None, *, templates: Sequence[str] = ()
) -> Item:
    """Register whatever object."""
    template = TemplateAttribute(name=tuple(name(each) for each in templates), attribute=attributes(given or {}))
    return Operation.REGISTER, RegisterRequest(object_type=object_type, template_attribute=template, object=managed)


def key_block(material: bytes, *, algorithm: int | None = CryptographicAlgorithm.AES, **more: Any) -> KeyBlock:
    """A Key Block with plain Raw material."""
    return KeyBlock(
        key_format_type=more.pop("key_format_type", KeyFormatType.RAW),
        key_value=more.pop("key_value", KeyValue(key_material=bytearray(material))),
        cryptographic_algorithm=algorithm,
        cryptographic_length=None if algorithm is None else len(material) * 8,
        **more,
    )


def register_key(material: bytes, given: dict[str, Any] | None = None) -> Item:
    """Register an AES key of that material."""
    wanted = {"Cryptographic Usage Mask": ENCRYPT} | (given or {})
    return register(ObjectType.SYMMETRIC_KEY, SymmetricKey(key_block=key_block(material)), wanted)


def register_password(secret: bytes, given: dict[str, Any] | None = None) -> Item:
    """Register Secret Data of the type Password."""
    block = key_block(secret, algorithm=None, key_format_type=KeyFormatType.OPAQUE)
    managed = SecretData(secret_data_type=SecretDataType.PASSWORD, key_block=block)
    return register(ObjectType.SECRET_DATA, managed, {"Cryptographic Usage Mask": 0} | (given or {}))


def register_opaque(octets: bytes, given: dict[str, Any] | None = None) -> Item:
    """Register an Opaque Object of a vendor's type."""
    managed = OpaqueObject(opaque_data_type=0x80000001, opaque_data_value=bytearray(octets))
    return register(ObjectType.OPAQUE_OBJECT, managed, given)


def get(uid: str | None = None, **more: Any) -> Item:
    """Get; ``more`` are fields of the payload, here and below."""
    return Operation.GET, GetRequest(unique_identifier=uid, **more)


def get_attributes(uid: str | None = None, *names: str) -> Item:
    """Get Attributes."""
    return Operation.GET_ATTRIBUTES, GetAttributesRequest(unique_identifier=uid, attribute_name=names)


def get_attribute_list(uid: str | None = None) -> Item:
    """Get Attribute List."""
    return Operation.GET_ATTRIBUTE_LIST, GetAttributeListRequest(unique_identifier=uid)


def add_attribute(uid: str | None, title: str, value: Any, index: int | None = None) -> Item:
    """Add Attribute."""
    given = Attribute(attribute_name=title, attribute_index=index, attribute_value=value)
    return Operation.ADD_ATTRIBUTE, AddAttributeRequest(unique_identifier=uid, attribute=given)


def modify_attribute(uid: str | None, title: str, value: Any, index: int | None = None) -> Item:
    """Modify Attribute."""
    given = Attribute(attribute_name=title, attribute_index=index, attribute_value=value)
    return Operation.MODIFY_ATTRIBUTE, ModifyAttributeRequest(unique_identifier=uid, attribute=given)


def delete_attribute(uid: str | None, title: str, index: int | None = None) -> Item:
    """Delete Attribute."""
    return Operation.DELETE_ATTRIBUTE, DeleteAttributeRequest(
        unique_identifier=uid, attribute_name=title, attribute_index=index
    )


def locate(given: dict[str, Any] | None = None, **more: Any) -> Item:
    """Locate by attributes."""
    return Operation.LOCATE, LocateRequest(attribute=attributes(given or {}), **more)


def activate(uid: str | None = None) -> Item:
    """Activate."""
    return Operation.ACTIVATE, ActivateRequest(unique_identifier=uid)


def revoke(
    uid: str | None = None, code: int = RevocationReasonCode.CESSATION_OF_OPERATION, since: int | None = None
) -> Item:
    """Revoke; ``since`` is the Compromise Occurrence Date."""
    reason = RevocationReason(revocation_reason_code=code)
    return Operation.REVOKE, RevokeRequest(
        unique_identifier=uid, revocation_reason=reason, compromise_occurrence_date=since
    )


def destroy(uid: str | None = None) -> Item:
    """Destroy."""
    return Operation.DESTROY, DestroyRequest(unique_identifier=uid)


def check(uid: str | None = None, **more: Any) -> Item:
    """Check."""
    return Operation.CHECK, CheckRequest(unique_identifier=uid, **more)


def obtain_lease(uid: str | None = None) -> Item:
    """Obtain Lease."""
    return Operation.OBTAIN_LEASE, ObtainLeaseRequest(unique_identifier=uid)


def get_usage_allocation(uid: str | None, count: int) -> Item:
    """Get Usage Allocation."""
    return Operation.GET_USAGE_ALLOCATION, GetUsageAllocationRequest(unique_identifier=uid, usage_limits_count=count)


def query(*functions: QueryFunction | int) -> Item:
    """Query."""
    return Operation.QUERY, QueryRequest(query_function=functions)


def discover_versions(*versions: Any) -> Item:
    """Discover Versions."""
    return Operation.DISCOVER_VERSIONS, DiscoverVersionsRequest(protocol_version=versions)


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who asks a house in one protocol version: ``await client(create())``."""

    house: House
    version: ProtocolVersion = V1_4
    who: str = "a"

    async def __call__(self, item: Item, **more: Any) -> Any:
        """The answer's payload; raises :class:`keyrack.testing.house.Refused`."""
        return await self.house.ask(*item, version=self.version, who=self.who, **more)

    async def refused(self, item: Item, **more: Any) -> ResultReason | int | None:
        """The Result Reason of a request that fails; raises :class:`AssertionError` for one that does not."""
        try:
            answer = await self(item, **more)
        except Refused as refusal:
            return refusal.reason
        raise AssertionError(f"that was not refused: {answer}")

    async def batch(self, *items: Item, **more: Any) -> list[Any]:
        """The answer's batch items."""
        return await self.house.batch(items, version=self.version, who=self.who, **more)

    async def made(self, item: Item | None = None) -> str:
        """The Unique Identifier of what a Create or a Register makes; by default an AES-256 key."""
        answer = await self(item or create())
        return str(answer.unique_identifier)

    async def attributes(self, uid: str, *names: str) -> dict[str, Any]:
        """The attributes of an object by name; a list where there are several instances."""
        answer = await self(get_attributes(uid, *names))
        found: dict[str, list[Any]] = {}
        for each in answer.attribute:
            found.setdefault(each.attribute_name, []).append(each.attribute_value)
        return {title: values[0] if len(values) == 1 else values for title, values in found.items()}

    async def attribute(self, uid: str, title: str) -> Any:
        """One attribute's value, or ``None``."""
        return (await self.attributes(uid, title)).get(title)

    async def located(self, given: dict[str, Any] | None = None, **more: Any) -> list[str]:
        """The Unique Identifiers that a Locate finds."""
        return list((await self(locate(given, **more))).unique_identifier)

    async def material(self, uid: str, **more: Any) -> bytes:
        """The bytes of a key's Raw material."""
        answer = await self(get(uid, **more))
        return bytes(answer.object.key_block.key_value.key_material)
