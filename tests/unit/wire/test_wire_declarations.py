"""Declarations: what is not understood is named, and the functions that are made of them can be seen."""

import linecache
import traceback
from typing import Annotated, Any, ClassVar

import pytest

from keyrack.spec.attributes import ATTRIBUTES, is_custom
from keyrack.spec.enumerations import CredentialType
from keyrack.spec.structures import Digest
from keyrack.spec.tags import Tag
from keyrack.spec.types import CustomValue, ItemType, Since
from keyrack.spec.versions import V1_0, V1_1, V1_2, V1_3, V1_4, VERSIONS, ProtocolVersion
from keyrack.wire.attributes import Attribute
from keyrack.wire.codec import decode, encode, structure
from keyrack.wire.credentials import Credential, Device, OtherCredential, UsernameAndPassword
from keyrack.wire.declare import fields_of
from keyrack.wire.errors import Malformed, Unexpected, UnknownAttribute, WireError
from keyrack.wire.objects import KeyValue, TransparentKey, TransparentSymmetricKey
from keyrack.wire.tree import Node, build


@structure
class Foreign:
    """A field whose name is no tag."""

    shoe_size: int


@structure
class Odd:
    """A field of a type that TTLV does not have."""

    name: float


@structure
class Absent:
    """A field that may be absent but has no default."""

    username: str | None


@structure
class Both:
    """Two structures that are told apart by their tags."""

    TAG: ClassVar[Tag] = Tag.CUSTOM_ATTRIBUTE

    value: Digest | Credential
    username: Annotated[str | None, Since(V1_3)] = None


@pytest.mark.parametrize(("cls", "field"), [(Foreign, "shoe_size"), (Odd, "name"), (Absent, "username")])
def test_a_misuse_is_named_with_its_field(cls: type, field: str) -> None:
    """Whoever declares a structure wrongly is told where."""
    with pytest.raises(TypeError, match=f"{cls.__name__}.{field}"):
        fields_of(cls)


def test_a_class_that_is_not_declared_has_no_codec() -> None:
    """Only dataclasses can be read and written."""
    with pytest.raises(WireError):
        encode("text", V1_4, Tag.NAME)


def test_a_choice_is_told_by_its_tag() -> None:
    """A field that may hold one of two structures reads the one whose tag comes."""
    value = Both(value=Digest(hashing_algorithm=6))

    assert value == decode(Both, encode(value, V1_4), V1_4)


def test_since_is_kept_in_both_directions() -> None:
    """An element marked as newer is not written for an older version, and not read in it."""
    value = Both(value=Digest(hashing_algorithm=6), username="x")

    assert decode(Both, encode(value, V1_2), V1_2).username is None
    assert "x" == decode(Both, encode(value, V1_3), V1_3).username
    with pytest.raises(Unexpected):
        decode(Both, encode(value, V1_3), V1_2)


def test_a_digest_names_its_format_from_1_1_on() -> None:
    """The tag Key Format Type is as old as KMIP, its place in Digest is not."""
    digest = Digest(hashing_algorithm=6, key_format_type=1)

    assert [None, 1] == [decode(Digest, encode(digest, each), each).key_format_type for each in (V1_0, V1_1)]


def test_a_traceback_shows_the_generated_line() -> None:
    """The functions' text is there for debuggers and tracebacks."""
    linecache.checkcache()

    with pytest.raises(Unexpected) as caught:
        decode(Both, bytes.fromhex("42002d0100000000"), V1_4)

    assert "raise refuse(" in "".join(traceback.format_exception(caught.value))


# --- the attribute table ---

ADDED = {V1_0: 32, V1_1: 6, V1_2: 4, V1_3: 1, V1_4: 7}


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_each_version_adds_its_attributes(version: ProtocolVersion) -> None:
    """The attributes of section 3, custom attributes not counted."""
    assert ADDED[version] == sum(word.since == version for word in ATTRIBUTES.values())


def test_the_keys_of_the_table_are_the_names() -> None:
    """An attribute is found by the name that travels."""
    assert all(name == word.name == word.tag.title and not is_custom(name) for name, word in ATTRIBUTES.items())


