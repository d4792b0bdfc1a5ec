"""The payloads that callers send."""

from keyrack.spec.enumerations import CryptographicAlgorithm, KeyFormatType, NameType, ObjectType
from keyrack.spec.tags import Tag
from keyrack.testing.ttlv import Item, enumeration, integer, octets, structure, text

ENCRYPT_AND_DECRYPT = 12


def new_key(name: str) -> tuple[Item, ...]:
    """Of a Create: an AES-256 key of that name; without a name where that is empty."""
    return (enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY), _template(name, *_AES_256))


def own_key(name: str, given: bytes) -> tuple[Item, ...]:
    """Of a Register: an AES key of that name."""
    block = structure(
        Tag.KEY_BLOCK,
        enumeration(Tag.KEY_FORMAT_TYPE, KeyFormatType.RAW),
        structure(Tag.KEY_VALUE, octets(Tag.KEY_MATERIAL, given)),
        enumeration(Tag.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm.AES),
        integer(Tag.CRYPTOGRAPHIC_LENGTH, 8 * len(given)),
    )
    kind = enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY)
    return (kind, _template(name, _MASK), structure(Tag.SYMMETRIC_KEY, block))


def named(name: str) -> Item:
    """The attribute Name, as a template has it and as Locate looks for it."""
    value = structure(
        Tag.ATTRIBUTE_VALUE,
        text(Tag.NAME_VALUE, name),
        enumeration(Tag.NAME_TYPE, NameType.UNINTERPRETED_TEXT_STRING),
    )
    return _attribute("Name", value)


def _template(name: str, *attributes: Item) -> Item:
    return structure(Tag.TEMPLATE_ATTRIBUTE, *attributes, named(name) if name else None)


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)


_MASK = _attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, ENCRYPT_AND_DECRYPT))
_AES_256 = (
    _attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
    _attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
    _MASK,
)
