"""Create (KMIP 1.4, 4.1): make a symmetric key."""

import hashlib

from keyrack.domain import creation
from keyrack.domain.access import Permission
from keyrack.operations import _attributes
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType, Operation
from keyrack.wire.codec import structure
from keyrack.wire.objects import TemplateAttribute


@structure
class CreateRequest:
    """What to make, and with which attributes."""

    object_type: ObjectType | int
    template_attribute: TemplateAttribute


@structure
class CreateResponse:
    """What was made."""

    object_type: ObjectType | int
    unique_identifier: str


@operation(Operation.CREATE, needs=Permission.CREATE)
async def create(request: CreateRequest, context: Context) -> CreateResponse:
    """Make the key material, seal it under the customer root key, and keep it.

    Asked twice, it makes two keys: nothing in a request tells a repetition from a second wish, and two virtual machines
    that ask alike must not share a key.
    """
    given = await _attributes.given(request.template_attribute, context)
    draft = creation.create(
        request.object_type, given, version=context.version, taken=await _attributes.taken_names(given, context)
    )
    material = context.generate(draft.material_length)
    if CryptographicAlgorithm.THREE_DES in [each.value for each in draft.attributes[creation.ALGORITHM]]:
        creation.set_parity(material.reveal())
    managed = creation.new_object(
        draft,
        unique_identifier=context.new_identifier(),
        instance=context.instance.identifier,
        at=context.now,
        digest=hashlib.sha256(material.reveal()).digest(),
    )
    await context.add(managed, material)
    return CreateResponse(object_type=managed.object_type, unique_identifier=managed.unique_identifier)