def written(name: str, value: bytes) -> bytes:
    """An Attribute structure, by hand."""
    label = build(Node(Tag.ATTRIBUTE_NAME, ItemType.TEXT_STRING, name))
    return b"\x42\x00\x08\x01" + (len(label) + len(value)).to_bytes(4, "big") + label + value


TEXT = build(Node(Tag.ATTRIBUTE_VALUE, ItemType.TEXT_STRING, "x"))


@pytest.mark.parametrize(("name", "version"), [("Nonsense", V1_4), ("Sensitive", V1_3), ("z-Custom", V1_4), ("", V1_4)])
def test_an_unknown_attribute_is_told_as_such(name: str, version: ProtocolVersion) -> None:
    """Neither a name of the version nor a custom one: the caller may answer what it thinks fit."""
    with pytest.raises(UnknownAttribute):
        decode(Attribute, written(name, TEXT), version, Tag.ATTRIBUTE)


def test_a_value_of_the_wrong_type_is_refused() -> None:
    """A State is an enumeration, whatever a client thinks."""
    with pytest.raises(Unexpected, match="State: Attribute Value \\(Text String\\)"):
        decode(Attribute, written("State", TEXT), V1_4, Tag.ATTRIBUTE)


@pytest.mark.parametrize("depth", [16, 17, 5000])
def test_custom_structures_are_bounded_in_depth(depth: int) -> None:
    """A custom attribute that is a structure of structures ends at sixteen."""
    content = b""
    for _ in range(depth):
        content = b"\x42\x00\x0b\x01" + len(content).to_bytes(4, "big") + content
    frame = written("x-Deep", b"\x42\x00\x0b\x01" + len(content).to_bytes(4, "big") + content)

    try:
        read: Any = decode(Attribute, frame, V1_4, Tag.ATTRIBUTE)
    except Malformed as error:
        read = error

    assert isinstance(read, Malformed if depth > 16 else Attribute)


def test_a_custom_structure_keeps_its_bytes() -> None:
    """It comes out as the content that went in."""
    value = CustomValue(ItemType.STRUCTURE, TEXT)
    attribute = Attribute(attribute_name="y-Structure", attribute_value=value)

    assert attribute == decode(Attribute, encode(attribute, V1_0, Tag.ATTRIBUTE), V1_0, Tag.ATTRIBUTE)


# --- forms that depend on a value ---


def test_a_credential_is_read_by_its_type() -> None:
    """Device exists since 1.1; in 1.0 it is a credential that nobody knows, kept as it came."""
    value = Device(device_serial_number="1", password=bytearray(b"p"))
    written_once = encode(Credential(credential_type=CredentialType.DEVICE, credential_value=value), V1_1)

    assert value == decode(Credential, written_once, V1_1).credential_value
    assert isinstance(decode(Credential, written_once, V1_0).credential_value, OtherCredential)


def test_a_credential_of_another_type_cannot_be_written() -> None:
    """A user name is no device."""
    mixed = Credential(credential_type=CredentialType.DEVICE, credential_value=UsernameAndPassword(username="u"))

    with pytest.raises(Unexpected):
        encode(mixed, V1_4)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("42003f0800000004 0102030400000000", TransparentSymmetricKey),
        ("42005e0400000008 0000000000000007 4200710400000008 0000000000000007", TransparentKey),
        ("", TransparentKey),
    ],
)
def test_transparent_keys_are_kept_as_they_came(content: str, kind: type) -> None:
    """A symmetric key is read; the others are kept whole, to be given back as they came."""
    material = bytes.fromhex(content)
    inner = b"\x42\x00\x43\x01" + len(material).to_bytes(4, "big") + material
    frame = b"\x42\x00\x45\x01" + len(inner).to_bytes(4, "big") + inner

    value = decode(KeyValue, frame, V1_4)

    assert kind is type(value.key_material)
    assert frame == encode(value, V1_4)


def test_a_spoiled_transparent_key_is_refused() -> None:
    """What is kept whole is TTLV all the same."""
    frame = bytes.fromhex("4200450100000018 4200430100000010 42005e04000000ff 0000000000000007")

    with pytest.raises(Malformed):
        decode(KeyValue, frame, V1_4)
