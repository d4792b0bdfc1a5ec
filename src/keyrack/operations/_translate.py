"""Between the objects of the wire and the objects of the law: what a Register brings in, what a Get hands out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from keyrack.domain.errors import (
    InvalidField,
    KeyCompressionTypeNotSupported,
    KeyFormatTypeNotSupported,
    KeyValueNotPresent,
)
from keyrack.domain.objects import Form, ManagedObject
from keyrack.domain.secret import Secret
from keyrack.spec.enumerations import CryptographicAlgorithm, KeyFormatType, ObjectType
from keyrack.spec.versions import V1_4
from keyrack.wire.codec import decode, encode
from keyrack.wire.objects import (
    Certificate,
    KeyBlock,
    KeyValue,
    OpaqueObject,
    PrivateKey,
    PublicKey,
    SecretData,
    SymmetricKey,
    Template,
    TransparentKey,
    TransparentSymmetricKey,
)

CryptographicObject = Certificate | SymmetricKey | PublicKey | PrivateKey | SecretData | OpaqueObject

OBJECTS: Final[Mapping[int, type]] = {
    ObjectType.CERTIFICATE: Certificate,
    ObjectType.SYMMETRIC_KEY: SymmetricKey,
    ObjectType.PUBLIC_KEY: PublicKey,
    ObjectType.PRIVATE_KEY: PrivateKey,
    ObjectType.SECRET_DATA: SecretData,
    ObjectType.TEMPLATE: Template,
    ObjectType.OPAQUE_OBJECT: OpaqueObject,
}
"""The objects that Keyrack keeps, with their structure on the wire (KMIP 1.4, 2.2)."""

BYTE_FORMATS: Final = frozenset(
    {
        KeyFormatType.RAW,
        KeyFormatType.OPAQUE,
        KeyFormatType.PKCS1,
        KeyFormatType.PKCS8,
        KeyFormatType.X_509,
        KeyFormatType.ECPRIVATEKEY,
    }
)
"""Key formats whose material is a byte string, kept and given as it came (KMIP 1.4, 2.1.4)."""

FORMATS: Final[Mapping[int, frozenset[KeyFormatType]]] = {
    ObjectType.SYMMETRIC_KEY: frozenset({KeyFormatType.RAW, KeyFormatType.TRANSPARENT_SYMMETRIC_KEY}),
    ObjectType.SECRET_DATA: frozenset({KeyFormatType.RAW, KeyFormatType.OPAQUE}),
    ObjectType.PUBLIC_KEY: BYTE_FORMATS,
    ObjectType.PRIVATE_KEY: BYTE_FORMATS,
}
"""Which Key Format Types an object with a key block may be registered in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What a registered object brings: the material to seal, its form, what its key block says of itself."""

    material: Secret
    form: Form
    cryptographic_algorithm: CryptographicAlgorithm | int | None = None
    cryptographic_length: int | None = None
    attributes: tuple[Any, ...] = ()
    """Attributes that stand in the Key Value (KMIP 1.4, 2.1.4)."""


def incoming(object_type: int, value: CryptographicObject) -> Incoming:
    """Take a registered object apart; raises ``InvalidField`` where its type is not the one that was named."""
    if not isinstance(value, OBJECTS[object_type]):
        raise InvalidField("the object that was sent is not of the Object Type that was named")
    match value:
        case Certificate():
            return Incoming(
                material=Secret(bytearray(value.certificate_value)), form=Form(subtype=int(value.certificate_type))
            )
        case OpaqueObject():
            return Incoming(material=Secret(value.opaque_data_value), form=Form(subtype=int(value.opaque_data_type)))
        case SecretData():
            return _from_block(object_type, value.key_block, subtype=int(value.secret_data_type))
        case _:
            return _from_block(object_type, value.key_block, subtype=None)


def _from_block(object_type: int, block: KeyBlock, *, subtype: int | None) -> Incoming:
    form = Form(
        key_format_type=block.key_format_type,
        key_compression_type=block.key_compression_type,
        subtype=subtype,
        wrapped=block.key_wrapping_data is not None,
    )
    if block.key_value is None:
        raise KeyValueNotPresent("Keyrack keeps keys, not references to them; register the Key Value with the object")
    if form.wrapped != isinstance(block.key_value, bytearray):
        raise InvalidField(
            "a wrapped Key Value is a byte string with Key Wrapping Data, a plain one a structure without"
        )
    return Incoming(
        # A wrapped key is kept as the whole key block: its Key Wrapping Data must come back with it.
        material=Secret(encode(block, V1_4)) if form.wrapped else _plain(object_type, block),
        form=form,
        cryptographic_algorithm=block.cryptographic_algorithm,
        cryptographic_length=block.cryptographic_length,
        attributes=() if isinstance(block.key_value, bytearray) else block.key_value.attribute,
    )


def _plain(object_type: int, block: KeyBlock) -> Secret:
    value = block.key_value
    assert isinstance(value, KeyValue)  # noqa: S101 - narrowed by the caller
    if block.key_format_type not in FORMATS[object_type]:
        raise KeyFormatTypeNotSupported("this object is not kept in this Key Format Type; register it as Raw")
    material = value.key_material
    if isinstance(material, TransparentKey):
        raise KeyFormatTypeNotSupported("of the transparent formats, Keyrack keeps Transparent Symmetric Key alone")
    if isinstance(material, TransparentSymmetricKey):
        if block.key_format_type != KeyFormatType.TRANSPARENT_SYMMETRIC_KEY:
            raise InvalidField("the Key Material is not of the Key Format Type that was named")
        return Secret(material.key)
    if block.key_format_type == KeyFormatType.TRANSPARENT_SYMMETRIC_KEY:
        raise InvalidField("the Key Material of a Transparent Symmetric Key is a structure")
    return Secret(material)


def outgoing(
    managed: ManagedObject, material: Secret, key_format_type: KeyFormatType | int | None, compression: int | None
) -> CryptographicObject:
    """The object as the wire carries it, in the Key Format Type that was asked for or the one it came in.

    The key material is the secret's own buffer, not a copy.
    """
    form = managed.form
    if compression is not None and compression != form.key_compression_type:
        raise KeyCompressionTypeNotSupported("the object is kept as it came; ask without a Key Compression Type")
    if managed.object_type == ObjectType.CERTIFICATE:
        return Certificate(certificate_type=form.subtype or 1, certificate_value=bytes(material.reveal()))
    if managed.object_type == ObjectType.OPAQUE_OBJECT:
        return OpaqueObject(opaque_data_type=form.subtype or 0, opaque_data_value=material.reveal())
    block = _as_registered(material) if form.wrapped else _block(managed, material, key_format_type)
    return _WITH_BLOCK[managed.object_type](managed, block)


def _as_registered(material: Secret) -> KeyBlock:
    return decode(KeyBlock, material.reveal(), V1_4)


def _block(managed: ManagedObject, material: Secret, key_format_type: KeyFormatType | int | None) -> KeyBlock:
    kept = managed.form.key_format_type or KeyFormatType.RAW
    wanted = key_format_type or kept
    interchangeable = managed.object_type == ObjectType.SYMMETRIC_KEY and wanted in FORMATS[ObjectType.SYMMETRIC_KEY]
    if wanted != kept and not interchangeable:
        raise KeyFormatTypeNotSupported("the object is given in the Key Format Type that it was registered in")
    revealed = material.reveal()
    return KeyBlock(
        key_format_type=wanted,
        key_compression_type=managed.form.key_compression_type,
        key_value=KeyValue(
            key_material=TransparentSymmetricKey(key=revealed)
            if wanted == KeyFormatType.TRANSPARENT_SYMMETRIC_KEY
            else revealed
        ),
        cryptographic_algorithm=managed.value("Cryptographic Algorithm"),
        cryptographic_length=managed.value("Cryptographic Length"),
    )


_WITH_BLOCK: Final[Mapping[int, Callable[[ManagedObject, KeyBlock], CryptographicObject]]] = {
    ObjectType.SYMMETRIC_KEY: lambda managed, block: SymmetricKey(key_block=block),
    ObjectType.PUBLIC_KEY: lambda managed, block: PublicKey(key_block=block),
    ObjectType.PRIVATE_KEY: lambda managed, block: PrivateKey(key_block=block),
    ObjectType.SECRET_DATA: lambda managed, block: SecretData(
        secret_data_type=managed.form.subtype or 1, key_block=block
    ),
}
