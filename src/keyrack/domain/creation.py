"""What a Create or a Register makes: the client's attributes checked, the server's added (KMIP 1.4, 4.1 and 4.3).

First a draft, from what the client has given as names and values; then, once there is material, the object:

- ``create(object_type, given, *, version, ...) -> Draft``: Create; ``draft.material_length`` bytes are to be generated.
- ``register(object_type, given, *, version, form, own, ...) -> Draft``: Register.
- ``new_object(draft, *, unique_identifier, instance, at, digest) -> ManagedObject``: Pre-Active, or what its dates say.
- ``with_templates(given, templates) -> given``: what templates add to the attributes given one by one.
- ``set_parity(material)``: the odd parity of DES keys, in place.
"""

from collections.abc import Collection, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.domain.attribute_values import accept, check_name, check_order, companions
from keyrack.domain.attributes import MAX_INSTANCES, MAX_NAMES, rule
from keyrack.domain.errors import IndexOutOfBounds, InvalidField
from keyrack.domain.lifecycle import setting, tick
from keyrack.domain.objects import Attributes, Form, Indexed, ManagedObject
from keyrack.spec.attributes import ATTRIBUTES, CRYPTOGRAPHIC_OBJECTS, is_custom
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    HashingAlgorithm,
    KeyFormatType,
    ObjectType,
    RNGAlgorithm,
    State,
)
from keyrack.spec.structures import Digest, RNGParameters
from keyrack.spec.versions import ProtocolVersion

Given = Sequence[tuple[str, Any]]
"""Attribute names and values as a Template-Attribute lists them; the server gives the indices."""

ALGORITHM: Final = "Cryptographic Algorithm"
LENGTH: Final = "Cryptographic Length"
USAGE: Final = "Cryptographic Usage Mask"

LEASE_TIME: Final = 3600
"""Seconds that a lease is given for (KMIP 1.4, 3.20)."""

REGISTRABLE: Final = frozenset(
    {
        ObjectType.CERTIFICATE,
        ObjectType.SYMMETRIC_KEY,
        ObjectType.PUBLIC_KEY,
        ObjectType.PRIVATE_KEY,
        ObjectType.SECRET_DATA,
        ObjectType.OPAQUE_OBJECT,
        ObjectType.TEMPLATE,
    }
)
"""What Register takes."""

KEYS: Final = frozenset({ObjectType.SYMMETRIC_KEY, ObjectType.PUBLIC_KEY, ObjectType.PRIVATE_KEY})

AT_CREATION: Final = frozenset(
    {ALGORITHM, LENGTH, "Certificate Type", "Certificate Length", "Digital Signature Algorithm"}
)
"""Attributes "set by the server" that a client gives when it makes an object all the same (KMIP 1.4, 4.1 and 4.3)."""

CREATABLE: Final[Mapping[int, Mapping[int, int]]] = {
    CryptographicAlgorithm.AES: {128: 16, 192: 24, 256: 32},
    # Bits of key, or bits with parity: both are on the wire for the same 16 and 24 bytes.
    CryptographicAlgorithm.THREE_DES: {112: 16, 168: 24, 128: 16, 192: 24},
}
"""The block ciphers of Create: Cryptographic Length in bits, with the bytes of material that it means."""

HMAC: Final[Mapping[int, int]] = {
    CryptographicAlgorithm.HMAC_MD5: 128,
    CryptographicAlgorithm.HMAC_SHA1: 160,
    CryptographicAlgorithm.HMAC_SHA224: 224,
    CryptographicAlgorithm.HMAC_SHA256: 256,
    CryptographicAlgorithm.HMAC_SHA384: 384,
    CryptographicAlgorithm.HMAC_SHA512: 512,
}
"""The HMAC keys of Create with the length that is made where none is asked for: that of the hash."""

HMAC_LENGTHS: Final = range(80, 4096 + 1, 8)
"""Cryptographic Lengths of HMAC keys, in bits."""

