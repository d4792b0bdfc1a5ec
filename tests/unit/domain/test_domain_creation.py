"""What Create and Register make (KMIP 1.4, 2.1.8, 3, 4.1, 4.3, 11.2, 11.4)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain import attributes, creation
from keyrack.domain.creation import Draft
from keyrack.domain.errors import KmipError
from keyrack.domain.objects import Form, Indexed, ManagedObject
from keyrack.spec.attributes import ATTRIBUTES
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
OWN = {"Cryptographic Algorithm": AES, "Cryptographic Length": 256}
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


def registered(object_type: int, *given: tuple[str, Any], **more: Any) -> Draft:
    usual: dict[str, Any] = {"version": V1_4, "form": RAW, "own": {}}
    return creation.register(object_type, given, **usual | more)


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


@pytest.mark.parametrize("object_type", [ObjectType.SYMMETRIC_KEY, ObjectType.PUBLIC_KEY, ObjectType.PRIVATE_KEY])
@pytest.mark.parametrize("missing", ["Cryptographic Algorithm", "Cryptographic Length", "Cryptographic Usage Mask"])
def test_a_registered_key_needs_algorithm_length_and_mask(object_type: ObjectType, missing: str) -> None:
    """In the Template-Attribute or, but for the mask, in the Key Block (KMIP 1.4, 4.3)."""
    given_ = [pair for pair in VCENTER if pair[0] != missing]

    assert ResultReason.INVALID_FIELD == reason(lambda: registered(object_type, *given_))


def test_a_key_block_may_say_algorithm_and_length() -> None:
    """They are attributes of the object then (KMIP 1.4, 4.3)."""
    key = born(registered(ObjectType.SYMMETRIC_KEY, VCENTER[1], own=OWN, material_length=32))

    assert (AES, 256, True) == (
        key.value("Cryptographic Algorithm"),
        key.value("Cryptographic Length"),
        key.value("Key Value Present"),
    )


@pytest.mark.parametrize(
    ("object_type", "given_", "more"),
    [
        (ObjectType.SPLIT_KEY, VCENTER, {}),
        (ObjectType.PGP_KEY, VCENTER, {}),
        (0x80000001, VCENTER, {}),
        (0x80000001, (), {}),
        (ObjectType.SYMMETRIC_KEY, VCENTER, {"own": OWN | {"Cryptographic Length": 128}}),
        (ObjectType.SYMMETRIC_KEY, VCENTER, {"material_length": 16}),
        (
            ObjectType.SYMMETRIC_KEY,
            (("Cryptographic Algorithm", DES3), *VCENTER[1:2], ("Cryptographic Length", 168)),
            {"material_length": 21},
        ),
        (ObjectType.CERTIFICATE, (("Certificate Length", 7),), {"own": {"Certificate Length": 800}}),
        (ObjectType.OPAQUE_OBJECT, (("Activation Date", 1),), {}),
        (ObjectType.PUBLIC_KEY, (*VCENTER[:2], ("Cryptographic Length", 0)), {}),
        (ObjectType.SECRET_DATA, (("Cryptographic Length", 8),), {}),
        (ObjectType.SECRET_DATA, (("Digest", None),), {}),
        (ObjectType.SYMMETRIC_KEY, (*VCENTER, name("taken")), {"taken": {"taken"}}),
    ],
)
def test_what_cannot_be_registered_is_an_invalid_field(object_type: int, given_: Any, more: dict[str, Any]) -> None:
    """Unknown type, contradictions, attributes of other types, a taken name: KMIP 1.4, 11.4."""
    assert ResultReason.INVALID_FIELD == reason(lambda: registered(object_type, *given_, **more))


@pytest.mark.parametrize(
    ("algorithm", "length", "octets"),
    [
        (DES3, 168, 24),
        (DES3, 112, 16),
        (CryptographicAlgorithm.HMAC_SHA256, 72, 9),
        (CryptographicAlgorithm.RC4, 40, 9),
    ],
)
def test_material_is_as_long_as_it_says_where_that_is_known(algorithm: int, length: int, octets: int) -> None:
    """With parity for 3DES; of other algorithms the server does not judge (KMIP 1.4, 3.5)."""
    given_ = (("Cryptographic Algorithm", algorithm), ("Cryptographic Length", length), VCENTER[1])

    assert (
        length
        == registered(ObjectType.SYMMETRIC_KEY, *given_, material_length=octets)
        .attributes["Cryptographic Length"][0]
        .value
    )


def test_secret_data_may_come_without_any_attribute() -> None:
    """As storage arrays register it; what nobody says is allowed, is not (KMIP 1.4, 3.19)."""
    secret = born(registered(ObjectType.SECRET_DATA))

    assert (0, State.PRE_ACTIVE) == (secret.value("Cryptographic Usage Mask"), secret.state)


def test_what_a_key_block_of_secret_data_says_is_not_its_attribute() -> None:
    """Cryptographic Algorithm and Length are attributes of keys and certificates (KMIP 1.4, 3.4 and 3.5)."""
    assert "Cryptographic Length" not in registered(ObjectType.SECRET_DATA, own=OWN).attributes


def test_an_opaque_object_has_digest_and_dates_but_no_lease() -> None:
    """It is no cryptographic object (KMIP 1.4, 2.2.8 and 3)."""
    opaque = born(registered(ObjectType.OPAQUE_OBJECT, name("blob"), form=Form(subtype=0x80000001)))

    assert opaque.value("Digest") == Digest(hashing_algorithm=HashingAlgorithm.SHA_256, digest_value=bytes(32))
    assert (None, None, None) == tuple(
        opaque.value(title) for title in ("Lease Time", "Fresh", "Cryptographic Usage Mask")
    )


def test_a_wrapped_key_has_no_digest() -> None:
    """The server does not see its material (KMIP 1.4, 3.17)."""
    assert None is born(registered(ObjectType.SYMMETRIC_KEY, *VCENTER), digest=None).value("Digest")


def test_a_certificates_own_attributes_are_kept() -> None:
    """What the server has read from the certificate (KMIP 1.4, 3.8 and 3.9)."""
    own = {"Certificate Type": 1, "Certificate Length": 800, "Digital Signature Algorithm": None}

    certificate = born(registered(ObjectType.CERTIFICATE, ("Certificate Length", 800), own=own, form=Form(subtype=1)))

    assert (1, 800, None) == tuple(certificate.value(title) for title in own)


def test_a_registered_object_keeps_the_creation_date_that_the_client_knows() -> None:
    """Original Creation Date is the client's where the client made the object (KMIP 1.4, 3.43)."""
    key = born(registered(ObjectType.SYMMETRIC_KEY, *VCENTER, ("Original Creation Date", 7)))

    assert 7 == key.value("Original Creation Date")


