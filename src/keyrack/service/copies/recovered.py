"""An object made again from its wrapped key alone: what a Create or a Register would have given it, as far as known.

The wrapped key says type, form, algorithm, length, usage mask, date of birth, and what the object was called when it
was made. It does not say what happened since: an object comes back Active since its Initial Date.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any, TypeVar

from keyrack.domain import creation
from keyrack.domain.creation import ALGORITHM, CREATABLE, HMAC, LENGTH, USAGE, Draft
from keyrack.domain.lifecycle import STATELESS, setting
from keyrack.domain.objects import Form, ManagedObject
from keyrack.domain.secret import Secret
from keyrack.operations import _certificates
from keyrack.service.vault.blob import Blob, SealContext
from keyrack.service.vault.description import recall
from keyrack.spec.attributes import ATTRIBUTES, CRYPTOGRAPHIC_OBJECTS
from keyrack.spec.enumerations import CryptographicAlgorithm, KeyFormatType, ObjectType
from keyrack.wire.objects import Certificate

Word = TypeVar("Word", bound=IntEnum)


class NoObject(Exception):
    """The wrapped key is of an Object Type that this version of Keyrack does not keep."""


def is_wrapping_key(blob: Blob) -> bool:
    """Whether it is the wrapping key of an instance of two levels, which no client ever sees.

    A client's symmetric key always has a Key Format Type.
    """
    context = blob.header.context
    return context.object_type == ObjectType.SYMMETRIC_KEY and not context.key_format_type


def object_of(blob: Blob, sealed: bytes, standard_key: str | None, material: Secret | None) -> ManagedObject:
    """The object of an authentic wrapped key, with ``sealed`` as its copy in the catalog; raises :class:`NoObject`.

    ``material``, where the key was opened, gives what only it can tell: the Digest, and what a certificate says.
    """
    context = blob.header.context
    kind = _known(ObjectType, context.object_type)
    if not isinstance(kind, ObjectType):
        raise NoObject(f"Object Type 0x{context.object_type:08X} is unknown to this version of keyrack")
    draft = Draft(
        object_type=kind,
        attributes=setting(recall(context.description), _told(kind, context, material)),
        form=_form(context),
        generated=_generated(kind, context),
    )
    born = creation.new_object(
        draft,
        unique_identifier=context.unique_identifier,
        instance=blob.header.instance,
        at=context.created_at,
        digest=None if material is None or context.registered_wrapped else _digest(material),
    )
    return replace(born, sealed=sealed, standard_key=standard_key)


def _told(kind: ObjectType, context: SealContext, material: Secret | None) -> Mapping[str, Any]:
    """The attributes that the wrapped key says itself, and those that follow from its having been in use."""
    told: dict[str, Any] = {
        ALGORITHM: _known(CryptographicAlgorithm, context.algorithm) if context.algorithm else None,
        LENGTH: context.length or None,
        # It has been somebody's: nobody may take it for a key that was never handed out.
        "Fresh": False,
    }
    if kind in CRYPTOGRAPHIC_OBJECTS:
        told[USAGE] = context.usage_mask
    if kind not in STATELESS:
        told["Activation Date"] = context.created_at
    if kind == ObjectType.CERTIFICATE:
        told |= _of_certificate(context.subtype, material)
    return {name: value for name, value in told.items() if value is not None and kind in ATTRIBUTES[name].applies_to}


def _of_certificate(subtype: int, material: Secret | None) -> Mapping[str, Any]:
    if material is None:
        return {"Certificate Type": subtype}
    # Public: a certificate is no secret, and the parser wants immutable bytes.
    return _certificates.attributes(Certificate(certificate_type=subtype, certificate_value=bytes(material.reveal())))


def _form(context: SealContext) -> Form:
    return Form(
        key_format_type=_known(KeyFormatType, context.key_format_type) if context.key_format_type else None,
        key_compression_type=context.key_compression_type or None,
        subtype=context.subtype or None,
        wrapped=context.registered_wrapped,
    )


def _generated(kind: ObjectType, context: SealContext) -> bool:
    """Whether Create makes such keys: what a client has registered in the same form looks alike."""
    creatable = context.algorithm in CREATABLE or context.algorithm in HMAC
    raw = context.key_format_type == KeyFormatType.RAW and not context.registered_wrapped
    return kind == ObjectType.SYMMETRIC_KEY and creatable and raw


def _known(words: type[Word], number: int) -> Word | int:
    try:
        return words(number)
    except ValueError:
        return number


def _digest(material: Secret) -> bytes:
    return hashlib.sha256(material.reveal()).digest()