DEFAULT_LENGTHS: Final[Mapping[int, int]] = {
    CryptographicAlgorithm.AES: 256,
    CryptographicAlgorithm.THREE_DES: 168,
    **HMAC,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An object to be, checked; what is missing is its material and its birth."""

    object_type: ObjectType
    attributes: Attributes = field(repr=False)
    form: Form
    material_length: int = 0
    """Bytes to generate; 0 where the client has brought the material."""
    generated: bool
    """Whether the server makes the material."""


def with_templates(given: Given, templates: Iterable[ManagedObject]) -> Given:
    """The attributes of the templates, then those given one by one (KMIP 1.4, 2.1.8).

    An attribute of one instance is the client's own where it gives it, else the first template's. What describes the
    template itself stays with it.
    """
    decided = {name for name, _ in given}
    result: list[tuple[str, Any]] = []
    for template in templates:
        for name, instances in template.attributes.items():
            if name in TEMPLATES_OWN or (name in decided and not _may_repeat(name)):
                continue
            result += [(name, each.value) for each in instances]
            decided.add(name)
    return [*result, *given]


def _may_repeat(name: str) -> bool:
    return is_custom(name) or (name in ATTRIBUTES and ATTRIBUTES[name].multiple)


TEMPLATES_OWN: Final = frozenset(
    {
        "Name",
        "Initial Date",
        "Last Change Date",
        "Original Creation Date",
        "Sensitive",
        "Always Sensitive",
        "Extractable",
        "Never Extractable",
    }
)


def create(
    object_type: ObjectType | int,
    given: Given,
    *,
    version: ProtocolVersion,
    taken: Collection[str] = (),
) -> Draft:
    """The draft of a Create: a symmetric key of AES, 3DES or an HMAC.

    ``taken``: Name Values that other objects have. Raises what KMIP 1.4, 11.2 names.
    """
    if object_type != ObjectType.SYMMETRIC_KEY:
        raise InvalidField("Create makes Symmetric Keys; register what you have made elsewhere")
    attributes = _collected(ObjectType.SYMMETRIC_KEY, given, version, taken)
    algorithm, length = _first(attributes, ALGORITHM), _first(attributes, LENGTH)
    if algorithm is None:
        raise InvalidField(f"the {ALGORITHM} is required")
    if USAGE not in attributes:
        raise InvalidField(f"the {USAGE} is required")
    if length is None:
        length = DEFAULT_LENGTHS.get(algorithm)
    octets = _octets(algorithm, length)
    return Draft(
        object_type=ObjectType.SYMMETRIC_KEY,
        attributes=setting(attributes, {LENGTH: length}),
        form=Form(key_format_type=KeyFormatType.RAW),
        material_length=octets,
        generated=True,
    )


def _octets(algorithm: int, length: int | None) -> int:
    """Bytes of material for a key to generate."""
    if algorithm in HMAC and length is not None and length in HMAC_LENGTHS:
        return length // 8
    if algorithm not in CREATABLE and algorithm not in HMAC:
        raise InvalidField(f"Create makes keys of AES, 3DES and HMAC; this {ALGORITHM} is none of them")
    octets = CREATABLE.get(algorithm, {}).get(length or 0)
    if octets is None:
        raise InvalidField(f"there is no such {LENGTH} for this {ALGORITHM}")
    return octets


def register(
    object_type: ObjectType | int,
    given: Given,
    *,
    version: ProtocolVersion,
    form: Form,
    own: Mapping[str, Any],
    material_length: int | None = None,
    taken: Collection[str] = (),
) -> Draft:
    """The draft of a Register.

    ``own``: attributes that the object brings itself, values of the key block or of the parsed certificate; ``None``
    for what it leaves out. ``material_length``: bytes of plain key material, where there is such. What the template
    says must not contradict either. Raises what KMIP 1.4, 11.4 names.
    """
    kind = next((each for each in REGISTRABLE if each == object_type), None)
    if kind is None:
        raise InvalidField("the Object Type is not one that can be registered")
    attributes = _merged(_collected(kind, given, version, taken), kind, own)
    _check_required(kind, attributes)
    if kind == ObjectType.SYMMETRIC_KEY and material_length is not None:
        _check_length(attributes, material_length)
    if kind in CRYPTOGRAPHIC_OBJECTS and USAGE not in attributes:
        # It SHALL always have a value (KMIP 1.4, 3.19): what nobody says is allowed, is not.
        attributes = setting(attributes, {USAGE: 0})
    return Draft(object_type=kind, attributes=attributes, form=form, generated=False)


def _merged(attributes: Attributes, kind: ObjectType, own: Mapping[str, Any]) -> Attributes:
    """With the object's own attributes, which the template may repeat but not contradict."""
    for name, value in own.items():
        said = _first(attributes, name)
        if value is not None and said is not None and said != value:
            raise InvalidField(f"the {name} in the template is not that of the object")
    fitting = {n: v for n, v in own.items() if v is not None and n in ATTRIBUTES and kind in ATTRIBUTES[n].applies_to}
    return setting(attributes, fitting)


def _check_required(kind: ObjectType, attributes: Attributes) -> None:
    if kind not in KEYS:
        return  # The profiles register Secret Data without any attribute; the rest is in the certificate itself.
    for name in (ALGORITHM, LENGTH, USAGE):
        if name not in attributes:
            raise InvalidField(f"the {name} is required, in the Template-Attribute or in the Key Block")


def _check_length(attributes: Attributes, octets: int) -> None:
    """That plain key material is as long as the Cryptographic Length says."""
    algorithm, length = _first(attributes, ALGORITHM), _first(attributes, LENGTH)
    lengths = CREATABLE.get(algorithm)
    expected = length // 8 if lengths is None else lengths.get(length)
    if expected != octets and (lengths is not None or algorithm in HMAC):
        raise InvalidField(f"the key material has not the {LENGTH} that is said of it")


def _first(attributes: Attributes, name: str) -> Any:
    held = attributes.get(name)
    return held[0].value if held else None


def _collected(kind: ObjectType, given: Given, version: ProtocolVersion, taken: Collection[str]) -> Attributes:
    """The client's attributes as they are kept, each instance with its index in the order given."""
    result: dict[str, tuple[Indexed, ...]] = {}
    for name, value in given:
        found = rule(name, kind, version)
        if found is None:
            raise InvalidField("one of the attributes is not one of this object type and protocol version")
        if not found.settable and name not in AT_CREATION:
            raise InvalidField(f"the attribute {_shown(name)} is kept by the server and cannot be given")
        held = result.get(name, ())
        if held and not found.multiple:
            raise InvalidField(f"the attribute {_shown(name)} is given twice and has one instance only")
        if len(held) >= MAX_INSTANCES or len(result) >= MAX_NAMES:
            raise IndexOutOfBounds("there are more attributes than the server keeps")
        if name == "Name":
            check_name(value, held, taken, InvalidField)
        result[name] = (*held, Indexed(len(held), accept(name, value, version)))
    check_order(result)
    return result


def _shown(name: str) -> str:
    """A name for a message: the standard's own; of another, its prefix alone."""
    return name if name in ATTRIBUTES else f"{name[:2]}…"


def new_object(
    draft: Draft,
    *,
    unique_identifier: str,
    instance: str,
    at: int,
    digest: bytes | None = None,
    lease_time: int = LEASE_TIME,
) -> ManagedObject:
    """The object, born at ``at``: Active where its Activation Date has come, else Pre-Active (KMIP 1.4, 3.22).

    ``digest`` is the SHA-256 of the material as it is kept, in the Key Format Type of the draft's form; ``None`` where
    the server does not have the material in clear.
    """
    kind, given = draft.object_type, draft.attributes
    changes: dict[str, Any] = {"Initial Date": at, "Last Change Date": at}
    if kind in CRYPTOGRAPHIC_OBJECTS:
        changes |= {"Lease Time": lease_time, "Fresh": _or(given, "Fresh", True)}
    if draft.generated:
        changes |= {
            "Original Creation Date": at,
            "Random Number Generator": RNGParameters(rng_algorithm=RNGAlgorithm.UNSPECIFIED),
        }
    elif kind in ATTRIBUTES["Key Value Present"].applies_to:
        changes["Key Value Present"] = True
    if digest is not None and kind in ATTRIBUTES["Digest"].applies_to:
        kept = draft.form.key_format_type
        # The digest is over the bytes of the key, and a key in a transparent structure has the same bytes Raw (3.17).
        raw = KeyFormatType.RAW if kept == KeyFormatType.TRANSPARENT_SYMMETRIC_KEY else kept
        changes["Digest"] = Digest(hashing_algorithm=HashingAlgorithm.SHA_256, digest_value=digest, key_format_type=raw)
    for name, usual in (("Sensitive", False), ("Extractable", True)):
        value = _or(given, name, usual)
        changes |= {name: value, **companions(name, value, {})}
    born = ManagedObject(
        unique_identifier=unique_identifier,
        instance=instance,
        object_type=kind,
        state=State.PRE_ACTIVE,
        attributes=setting(given, changes),
        form=draft.form,
    )
    return tick(born, at)


def _or(attributes: Attributes, name: str, usual: Any) -> Any:
    said = _first(attributes, name)
    return usual if said is None else said


def set_parity(material: MutableSequence[int]) -> None:
    """Set the lowest bit of each byte so that the byte has an odd number of ones, as DES keys have it (FIPS 46-3)."""
    for position, octet in enumerate(material):
        material[position] = (octet & 0xFE) | (1 ^ (octet >> 1).bit_count() & 1)
