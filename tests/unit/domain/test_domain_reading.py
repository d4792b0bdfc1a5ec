"""What a client sees of an object's attributes, and whose a Name is (KMIP 1.4, 3, 4.12, 4.13, 11.13)."""

from collections.abc import Callable
from typing import Any

import pytest

from keyrack.domain import attributes
from keyrack.domain.errors import KmipError
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.spec.attributes import ATTRIBUTES
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    DigitalSignatureAlgorithm,
    LinkType,
    NameType,
    ObjectType,
    ResultReason,
    State,
)
from keyrack.spec.structures import CryptographicParameters, Link, Name
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_2, V1_4

Made = Callable[..., ManagedObject]

NOW = 5_000
TEXT = CustomValue(ItemType.TEXT_STRING, "VMware vSphere")
SIGNED = CryptographicParameters(
    digital_signature_algorithm=DigitalSignatureAlgorithm.SHA_256_WITH_RSA_ENCRYPTION_PKCS1_V1_5
)


def name(value: str) -> Name:
    return Name(name_value=value, name_type=NameType.UNINTERPRETED_TEXT_STRING)


def test_unique_identifier_object_type_and_state_are_attributes(made: Made) -> None:
    """The object's own fields are read like any attribute (KMIP 1.4, 3.1, 3.3, 3.22)."""
    key = made()

    shown = attributes.visible(key, ["State", "Unique Identifier", "Object Type"], V1_0)

    assert [
        ("State", State.PRE_ACTIVE),
        ("Unique Identifier", key.unique_identifier),
        ("Object Type", ObjectType.SYMMETRIC_KEY),
    ] == [(title, instance.value) for title, instance in shown]


def test_an_attribute_that_is_not_there_is_left_out(made: Made) -> None:
    """Asking for it is no mistake: a vCenter does it before it adds one (KMIP 1.4, 4.12)."""
    assert () == attributes.visible(made(), ["x-Product"], V1_1)


def test_every_instance_is_shown(made: Made) -> None:
    """All values of an attribute, in the order of their indices (KMIP 1.4, 4.12)."""
    shown = attributes.visible(made({"Object Group": ["a", "b"]}), ["Object Group"], V1_4)

    assert (("Object Group", Indexed(0, "a")), ("Object Group", Indexed(1, "b"))) == shown


def test_the_same_name_twice_is_an_invalid_message(made: Made) -> None:
    """KMIP 1.4, 11.13; in 1.0 it counts once."""
    with pytest.raises(KmipError) as caught:
        attributes.visible(made(), ["Object Type", "Object Type"], V1_1)

    assert ResultReason.INVALID_MESSAGE == caught.value.reason
    assert 1 == len(attributes.visible(made(), ["Object Type", "Object Type"], V1_0))


def test_an_opaque_object_has_no_state_to_show(made: Made) -> None:
    """State is for cryptographic objects (KMIP 1.4, 3.22)."""
    opaque = made(object_type=ObjectType.OPAQUE_OBJECT)

    assert "State" not in attributes.names(opaque, V1_4)
    assert () == attributes.visible(opaque, ["State"], V1_4)


@pytest.mark.parametrize("version", [V1_0, V1_1, V1_2, V1_4])
def test_nothing_newer_than_the_version_is_seen(made: Made, version: Any) -> None:
    """An attribute of a later version does not exist for this client (KMIP 1.4, 3)."""
    key = made({"Fresh": True, "Original Creation Date": 1, "Sensitive": False, "x-Note": TEXT})

    seen = attributes.names(key, version)

    assert "x-Note" in seen
    assert all(ATTRIBUTES[title].since <= version for title in seen if title in ATTRIBUTES)
    assert (version >= V1_1) == ("Fresh" in seen)
    assert set(seen) == {title for title, _ in attributes.visible(key, None, version)}


def test_the_first_instance_is_shown_without_an_index() -> None:
    """0 is what a missing Attribute Index means (KMIP 1.4, 2.1.1)."""
    assert [None, 1, 2] == [attributes.shown_index(index) for index in range(3)]


def test_a_key_that_was_got_is_no_longer_fresh(made: Made) -> None:
    """Get takes the freshness, once, and is no change of the Last Change Date (KMIP 1.4, 3.34 and 3.38)."""
    released = attributes.released(made({"Fresh": True}), at=NOW)

    assert (False, 1_000, 2) == (released.value("Fresh"), released.value("Last Change Date"), released.version)
    assert released is attributes.released(released, at=NOW)


def test_the_names_that_a_template_asks_for_are_found() -> None:
    """What has to be looked up before an object can be made."""
    assert ("a", "b") == attributes.name_values([("Name", name("a")), ("x-Name", TEXT), ("Name", name("b"))])


def test_a_destroyed_object_has_given_up_its_names(made: Made) -> None:
    """The successor may take the name; a living object keeps it (KMIP 1.4, 3.2)."""
    key = made({"Name": [name("k")]})

    assert [True, False] == [
        attributes.bears_name(each, "k") for each in (key, key.changed(state=State.DESTROYED_COMPROMISED))
    ]
    assert not attributes.bears_name(key, "other")


def test_a_value_without_words_in_the_version_is_left_out(made: Made) -> None:
    """A key of ChaCha20 has no algorithm that a 1.1 client could be told (KMIP 1.4, 9.1.3.2.13)."""
    key = made({"Cryptographic Algorithm": CryptographicAlgorithm.CHACHA20, "Cryptographic Parameters": [SIGNED]})

    assert [0, 1] == [len(attributes.visible(key, ["Cryptographic Algorithm"], version)) for version in (V1_1, V1_4)]
    assert 1 == len(attributes.visible(key, ["Cryptographic Parameters"], V1_0))


def test_a_link_of_a_later_kind_is_left_out_whole(made: Made) -> None:
    """A Link without its type would not be one (KMIP 1.4, 9.1.3.2.20)."""
    key = made({"Link": [Link(link_type=LinkType.PARENT_LINK, linked_object_identifier="other")]})

    assert [0, 1] == [len(attributes.visible(key, ["Link"], version)) for version in (V1_1, V1_2)]
