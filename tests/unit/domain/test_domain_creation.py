"""What Create makes (KMIP 1.4, 3, 4.1, 11.2)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain import attributes, creation
from keyrack.domain.creation import Draft
from keyrack.domain.errors import KmipError
from keyrack.domain.objects import Form, Indexed, ManagedObject
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    HashingAlgorithm,
    KeyFormatType,
    NameType,
    ObjectType,
    ResultReason,
    RNGAlgorithm,
    State,
)
from keyrack.spec.structures import ApplicationSpecificInformation, Digest, Name, RNGParameters
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_4

Made = Callable[..., ManagedObject]

AES, DES3 = CryptographicAlgorithm.AES, CryptographicAlgorithm.THREE_DES
VCENTER = (("Cryptographic Algorithm", AES), ("Cryptographic Usage Mask", 12), ("Cryptographic Length", 256))
"""What a vCenter asks for, in its order."""
TEXT = CustomValue(ItemType.TEXT_STRING, "a")
RAW = Form(key_format_type=KeyFormatType.RAW)
BORN = 5_000


def name(value: str) -> tuple[str, Name]:
    return "Name", Name(name_value=value, name_type=NameType.UNINTERPRETED_TEXT_STRING)


def reason(call: Callable[[], object]) -> ResultReason:
    with pytest.raises(KmipError) as caught:
        call()
    return caught.value.reason


def born(draft: Draft, *, digest: bytes | None = bytes(32)) -> ManagedObject:
    return creation.new_object(
        draft, unique_identifier="8a7b1c9e-0000-4000-8000-000000000002", instance="demo", at=BORN, digest=digest
    )


def test_a_vcenters_key_is_pre_active_and_of_32_bytes() -> None:
    """Create of AES-256 without dates (KMIP 1.4, 4.1)."""
    draft = creation.create(ObjectType.SYMMETRIC_KEY, VCENTER, version=V1_1)

    assert 32 == draft.material_length
    assert (State.PRE_ACTIVE, 1, RAW) == (born(draft).state, born(draft).version, born(draft).form)


@pytest.mark.parametrize(
    ("algorithm", "length", "octets"),
    [
        (AES, 128, 16),
        (AES, 192, 24),
        (AES, 256, 32),
        (AES, None, 32),
        (DES3, 112, 16),
        (DES3, 168, 24),
        (DES3, 192, 24),
        (DES3, None, 24),
        (CryptographicAlgorithm.HMAC_SHA1, 160, 20),
        (CryptographicAlgorithm.HMAC_SHA256, 256, 32),
        (CryptographicAlgorithm.HMAC_SHA512, None, 64),
        (CryptographicAlgorithm.HMAC_SHA256, 4_096, 512),
    ],
)
def test_the_length_in_bits_says_the_bytes(algorithm: int, length: int | None, octets: int) -> None:
    """Cryptographic Length of the key, and the bytes of its material, with parity for 3DES (KMIP 1.4, 3.5)."""
    lengths = [] if length is None else [("Cryptographic Length", length)]
    draft = creation.create(
        ObjectType.SYMMETRIC_KEY,
        [("Cryptographic Algorithm", algorithm), ("Cryptographic Usage Mask", 12), *lengths],
        version=V1_0,
    )

    assert octets == draft.material_length
    assert "Cryptographic Length" in draft.attributes


@pytest.mark.parametrize(
    ("object_type", "given_", "expected"),
    [
        (ObjectType.PRIVATE_KEY, VCENTER, ResultReason.INVALID_FIELD),
        (0x80000001, VCENTER, ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, VCENTER[1:], ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (VCENTER[0], VCENTER[2]), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER[:2], ("Cryptographic Length", 100)), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER[:2], ("Cryptographic Length", -8)), ResultReason.INVALID_FIELD),
        (
            ObjectType.SYMMETRIC_KEY,
            (("Cryptographic Algorithm", CryptographicAlgorithm.RSA), *VCENTER[1:]),
            ResultReason.INVALID_FIELD,
        ),
        (ObjectType.SYMMETRIC_KEY, (("Cryptographic Algorithm", 0x80000001), *VCENTER[1:]), ResultReason.INVALID_FIELD),
        (
            ObjectType.SYMMETRIC_KEY,
            (("Cryptographic Algorithm", CryptographicAlgorithm.HMAC_SHA256), VCENTER[1], ("Cryptographic Length", 81)),
            ResultReason.INVALID_FIELD,
        ),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, VCENTER[0]), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, ("State", State.ACTIVE)), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, ("Unique Identifier", "mine")), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, ("y-server", TEXT)), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, ("Favourite Colour", "blue")), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, ("Certificate Type", 1)), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, name("k"), name("k")), ResultReason.INVALID_FIELD),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, name("taken")), ResultReason.INVALID_FIELD),
        (
            ObjectType.SYMMETRIC_KEY,
            (*VCENTER, ("Activation Date", 2), ("Deactivation Date", 1)),
            ResultReason.INVALID_FIELD,
        ),
        (
            ObjectType.SYMMETRIC_KEY,
            (*VCENTER, *((("Object Group", "g"),) * (attributes.MAX_INSTANCES + 1))),
            ResultReason.INDEX_OUT_OF_BOUNDS,
        ),
        (
            ObjectType.SYMMETRIC_KEY,
            (*VCENTER, *((f"x-{number}", TEXT) for number in range(attributes.MAX_NAMES))),
            ResultReason.INDEX_OUT_OF_BOUNDS,
        ),
        (
            ObjectType.SYMMETRIC_KEY,
            (
                *VCENTER,
                ("Application Specific Information", ApplicationSpecificInformation(application_namespace="ssl")),
            ),
            ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED,
        ),
    ],
)
def test_what_cannot_be_created_is_refused_for_its_own_reason(
    object_type: int, given_: tuple[tuple[str, Any], ...], expected: ResultReason
) -> None:
    """Object type, required, wrong, unknown, taken, too many, without data: KMIP 1.4, 11.2."""
    assert expected == reason(lambda: creation.create(object_type, given_, version=V1_4, taken=frozenset({"taken"})))


def test_a_missing_algorithm_is_named() -> None:
    """The refusal says what is missing (KMIP 1.4, 4.1)."""
    with pytest.raises(KmipError, match="the Cryptographic Algorithm is required"):
        creation.create(ObjectType.SYMMETRIC_KEY, VCENTER[1:], version=V1_4)


def test_a_servers_attribute_is_not_given_by_a_client() -> None:
    """Names beginning y- are the server's (KMIP 1.4, 3.39); the refusal does not repeat the name."""
    with pytest.raises(KmipError, match=r"the attribute y-… is kept by the server"):
        creation.create(ObjectType.SYMMETRIC_KEY, (*VCENTER, ("y-secret", TEXT)), version=V1_4)


