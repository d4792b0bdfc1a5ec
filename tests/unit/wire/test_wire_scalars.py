"""The ten item types: the standard's own examples (KMIP 1.4, 9.1.2), the edges of each, and how each is spoiled."""

from typing import Any, ClassVar

import pytest

from keyrack.spec.enumerations import KeyFormatType, NameType
from keyrack.spec.tags import Tag
from keyrack.spec.types import BigInteger, DateTime, Interval, LongInteger, SecretBytes, SecretText
from keyrack.spec.versions import V1_0, V1_4
from keyrack.wire.codec import decode, encode, structure
from keyrack.wire.errors import Malformed, Unexpected, WireError


@structure
class Integers:
    """One of each item type, under tags that the standard has for it."""

    TAG: ClassVar[Tag] = Tag.CUSTOM_ATTRIBUTE

    cryptographic_length: int | None = None
    usage_limits_total: LongInteger | None = None
    modulus: BigInteger | None = None
    name_type: NameType | int | None = None
    batch_order_option: bool | None = None
    username: str | None = None
    nonce_value: bytes | None = None
    time_stamp: DateTime | None = None
    lease_time: Interval | None = None
    key: SecretBytes | None = None
    password: SecretText | None = None
    attribute_name: tuple[str, ...] = ()


def item(hexadecimal: str) -> bytes:
    """A structure around one item, which is written in hexadecimal with the standard's bars and spaces."""
    content = bytes.fromhex(hexadecimal.replace("|", ""))
    return b"\x42\x00\x2d\x01" + len(content).to_bytes(4, "big") + content


EXAMPLES: dict[str, tuple[str, Any, str]] = {
    "Integer": ("cryptographic_length", 8, "42 00 2A | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00"),
    "Long Integer": ("usage_limits_total", 123456789000000000, "42 00 97 | 03 | 00 00 00 08 | 01 B6 9B 4B A5 74 92 00"),
    "Big Integer": (
        "modulus",
        1234567890000000000000000000,
        "42 00 52 | 04 | 00 00 00 10 | 00 00 00 00 03 FD 35 EB 6B C2 DF 46 18 08 00 00",
    ),
    "Enumeration": ("name_type", 255, "42 00 54 | 05 | 00 00 00 04 | 00 00 00 FF 00 00 00 00"),
    "Boolean": ("batch_order_option", True, "42 00 10 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 01"),
    "Text String": (
        "username",
        "Hello World",
        "42 00 99 | 07 | 00 00 00 0B | 48 65 6C 6C 6F 20 57 6F 72 6C 64 00 00 00 00 00",
    ),
    "Byte String": ("nonce_value", b"\x01\x02\x03", "42 00 CA | 08 | 00 00 00 03 | 01 02 03 00 00 00 00 00"),
    "Date-Time": ("time_stamp", 0x47DA67F8, "42 00 92 | 09 | 00 00 00 08 | 00 00 00 00 47 DA 67 F8"),
    "Interval": ("lease_time", 10 * 86400, "42 00 49 | 0A | 00 00 00 04 | 00 0D 2F 00 00 00 00 00"),
    "secret Byte String": ("key", bytearray(b"\x01\x02\x03"), "42 00 3F | 08 | 00 00 00 03 | 01 02 03 00 00 00 00 00"),
    "secret Text String": ("password", bytearray(b"abc"), "42 00 A1 | 07 | 00 00 00 03 | 61 62 63 00 00 00 00 00"),
    "negative Integer": ("cryptographic_length", -1, "42 00 2A | 02 | 00 00 00 04 | FF FF FF FF 00 00 00 00"),
    "negative Date-Time": ("time_stamp", -1, "42 00 92 | 09 | 00 00 00 08 | FF FF FF FF FF FF FF FF"),
    "Big Integer zero": ("modulus", 0, "42 00 52 | 04 | 00 00 00 08 | 00 00 00 00 00 00 00 00"),
    "Big Integer minus one": ("modulus", -1, "42 00 52 | 04 | 00 00 00 08 | FF FF FF FF FF FF FF FF"),
    "Big Integer of 64 bits": ("modulus", 1 << 63, "42 00 52 | 04 | 00 00 00 10 |" + "00" * 8 + "80" + "00" * 7),
    "smallest Big Integer of 8 bytes": ("modulus", -(1 << 63), "42 00 52 | 04 | 00 00 00 08 | 80" + "00" * 7),
    "Enumeration of the standard": ("name_type", NameType.URI, "42 00 54 | 05 | 00 00 00 04 | 00 00 00 02 00 00 00 00"),
    "vendor's Enumeration": ("name_type", 0x80000001, "42 00 54 | 05 | 00 00 00 04 | 80 00 00 01 00 00 00 00"),
    "False": ("batch_order_option", False, "42 00 10 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 00"),
    "empty Text String": ("username", "", "42 00 99 | 07 | 00 00 00 00"),
    "Text String of 8 bytes": ("username", "12345678", "42 00 99 | 07 | 00 00 00 08 | 31 32 33 34 35 36 37 38"),
    "UTF-8": ("username", "é", "42 00 99 | 07 | 00 00 00 02 | C3 A9 00 00 00 00 00 00"),
    "repeated": ("attribute_name", ("a", "b"), "42000A0700000001 6100000000000000 42000A0700000001 6200000000000000"),
}


