"""Register (KMIP 1.4, 4.3): keep an object that the client has made."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from keyrack.domain import creation
from keyrack.domain.access import Permission
from keyrack.domain.errors import InvalidField
from keyrack.domain.objects import Form
from keyrack.operations import _attributes, _certificates, _translate
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.operations._translate import Incoming
from keyrack.spec.enumerations import ObjectType, Operation
from keyrack.spec.versions import V1_0
from keyrack.wire.codec import structure
from keyrack.wire.objects import (
    Certificate,
    OpaqueObject,
    PrivateKey,
    PublicKey,
    SecretData,
    SymmetricKey,
    Template,
    TemplateAttribute,
)


@structure
class RegisterRequest:
    """The object, and the attributes that it is to have."""

    object_type: ObjectType | int
    template_attribute: TemplateAttribute
    object: Certificate | SymmetricKey | PublicKey | PrivateKey | SecretData | OpaqueObject | Template


@structure
class RegisterResponse:
    """What it is called from now on."""

    unique_identifier: str


@operation(Operation.REGISTER, needs=Permission.CREATE)
async def register(request: RegisterRequest, context: Context) -> RegisterResponse:
    """Seal what the client has sent and keep it with its attributes."""
    given = await _attributes.given(request.template_attribute, context)
    if isinstance(request.object, Template):
        return await _template(request, request.object, given, context)
    brought = _translate.incoming(request.object_type, request.object)
    given = (*given, *_attributes.pairs(brought.attributes))
    draft = creation.register(
        request.object_type,
        given,
        version=context.version,
        form=brought.form,
        own=_own(request.object, brought),
        material_length=None if brought.form.wrapped else len(brought.material),
        taken=await _attributes.taken_names(given, context),
    )
    managed = creation.new_object(
        draft,
        unique_identifier=context.new_identifier(),
        instance=context.instance.identifier,
        at=context.now,
        # The server cannot see the material of a key that comes wrapped (KMIP 1.4, 3.17).
        digest=None if brought.form.wrapped else hashlib.sha256(brought.material.reveal()).digest(),
    )
    await context.add(managed, brought.material)
    return RegisterResponse(unique_identifier=managed.unique_identifier)


def _own(value: _translate.CryptographicObject, brought: Incoming) -> Mapping[str, Any]:
    """The attributes that the object says of itself."""
    if isinstance(value, Certificate):
        return _certificates.attributes(value)
    return {
        "Cryptographic Algorithm": brought.cryptographic_algorithm,
        "Cryptographic Length": brought.cryptographic_length,
    }


async def _template(
    request: RegisterRequest, template: Template, given: Sequence[tuple[str, Any]], context: Context
) -> RegisterResponse:
    """A template has attributes and no material (KMIP 1.4, 2.2.6; deprecated since 1.3)."""
    if request.object_type != ObjectType.TEMPLATE:
        raise InvalidField("the object that was sent is not of the Object Type that was named")
    # From 1.1 on (11.4); the 1.0 cases of the storage array profile name their template inside.
    if context.version > V1_0 and any(each.attribute_name == "Name" for each in template.attribute):
        raise InvalidField("a template's own Name stands in the Template-Attribute, not in the template")
    draft = creation.register(
        ObjectType.TEMPLATE,
        (*given, *_attributes.pairs(template.attribute)),
        version=context.version,
        form=Form(),
        own={},
        taken=await _attributes.taken_names(given, context),
    )
    managed = creation.new_object(
        draft,
        unique_identifier=context.new_identifier(),
        instance=context.instance.identifier,
        at=context.now,
    )
    context.keep(managed)
    return RegisterResponse(unique_identifier=managed.unique_identifier)