def test_as_many_attributes_as_the_server_keeps_may_be_given() -> None:
    """The limits themselves are allowed (KMIP 1.4, 11.2)."""
    groups = (("Object Group", "g"),) * attributes.MAX_INSTANCES
    notes = tuple((f"x-{number}", TEXT) for number in range(attributes.MAX_NAMES - len(VCENTER) - 1))

    draft = creation.create(ObjectType.SYMMETRIC_KEY, (*VCENTER, *groups, *notes), version=V1_4)

    assert (attributes.MAX_NAMES, attributes.MAX_INSTANCES) == (
        len(draft.attributes),
        len(draft.attributes["Object Group"]),
    )


def test_dates_may_fall_together() -> None:
    """Not later than is not earlier than (KMIP 1.4, 3.24 to 3.27)."""
    draft = creation.create(
        ObjectType.SYMMETRIC_KEY, (*VCENTER, ("Activation Date", 7), ("Deactivation Date", 7)), version=V1_4
    )

    assert State.DEACTIVATED == born(draft).state


def test_an_algorithm_that_is_not_made_here_is_refused_with_those_that_are() -> None:
    """The refusal says what Create makes (KMIP 1.4, 11.2)."""
    with pytest.raises(KmipError, match="AES, 3DES and HMAC"):
        creation.create(
            ObjectType.SYMMETRIC_KEY,
            (("Cryptographic Algorithm", CryptographicAlgorithm.RC4), *VCENTER[1:]),
            version=V1_4,
        )