@pytest.mark.parametrize(("field", "value", "text"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_item_is_read(field: str, value: Any, text: str) -> None:
    """The bytes give the value."""
    read = decode(Integers, item(text), V1_4)

    assert value == getattr(read, field)


@pytest.mark.parametrize(("field", "value", "text"), EXAMPLES.values(), ids=EXAMPLES)
def test_an_item_is_written(field: str, value: Any, text: str) -> None:
    """The value gives the bytes."""
    written = encode(Integers(**{field: value}), V1_4)

    assert item(text) == written


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("text", [text for _, _, text in EXAMPLES.values()], ids=EXAMPLES)
def test_any_buffer_is_read(text: str, buffer: Any) -> None:
    """It does not matter in which kind of buffer the bytes came."""
    assert decode(Integers, item(text), V1_4) == decode(Integers, buffer(bytearray(item(text))), V1_4)


def test_a_word_is_a_member_and_a_vendors_value_a_number() -> None:
    """Known values of an enumeration come as its members, others as plain numbers."""
    known = decode(Integers, item("42005405 00000004 0000000200000000"), V1_4).name_type
    vendor = decode(Integers, item("42005405 00000004 8000000100000000"), V1_4).name_type

    assert (NameType, int) == (type(known), type(vendor))


def test_a_secret_is_an_array_of_its_own() -> None:
    """A secret can be wiped without touching the message, and the message without touching the secret."""
    message = bytearray(item(EXAMPLES["secret Byte String"][2]))
    secret = decode(Integers, message, V1_4).key
    assert secret is not None

    message[-8:] = bytes(8)

    assert bytearray(b"\x01\x02\x03") == secret


MALFORMED = {
    "padding of an Integer": "42 00 2A | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 01",
    "padding of an Enumeration": "42 00 54 | 05 | 00 00 00 04 | 00 00 00 01 01 00 00 00",
    "padding of an Interval": "42 00 49 | 0A | 00 00 00 04 | 00 0D 2F 00 00 00 01 00",
    "padding of a Text String": "42 00 99 | 07 | 00 00 00 03 | 61 62 63 00 00 00 00 01",
    "padding of a Byte String": "42 00 CA | 08 | 00 00 00 03 | 01 02 03 01 00 00 00 00",
    "padding of a secret": "42 00 3F | 08 | 00 00 00 03 | 01 02 03 01 00 00 00 00",
    "Boolean 2": "42 00 10 | 06 | 00 00 00 08 | 00 00 00 00 00 00 00 02",
    "Boolean in the first byte": "42 00 10 | 06 | 00 00 00 08 | 01 00 00 00 00 00 00 00",
    "Big Integer without length": "42 00 52 | 04 | 00 00 00 00",
    "Big Integer of 4 bytes": "42 00 52 | 04 | 00 00 00 04 | 00 00 00 00 00 00 00 00",
    "half of a UTF-8 character": "42 00 99 | 07 | 00 00 00 01 | C3 00 00 00 00 00 00 00",
    "UTF-8 surrogate": "42 00 99 | 07 | 00 00 00 03 | ED A0 80 00 00 00 00 00",
    "item type 0": "42 00 99 | 00 | 00 00 00 00",
    "item type 11": "42 00 99 | 0B | 00 00 00 00",
    "longer than the structure": "42 00 99 | 07 | 00 00 00 09 | 61 62 63 00 00 00 00 01",
    "4 GiB long": "42 00 99 | 07 | FF FF FF FF | 61 62 63 00 00 00 00 01",
    "cut off after the header": "42 00 2A | 02 | 00 00 00 04",
    "cut off inside the header": "42 00 2A | 02",
    "one byte more": "42 00 2A | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00 | 00",
}

UNEXPECTED = {
    "Integer of 8 bytes": "42 00 2A | 02 | 00 00 00 08 | 00 00 00 00 00 00 00 08",
    "Boolean of 4 bytes": "42 00 10 | 06 | 00 00 00 04 | 00 00 00 01 00 00 00 00",
    "another type": "42 00 2A | 03 | 00 00 00 08 | 00 00 00 00 00 00 00 08",
    "another tag": "42 00 2B | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00",
    "no tag of the standard": "54 00 01 | 02 | 00 00 00 04 | 00 00 00 08 00 00 00 00",
    "repeated": "42002A02 00000004 0000000800000000 42002A02 00000004 0000000800000000",
    "in another order": "42005405 00000004 0000000100000000 42002A02 00000004 0000000800000000",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_ttlv_is_malformed(text: str) -> None:
    """Wrong lengths, types, paddings and encodings are refused as such."""
    with pytest.raises(Malformed):
        decode(Integers, item(text), V1_4)


@pytest.mark.parametrize("text", UNEXPECTED.values(), ids=UNEXPECTED)
def test_what_is_ttlv_in_the_wrong_place_is_unexpected(text: str) -> None:
    """Foreign, repeated and displaced elements are refused as such, with the version they came in."""
    with pytest.raises(Unexpected) as caught:
        decode(Integers, item(text), V1_0)

    assert V1_0 == caught.value.version


WRONG = {
    "Integer over 31 bits": {"cryptographic_length": 1 << 31},
    "Integer below": {"cryptographic_length": -(1 << 31) - 1},
    "Long Integer over 63 bits": {"usage_limits_total": 1 << 63},
    "Interval below zero": {"lease_time": -1},
    "Enumeration over 32 bits": {"name_type": 1 << 32},
    "Text String of numbers": {"username": 1},
    "surrogate": {"username": "\ud800"},
    "Byte String of text": {"nonce_value": "abc"},
    "secret of text": {"key": 1},
}


@pytest.mark.parametrize("fields", WRONG.values(), ids=WRONG)
def test_a_value_that_does_not_fit_cannot_be_written(fields: dict[str, Any]) -> None:
    """What an item type cannot hold is a WireError, not another exception and not other bytes."""
    with pytest.raises(WireError):
        encode(Integers(**fields), V1_4)


def test_errors_tell_the_place_and_never_the_value() -> None:
    """The text names the structure, the element and the byte, and nothing that was sent."""
    with pytest.raises(Unexpected) as caught:
        decode(Integers, item("42 00 94 | 07 | 00 00 00 06 | 73 65 63 72 65 74 00 00"), V1_4)

    assert str(caught.value) == ("Integers: Unique Identifier (Text String) at byte 8, where nothing more should be")


def test_a_repr_shows_no_secret() -> None:
    """Secrets are shown by their length."""
    shown = repr(Integers(key=bytearray(b"secret"), username="known"))

    assert "key=<6 bytes>" in shown
    assert "secret" not in shown
    assert "username='known'" in shown


@structure
class Old:
    """A structure whose required element is an enumeration that grew."""

    TAG: ClassVar[Tag] = Tag.CUSTOM_ATTRIBUTE

    key_format_type: KeyFormatType | int
    operation: tuple[KeyFormatType | int, ...] = ()


def test_a_newer_word_is_not_written_where_it_is_required() -> None:
    """PKCS#12 is a Key Format Type since 1.4: 1.0 cannot say it."""
    assert encode(Old(key_format_type=KeyFormatType.PKCS12), V1_4)

    with pytest.raises(Unexpected):
        encode(Old(key_format_type=KeyFormatType.PKCS12), V1_0)


def test_a_newer_word_is_left_out_where_it_may_be() -> None:
    """A list is written without what the version does not have."""
    both = Old(key_format_type=KeyFormatType.RAW, operation=(KeyFormatType.PKCS12, KeyFormatType.RAW))

    assert encode(Old(key_format_type=KeyFormatType.RAW, operation=(KeyFormatType.RAW,)), V1_0) == encode(both, V1_0)
