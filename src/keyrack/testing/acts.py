"""What clients do with keys, one act for each way that key material takes through a server.

Whoever acts remembers every key that was given or got: a canary, to be searched for afterwards.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    CryptographicAlgorithm,
    EncodingOption,
    KeyFormatType,
    ObjectType,
    Operation,
    SecretDataType,
    WrappingMethod,
)
from keyrack.spec.tags import Tag
from keyrack.testing.client import Ask, Client, request
from keyrack.testing.ledger import material
from keyrack.testing.ttlv import Item, enumeration, integer, octets, structure, text

ENCRYPT_AND_DECRYPT, WRAP = 12, 16


@dataclass(slots=True)
class Keeper:
    """A client that remembers. ``again`` makes another connection."""

    client: Client
    again: Callable[[], Client]
    canaries: list[bytes] = field(default_factory=list)

    def fresh(self, length: int = 32) -> bytes:
        """A new canary, to be given."""
        self.canaries.append(os.urandom(length))
        return self.canaries[-1]


def creates(at: Keeper) -> None:
    """Create and Get in one message."""
    *_, got = at.client.batch(_create(), Ask(Operation.GET))
    at.canaries.append(material(got.payload))


def registers(at: Keeper) -> None:
    """Register and Get, and Get once more."""
    (made,) = at.client.batch(_key(at.fresh()))
    for _ in range(2):
        at.client.ask(Operation.GET, _uid(made.payload))


def registers_transparent(at: Keeper) -> None:
    """Register and Get in the format Transparent Symmetric Key."""
    (made,) = at.client.batch(_key(at.fresh(), KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))
    wanted = enumeration(Tag.KEY_FORMAT_TYPE, KeyFormatType.TRANSPARENT_SYMMETRIC_KEY)
    at.client.ask(Operation.GET, _uid(made.payload), wanted)


def registers_secret_data(at: Keeper) -> None:
    """Register and Get of Secret Data, long enough for memory of another kind."""
    held = structure(
        Tag.SECRET_DATA,
        enumeration(Tag.SECRET_DATA_TYPE, SecretDataType.PASSWORD),
        _block(at.fresh(700), KeyFormatType.OPAQUE),
    )
    kind = enumeration(Tag.OBJECT_TYPE, ObjectType.SECRET_DATA)
    at.client.ask(Operation.GET, _uid(at.client.ask(Operation.REGISTER, kind, _template(), held)))


def registers_opaque_objects(at: Keeper) -> None:
    """Register and Get of an Opaque Object of some kilobytes."""
    held = structure(
        Tag.OPAQUE_OBJECT,
        enumeration(Tag.OPAQUE_DATA_TYPE, 0x80000001),
        octets(Tag.OPAQUE_DATA_VALUE, at.fresh(3000)),
    )
    kind = enumeration(Tag.OBJECT_TYPE, ObjectType.OPAQUE_OBJECT)
    at.client.ask(Operation.GET, _uid(at.client.ask(Operation.REGISTER, kind, _template(None), held)))


def gets_wrapped(at: Keeper) -> None:
    """Get of a key, wrapped by another."""
    (wrapper,) = at.client.batch(_key(at.fresh(), mask=WRAP))
    at.client.ask(Operation.ACTIVATE, _uid(wrapper.payload))
    (made,) = at.client.batch(_key(at.fresh()))
    specification = structure(
        Tag.KEY_WRAPPING_SPECIFICATION,
        enumeration(Tag.WRAPPING_METHOD, WrappingMethod.ENCRYPT),
        structure(Tag.ENCRYPTION_KEY_INFORMATION, _uid(wrapper.payload)),
        enumeration(Tag.ENCODING_OPTION, EncodingOption.TTLV_ENCODING),
    )
    at.client.ask(Operation.GET, _uid(made.payload), specification)


def is_refused(at: Keeper) -> None:
    """Register without a usage mask, of a wrong length, and one that an Undo takes back."""
    undo = enumeration(Tag.BATCH_ERROR_CONTINUATION_OPTION, BatchErrorContinuationOption.UNDO)
    wrong = structure(Tag.SYMMETRIC_KEY, _block(at.fresh(), bits=128))
    kind = enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY)
    refusals = [
        at.client.batch(_key(at.fresh(), mask=None)),
        at.client.batch(Ask(Operation.REGISTER, (kind, _template(), wrong))),
        at.client.batch(_key(at.fresh()), _key(at.fresh(), mask=None), header=[undo])[:1],
    ]
    assert not any(answer.ok for answers in refusals for answer in answers)


def sends_in_pieces(at: Keeper) -> None:
    """Register, in pieces: the server has to put the message together."""
    frame = request(_key(at.fresh()), _key(at.fresh()))
    for start in range(0, len(frame), 100):
        at.client.send(frame[start : start + 100])
        time.sleep(0.005)
    at.client.receive()


def sends_ahead(at: Keeper) -> None:
    """Three Registers without waiting for an answer."""
    for _ in range(3):
        at.client.send(request(_key(at.fresh())))
    for _ in range(3):
        at.client.receive()


def breaks_off(at: Keeper) -> None:
    """A Register whose inner lengths are wrong, and one of which half is sent before the connection goes."""
    frame = bytearray(request(_key(at.fresh())))
    frame[-8:] = b"\xff" * 8
    at.client.send(bytes(frame))
    at.client.receive()
    with at.again() as leaving:
        frame = bytearray(request(_key(at.fresh())))
        leaving.send(bytes(frame[:-40]))
        time.sleep(0.05)


ACTS: Mapping[str, Callable[[Keeper], None]] = {
    act.__name__: act
    for act in (
        creates,
        registers,
        registers_transparent,
        registers_secret_data,
        registers_opaque_objects,
        gets_wrapped,
        is_refused,
        sends_in_pieces,
        sends_ahead,
        breaks_off,
    )
}
"""By name."""


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)


def _template(mask: int | None = ENCRYPT_AND_DECRYPT) -> Item:
    held = [] if mask is None else [_attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, mask))]
    return structure(Tag.TEMPLATE_ATTRIBUTE, *held)


def _uid(payload: Item) -> Item:
    return text(Tag.UNIQUE_IDENTIFIER, payload.string(Tag.UNIQUE_IDENTIFIER))


def _block(secret: bytes, form: KeyFormatType = KeyFormatType.RAW, *, bits: int | None = None) -> Item:
    held = octets(Tag.KEY_MATERIAL, secret)
    if form is KeyFormatType.TRANSPARENT_SYMMETRIC_KEY:
        held = structure(Tag.KEY_MATERIAL, octets(Tag.KEY, secret))
    algorithm = [
        enumeration(Tag.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.AES),
        integer(Tag.CRYPTOGRAPHIC_LENGTH, bits or 8 * len(secret)),
    ]
    return structure(
        Tag.KEY_BLOCK,
        enumeration(Tag.KEY_FORMAT_TYPE, form),
        structure(Tag.KEY_VALUE, held),
        *(algorithm if form is not KeyFormatType.OPAQUE else []),
    )


def _key(secret: bytes, form: KeyFormatType = KeyFormatType.RAW, *, mask: int | None = ENCRYPT_AND_DECRYPT) -> Ask:
    """Register of a symmetric key."""
    kind = enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY)
    return Ask(Operation.REGISTER, (kind, _template(mask), structure(Tag.SYMMETRIC_KEY, _block(secret, form))))


def _create() -> Ask:
    held = structure(
        Tag.TEMPLATE_ATTRIBUTE,
        _attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
        _attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
        _attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, ENCRYPT_AND_DECRYPT)),
    )
    return Ask(Operation.CREATE, (enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY), held))
