"""Trees: names, secrets and the edges of what can be shown."""

import pytest

from keyrack.spec.enumerations import CryptographicAlgorithm, CryptographicUsageMask, KeyFormatType
from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.wire.errors import Malformed, Unexpected, WireError
from keyrack.wire.names import xml_flags, xml_name, xml_words
from keyrack.wire.tree import Node, build, moment, parse, to_text
from keyrack.wire.tree_xml import from_xml, to_xml

NAMES = {
    "3DES": "DES3",
    "X.509": "X_509",
    "PKCS#12": "PKCS_12",
    "SHA-256": "SHA_256",
    "HMAC-SHA1": "HMACSHA1",
    "Key Format Type": "KeyFormatType",
    "MAC/Signature Key Information": "MACSignatureKeyInformation",
    "Template-Attribute": "TemplateAttribute",
    "Date-Time": "DateTime",
}


@pytest.mark.parametrize(("title", "name"), NAMES.items())
def test_names_are_those_of_the_profile(title: str, name: str) -> None:
    """KMIP Profiles 1.4, 5.4.1.1."""
    assert name == xml_name(title)


def test_names_in_xml_are_distinct() -> None:
    """A tag, a word and a flag can be found by its name again."""
    assert len(Tag) == len({xml_name(tag.title) for tag in Tag})
    assert len(CryptographicAlgorithm) == len(xml_words(CryptographicAlgorithm))
    assert len(KeyFormatType) == len(xml_words(KeyFormatType))
    assert len(CryptographicUsageMask) == len(xml_flags(CryptographicUsageMask))


SHOWN = {
    "Cryptographic Algorithm: Enumeration 0x00000003 AES": Node(Tag.CRYPTOGRAPHIC_ALGORITHM, ItemType.ENUMERATION, 3),
    "Object Type: Enumeration 0x80000001": Node(Tag.OBJECT_TYPE, ItemType.ENUMERATION, 0x80000001),
    "0x540001: Integer -1": Node(0x540001, ItemType.INTEGER, -1),
    "Cryptographic Usage Mask: Integer 0x0000000C Encrypt Decrypt": Node(
        Tag.CRYPTOGRAPHIC_USAGE_MASK, ItemType.INTEGER, 12
    ),
    "Fresh: Boolean True": Node(Tag.FRESH, ItemType.BOOLEAN, True),
    "Initial Date: Date-Time 0 1970-01-01T00:00:00+00:00": Node(Tag.INITIAL_DATE, ItemType.DATE_TIME, 0),
    "Initial Date: Date-Time 9223372036854775807": Node(Tag.INITIAL_DATE, ItemType.DATE_TIME, (1 << 63) - 1),
    "Username: Text String 'a\\nb'": Node(Tag.USERNAME, ItemType.TEXT_STRING, "a\nb"),
    "Nonce Value: Byte String 00ff": Node(Tag.NONCE_VALUE, ItemType.BYTE_STRING, b"\x00\xff"),
    "Nonce Value: Byte String (empty)": Node(Tag.NONCE_VALUE, ItemType.BYTE_STRING, b""),
    "Password: Text String <6 bytes>": Node(Tag.PASSWORD, ItemType.TEXT_STRING, "secret"),
    "Key Material: Byte String <3 bytes>": Node(Tag.KEY_MATERIAL, ItemType.BYTE_STRING, b"abc"),
    "Key Material: Structure <16 bytes>": Node(
        Tag.KEY_MATERIAL, ItemType.STRUCTURE, (Node(Tag.KEY, ItemType.BYTE_STRING, b"abc"),)
    ),
    "Key Value: Byte String <3 bytes>": Node(Tag.KEY_VALUE, ItemType.BYTE_STRING, b"abc"),
    "Opaque Data Value: Byte String <3 bytes>": Node(Tag.OPAQUE_DATA_VALUE, ItemType.BYTE_STRING, b"abc"),
}


@pytest.mark.parametrize(("line", "node"), SHOWN.items(), ids=list(SHOWN))
def test_an_item_is_a_line(line: str, node: Node) -> None:
    """Names where the standard has them, numbers where not, and lengths where it is secret."""
    assert line + "\n" == to_text(node)


def test_an_attribute_value_is_shown_by_its_name() -> None:
    """The Attribute Name says what the number means."""
    name = Node(Tag.ATTRIBUTE_NAME, ItemType.TEXT_STRING, "Cryptographic Algorithm")
    value = Node(Tag.ATTRIBUTE_VALUE, ItemType.ENUMERATION, 3)

    assert "Attribute Value: Enumeration 0x00000003 AES" in to_text(
        Node(Tag.ATTRIBUTE, ItemType.STRUCTURE, (name, value))
    )


def test_xml_hides_secrets_and_then_has_no_way_back() -> None:
    """Without being asked, XML holds no password."""
    xml = to_xml(Node(Tag.PASSWORD, ItemType.TEXT_STRING, "secret"))

    assert "secret" not in xml
    with pytest.raises(Malformed):
        from_xml(xml)


def test_a_repr_shows_no_value() -> None:
    """A node in a traceback or a log is a name."""
    assert "<Password (Text String)>" == repr(Node(Tag.PASSWORD, ItemType.TEXT_STRING, "secret"))


@pytest.mark.parametrize("depth", [16, 17, 5000])
def test_depth_is_bounded(depth: int) -> None:
    """A tree has at most sixteen structures in each other."""
    data = b""
    for _ in range(depth):
        data = b"\x42\x00\x0f\x01" + len(data).to_bytes(4, "big") + data

    deep = depth > 16
    try:
        parse(data)
    except Malformed:
        assert deep
    else:
        assert not deep


BAD = {
    "nothing": "",
    "half a header": "42002a02",
    "an unknown type": "42002a0b00000000",
    "an Integer of 8 bytes": "42002a0200000008 0000000000000000",
    "too long": "42002a0700000009 0000000000000000",
    "two items": "42002a0700000000 42002a0700000000",
    "a structure of 4 bytes": "42002a0100000004 0000000000000000",
    "padding": "42002a0700000001 6100000000000001",
    "not UTF-8": "42002a0700000001 ff00000000000000",
    "Boolean 2": "4200a80600000008 0000000000000002",
    "Big Integer of 4 bytes": "4200520400000004 0000000000000000",
    "empty Big Integer": "4200520400000000",
}


@pytest.mark.parametrize("data", BAD.values(), ids=list(BAD))
def test_what_is_no_ttlv_is_no_tree(data: str) -> None:
    """The tree is as strict about form as the codec."""
    with pytest.raises(Malformed):
        parse(bytes.fromhex(data))


def test_a_value_of_another_type_cannot_be_built() -> None:
    """A number is no Text String."""
    with pytest.raises(Unexpected):
        build(Node(Tag.USERNAME, ItemType.TEXT_STRING, 1))


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "<Nonsense/>",
        '<Username type="TextString"/>',
        '<Username type="Nonsense" value="x"/>',
        '<ObjectType type="Enumeration" value="Nonsense"/>',
        '<Fresh type="Boolean" value="maybe"/>',
        '<TTLV tag="x" type="Boolean" value="true"/>',
        '<Nonce type="ByteString" value="0"/>',
    ],
)
def test_xml_that_is_no_item_is_refused(xml: str) -> None:
    """Nothing but WireError comes out of text, either."""
    with pytest.raises(WireError):
        from_xml(xml)


def test_a_moment_is_in_utc() -> None:
    """Date-Times are shown as the standard means them."""
    assert "2008-03-14T11:56:40+00:00" == moment(0x47DA67F8)
