"""Get (KMIP 1.4, 4.11): hand out an object, in clear inside TLS, or wrapped by another key of the instance."""

from dataclasses import replace
from typing import Annotated

from keyrack.domain import access, attributes
from keyrack.domain.access import Permission
from keyrack.domain.errors import FeatureNotSupported, IllegalOperation, InvalidField
from keyrack.domain.objects import ManagedObject
from keyrack.operations import _attributes, _translate, _wrapping
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.operations._translate import CryptographicObject
from keyrack.spec.enumerations import KeyCompressionType, KeyFormatType, KeyWrapType, ObjectType, Operation
from keyrack.spec.types import Since
from keyrack.spec.versions import V1_4
from keyrack.wire.codec import structure
from keyrack.wire.objects import (
    Certificate,
    KeyWrappingSpecification,
    OpaqueObject,
    PrivateKey,
    PublicKey,
    SecretData,
    SymmetricKey,
    Template,
)


@structure
class GetRequest:
    """Which object, and in which format and wrapping; the ID Placeholder where the identifier is left out."""

    unique_identifier: str | None = None
    key_format_type: KeyFormatType | None = None
    key_wrap_type: Annotated[KeyWrapType | None, Since(V1_4)] = None
    key_compression_type: KeyCompressionType | None = None
    key_wrapping_specification: KeyWrappingSpecification | None = None


@structure
class GetResponse:
    """The object."""

    object_type: ObjectType
    unique_identifier: str
    object: Certificate | SymmetricKey | PublicKey | PrivateKey | SecretData | OpaqueObject | Template


@operation(Operation.GET, needs=Permission.READ)
async def get(request: GetRequest, target: ManagedObject, context: Context) -> GetResponse:
    """Open the object and hand it out, unless its state or its attributes forbid it.

    Pre-Active, Deactivated and Compromised objects are handed out: a client must be able to read what it once encrypted
    (KMIP 1.4, 3.22), and a vCenter fetches a key before it activates it.
    """
    if target.object_type == ObjectType.TEMPLATE:
        return _template(request, target, context)
    access.check_release(target, wrapped=request.key_wrapping_specification is not None or target.form.wrapped)
    if request.key_wrap_type == KeyWrapType.NOT_WRAPPED and target.form.wrapped:
        raise FeatureNotSupported("the object was registered wrapped and is given as registered")
    material = await context.open(target)
    value = _translate.outgoing(target, material, request.key_format_type, request.key_compression_type)
    if request.key_wrapping_specification is not None:
        value = await _wrapped(value, request.key_wrapping_specification, target, context)
        # It may have been wrapped with itself, and then its Usage Limits have changed.
        target = await context.find(target.unique_identifier)
    released = attributes.released(target, at=context.now)
    if released is not target:
        context.change(released)
    return GetResponse(object_type=target.object_type, unique_identifier=target.unique_identifier, object=value)


def _template(request: GetRequest, target: ManagedObject, context: Context) -> GetResponse:
    """A template is its attributes (KMIP 1.4, 2.2.6)."""
    if request.key_wrapping_specification is not None:
        raise InvalidField("a template has no key: leave out the Key Wrapping Specification")
    return GetResponse(
        object_type=target.object_type,
        unique_identifier=target.unique_identifier,
        object=Template(attribute=_attributes.held(target, tuple(target.attributes), context.version)),
    )


async def _wrapped(
    value: CryptographicObject, specification: KeyWrappingSpecification, target: ManagedObject, context: Context
) -> CryptographicObject:
    if isinstance(value, Certificate | OpaqueObject):
        raise IllegalOperation("only an object with a key block can be wrapped")
    named = _attributes.held(target, specification.attribute_name, context.version)
    return replace(value, key_block=await _wrapping.wrap(value.key_block, specification, named, context))
