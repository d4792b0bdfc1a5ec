"""What Register makes, and what templates add (KMIP 1.4, 2.1.8, 3, 4.3, 11.4)."""

from collections.abc import Callable
from typing import Any

import pytest

from keyrack.domain import attributes, creation
from keyrack.domain.creation import Draft
from keyrack.domain.errors import KmipError
from keyrack.domain.objects import Form, ManagedObject
from keyrack.spec.attributes import ATTRIBUTES
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    HashingAlgorithm,
    KeyFormatType,
    NameType,
    ObjectType,
    ResultReason,
    State,
)
from keyrack.spec.structures import Digest, Name
from keyrack.spec.versions import V1_0, V1_4

Made = Callable[..., ManagedObject]

AES, DES3 = CryptographicAlgorithm.AES, CryptographicAlgorithm.THREE_DES
VCENTER = (("Cryptographic Algorithm", AES), ("Cryptographic Usage Mask", 12), ("Cryptographic Length", 256))
"""What a vCenter asks for, in its order."""
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