def test_a_template_comes_first_and_its_own_name_stays_with_it(made: Made) -> None:
    """Instances of the template, then those given; a single value is the client's own (KMIP 1.4, 2.1.8)."""
    template = made(
        {"Name": [name("t")[1]], "x-ID": ["from template"], "Contact Information": "Joe", "Object Group": "g"},
        object_type=ObjectType.TEMPLATE,
    )

    given_ = creation.with_templates(
        [("x-ID", "own"), ("Contact Information", "Ann"), ("Object Group", "h"), name("k")], [template]
    )

    assert ["from template", "own"] == [value for title, value in given_ if title == "x-ID"]
    assert ["Ann"] == [value for title, value in given_ if title == "Contact Information"]
    assert ["g", "h"] == [value for title, value in given_ if title == "Object Group"]
    assert [name("k")] == [pair for pair in given_ if pair[0] == "Name"]
    assert not {"Initial Date", "Last Change Date"} & {title for title, _ in given_}


def test_the_first_template_wins_where_two_give_a_single_value(made: Made) -> None:
    """One value for an attribute of one instance (KMIP 1.4, 2.1.8)."""
    templates = [made({"Contact Information": who}, object_type=ObjectType.TEMPLATE) for who in ("Joe", "Ann")]

    given_ = creation.with_templates([], templates)

    assert ["Joe"] == [value for title, value in given_ if title == "Contact Information"]


def test_a_template_can_be_registered_and_used() -> None:
    """What a template holds makes a key with what is given besides (KMIP 1.4, 2.2.6)."""
    template = born(registered(ObjectType.TEMPLATE, *VCENTER[:2], name("t"), form=Form()), digest=None)

    draft = creation.create(
        ObjectType.SYMMETRIC_KEY,
        creation.with_templates([("Cryptographic Length", 128), name("k")], [template]),
        version=V1_0,
    )

    assert (16, AES) == (draft.material_length, draft.attributes["Cryptographic Algorithm"][0].value)


@given(material=st.binary(max_size=24))
def test_parity_makes_each_byte_odd_and_changes_nothing_else(material: bytes) -> None:
    """DES keys have an odd number of ones in each byte (FIPS 46-3)."""
    parity = bytearray(material)

    creation.set_parity(parity)

    assert all(octet.bit_count() % 2 == 1 for octet in parity)
    assert [octet >> 1 for octet in material] == [octet >> 1 for octet in parity]


@pytest.mark.parametrize("object_type", sorted(creation.REGISTRABLE))
def test_every_attribute_that_always_has_a_value_has_one(object_type: ObjectType) -> None:
    """ "SHALL always have a value" in the tables of KMIP 1.4, 3, but for what only a certificate's parser knows."""
    own = OWN if object_type in creation.KEYS else {}
    given_ = (("Cryptographic Usage Mask", 12),) if object_type in creation.KEYS else ()
    managed = born(registered(object_type, *given_, own=own))
    owed = {
        title
        for title, word in ATTRIBUTES.items()
        if word.always and object_type in word.applies_to and "Certificate" not in title
    }
    parsed = {"Digital Signature Algorithm", "Cryptographic Algorithm", "Cryptographic Length"}
    if object_type in (ObjectType.CERTIFICATE, ObjectType.TEMPLATE):
        owed -= parsed | {"Cryptographic Usage Mask"}

    assert set() == owed - set(attributes.names(managed, V1_4))