def test_an_attribute_newer_than_the_version_is_not_given() -> None:
    """A 1.1 client has no Description to give (KMIP 1.4, 3.46)."""
    wanted = (*VCENTER, ("Description", "text"))

    assert ResultReason.INVALID_FIELD == reason(lambda: creation.create(ObjectType.SYMMETRIC_KEY, wanted, version=V1_1))


def test_instances_are_numbered_in_the_order_given() -> None:
    """The server gives the indices (KMIP 1.4, 2.1.1)."""
    draft = creation.create(
        ObjectType.SYMMETRIC_KEY, (*VCENTER, ("Object Group", "b"), ("Object Group", "a")), version=V1_4
    )

    assert (Indexed(0, "b"), Indexed(1, "a")) == draft.attributes["Object Group"]


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ((), State.PRE_ACTIVE),
        ((("Activation Date", BORN + 1),), State.PRE_ACTIVE),
        ((("Activation Date", BORN),), State.ACTIVE),
        ((("Activation Date", 1), ("Deactivation Date", 2)), State.DEACTIVATED),
    ],
)
def test_a_new_object_is_in_the_state_that_its_dates_say(dates: tuple[tuple[str, int], ...], expected: State) -> None:
    """An Activation Date now or in the past makes the object Active (KMIP 1.4, 3.22)."""
    draft = creation.create(ObjectType.SYMMETRIC_KEY, (*VCENTER, *dates), version=V1_4)

    assert expected == born(draft).state


def test_the_server_adds_what_it_keeps() -> None:
    """Dates, digest, lease, freshness and the rest, beside what the client gave (KMIP 1.4, 3)."""
    key = born(creation.create(ObjectType.SYMMETRIC_KEY, (*VCENTER, ("x-Note", TEXT)), version=V1_1))

    assert {
        "Cryptographic Algorithm": AES,
        "Cryptographic Usage Mask": 12,
        "Cryptographic Length": 256,
        "x-Note": TEXT,
        "Initial Date": BORN,
        "Last Change Date": BORN,
        "Lease Time": 3_600,
        "Fresh": True,
        "Original Creation Date": BORN,
        "Random Number Generator": RNGParameters(rng_algorithm=RNGAlgorithm.UNSPECIFIED),
        "Digest": Digest(
            hashing_algorithm=HashingAlgorithm.SHA_256, digest_value=bytes(32), key_format_type=KeyFormatType.RAW
        ),
        "Sensitive": False,
        "Always Sensitive": False,
        "Extractable": True,
        "Never Extractable": False,
    } == {title: instances[0].value for title, instances in key.attributes.items()}


def test_what_is_sensitive_from_birth_is_always_sensitive() -> None:
    """And what was never extractable, never (KMIP 1.4, 3.49 and 3.51)."""
    key = born(
        creation.create(ObjectType.SYMMETRIC_KEY, (*VCENTER, ("Sensitive", True), ("Extractable", False)), version=V1_4)
    )

    assert (True, True) == (key.value("Always Sensitive"), key.value("Never Extractable"))


@given(material=st.binary(max_size=24))
def test_parity_makes_each_byte_odd_and_changes_nothing_else(material: bytes) -> None:
    """DES keys have an odd number of ones in each byte (FIPS 46-3)."""
    parity = bytearray(material)

    creation.set_parity(parity)

    assert all(octet.bit_count() % 2 == 1 for octet in parity)
    assert [octet >> 1 for octet in material] == [octet >> 1 for octet in parity]
