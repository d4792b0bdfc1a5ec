"""What Locate finds, also against a plain model of the standard's sentences (KMIP 1.4, 4.9 and 11.10)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain import search
from keyrack.domain.errors import InvalidField
from keyrack.domain.objects import ManagedObject
from keyrack.domain.search import Narrowing
from keyrack.spec.enumerations import (
    BlockCipherMode,
    CryptographicAlgorithm,
    LinkType,
    NameType,
    ObjectGroupMember,
    ObjectType,
    PaddingMethod,
    State,
    StorageStatusMask,
)
from keyrack.spec.structures import CryptographicParameters, Link, Name, X509CertificateSubject
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_4

Made = Callable[..., ManagedObject]

NOW = 5_000
UID = "8a7b1c9e-0000-4000-8000-000000000001"
NAME = Name(name_value="k", name_type=NameType.UNINTERPRETED_TEXT_STRING)
CBC = CryptographicParameters(block_cipher_mode=BlockCipherMode.CBC)
CBC_PADDED = CryptographicParameters(block_cipher_mode=BlockCipherMode.CBC, padding_method=PaddingMethod.PKCS5)
LINK = Link(link_type=LinkType.PUBLIC_KEY_LINK, linked_object_identifier="other")


def text(value: str) -> CustomValue:
    return CustomValue(ItemType.TEXT_STRING, value)


def date(value: int) -> CustomValue:
    return CustomValue(ItemType.DATE_TIME, value)


def subject(*names: bytes) -> X509CertificateSubject:
    return X509CertificateSubject(subject_distinguished_name=b"dn", subject_alternative_name=names)


def found(managed: ManagedObject, *filters: tuple[str, Any], **more: Any) -> bool:
    return search.matches(managed, filters, version=more.pop("version", V1_4), now=NOW, **more)


HELD: dict[str, Any] = {
    "Name": [NAME],
    "Object Group": ["a", "b"],
    "Cryptographic Parameters": [CBC_PADDED],
    "Link": [LINK],
    "x-Product": text("VMware vSphere"),
    "x-When": date(3_000),
    "Fresh": True,
}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], True),
        ([("Unique Identifier", UID)], True),
        ([("Unique Identifier", UID.upper())], False),
        ([("Object Type", ObjectType.SYMMETRIC_KEY)], True),
        ([("Object Type", ObjectType.TEMPLATE)], False),
        ([("State", State.PRE_ACTIVE)], True),
        ([("State", State.ACTIVE)], False),
        ([("Name", NAME)], True),
        ([("Name", Name(name_value="k", name_type=NameType.URI))], False),
        ([("Object Group", "b")], True),
        ([("Object Group", "a"), ("Object Group", "b")], True),
        ([("Object Group", "a"), ("Object Group", "c")], False),
        ([("Cryptographic Parameters", CBC)], True),
        ([("Cryptographic Parameters", CryptographicParameters(block_cipher_mode=BlockCipherMode.GCM))], False),
        ([("Link", LINK)], True),
        ([("x-Product", text("VMware vSphere"))], True),
        ([("x-Product", text("vmware vsphere"))], False),
        ([("x-Product", CustomValue(ItemType.BYTE_STRING, b"VMware vSphere"))], False),
        ([("x-Nothing", text(""))], False),
        ([("Contact Information", "Joe")], False),
        ([("Name", NAME), ("Cryptographic Algorithm", CryptographicAlgorithm.THREE_DES)], False),
        ([("Cryptographic Usage Mask", 4)], True),
        ([("Cryptographic Usage Mask", 12)], True),
        ([("Cryptographic Usage Mask", 20)], False),
        ([("Cryptographic Usage Mask", 0)], True),
        ([("Initial Date", 1_000)], True),
        ([("Initial Date", 999)], False),
        ([("Initial Date", 1_000), ("Initial Date", 2_000)], True),
        ([("Initial Date", 2_000), ("Initial Date", 1_000)], True),
        ([("Initial Date", 500), ("Initial Date", 999)], False),
        ([("Destroy Date", 500), ("Destroy Date", 999)], False),
        ([("x-When", date(2_000)), ("x-When", date(3_000))], True),
        ([("x-When", date(3_001))], False),
    ],
)
def test_an_object_is_found_when_every_filter_matches(
    made: Made, filters: list[tuple[str, Any]], expected: bool
) -> None:
    """Equal, part of a structure, all bits of a mask, one date or a range of two (KMIP 1.4, 4.9)."""
    assert expected == found(made(HELD), *filters)


def test_every_repeated_field_of_a_structure_must_be_there(made: Made) -> None:
    """A structure matches by the fields that are asked for (KMIP 1.4, 4.9)."""
    certificate = made({"X.509 Certificate Subject": subject(b"one", b"two")}, object_type=ObjectType.CERTIFICATE)

    assert [True, True, True, False] == [
        found(certificate, ("X.509 Certificate Subject", subject(*names)))
        for names in ((), (b"two",), (b"two", b"one"), (b"one", b"three"))
    ]


def test_a_value_of_another_structure_does_not_match(made: Made) -> None:
    """A Link is no Name, whatever the filter says."""
    assert not found(made(HELD), ("Name", LINK))


@pytest.mark.parametrize("title", ["Favourite Colour", "", "X-Product"])
def test_an_attribute_that_does_not_exist_is_an_invalid_field(title: str) -> None:
    """KMIP 1.4, 11.10."""
    with pytest.raises(InvalidField):
        search.matcher([(title, "blue")], version=V1_4, now=NOW)


def test_an_attribute_newer_than_the_version_does_not_exist() -> None:
    """Fresh is of 1.1: Invalid Field for a 1.0 client (KMIP 1.4, 3.34 and 11.10)."""
    search.matcher([("Fresh", True)], version=V1_1, now=NOW)
    with pytest.raises(InvalidField):
        search.matcher([("Fresh", True)], version=V1_0, now=NOW)


def test_three_dates_are_neither_a_moment_nor_a_range() -> None:
    """One is exact, two are a range (KMIP 1.4, 4.9)."""
    with pytest.raises(InvalidField):
        search.matcher([("Initial Date", day) for day in range(3)], version=V1_4, now=NOW)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, True),
        (StorageStatusMask.ON_LINE_STORAGE, True),
        (StorageStatusMask.ARCHIVAL_STORAGE, False),
        (StorageStatusMask.ON_LINE_STORAGE | StorageStatusMask.ARCHIVAL_STORAGE, True),
    ],
)
def test_everything_is_on_line(made: Made, mask: StorageStatusMask | None, expected: bool) -> None:
    """A search of the archive alone finds nothing (KMIP 1.4, 4.9)."""
    assert expected == found(made(), storage_status_mask=mask)


@pytest.mark.parametrize(
    ("held", "member", "expected"),
    [
        ({"Object Group": "g", "Fresh": True}, ObjectGroupMember.GROUP_MEMBER_FRESH, True),
        ({"Object Group": "g", "Fresh": False}, ObjectGroupMember.GROUP_MEMBER_FRESH, False),
        ({"Fresh": True}, ObjectGroupMember.GROUP_MEMBER_FRESH, False),
        ({"Object Group": "g", "Fresh": False}, ObjectGroupMember.GROUP_MEMBER_DEFAULT, True),
        ({"Fresh": True}, ObjectGroupMember.GROUP_MEMBER_DEFAULT, False),
    ],
)
def test_group_members_are_of_a_group_and_perhaps_fresh(
    made: Made, held: dict[str, Any], member: ObjectGroupMember, expected: bool
) -> None:
    """Object Group Member (KMIP 1.4, 4.9)."""
    assert expected == found(made(held), object_group_member=member)


def test_an_unknown_kind_of_group_member_is_an_invalid_field(made: Made) -> None:
    """The enumeration has two values (KMIP 1.4, 9.1.3.2.33)."""
    with pytest.raises(InvalidField):
        found(made(), object_group_member=9)


def test_the_state_of_now_is_the_one_that_is_found(made: Made) -> None:
    """The Activation Date has come, whatever was last stored (KMIP 1.4, 3.22)."""
    key = made({"Activation Date": NOW})

    assert [True, False] == [found(key, ("State", state)) for state in (State.ACTIVE, State.PRE_ACTIVE)]


def test_an_opaque_object_is_not_found_by_a_state(made: Made) -> None:
    """It has none (KMIP 1.4, 3.22)."""
    assert not found(made(object_type=ObjectType.OPAQUE_OBJECT), ("State", State.PRE_ACTIVE))


def test_a_destroyed_object_is_found_by_its_state_or_its_end_only(made: Made) -> None:
    """As the profiles' own cases want it: not even by its Unique Identifier (KMIP profiles, SKFF-M-8)."""
    gone = made({"Name": [NAME], "Destroy Date": 2_000}, state=State.DESTROYED)

    assert [False, False, False, True, True] == [
        found(gone),
        found(gone, ("Unique Identifier", UID)),
        found(gone, ("Name", NAME)),
        found(gone, ("Name", NAME), ("State", State.DESTROYED)),
        found(gone, ("Destroy Date", 1_000), ("Destroy Date", 3_000)),
    ]


def test_the_catalog_narrows_by_what_is_exact() -> None:
    """Type, lasting State and exact values; dates, masks and parts of structures are for the matcher alone."""
    filters = [
        ("Object Type", ObjectType.SYMMETRIC_KEY),
        ("State", State.COMPROMISED),
        ("Name", NAME),
        ("x-Product", text("v")),
        ("Cryptographic Parameters", CBC),
        ("Cryptographic Usage Mask", 4),
        ("Initial Date", 1_000),
        ("x-When", date(1)),
    ]

    assert Narrowing(
        object_type=ObjectType.SYMMETRIC_KEY,
        state=State.COMPROMISED,
        equal=(("Name", NAME), ("x-Product", text("v"))),
    ) == search.candidates(filters)


@pytest.mark.parametrize("state", [State.ACTIVE, State.DEACTIVATED])
def test_a_state_that_time_brings_is_not_looked_up(state: State) -> None:
    """The catalog still holds the state before: the matcher must see the object."""
    assert None is search.candidates([("State", state)]).state


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "Name": st.sampled_from([NAME, Name(name_value="l", name_type=NameType.URI)]),
    "Object Group": st.sampled_from(["a", "b"]),
    "Cryptographic Usage Mask": st.integers(0, 7),
    "Activation Date": st.integers(NOW - 2, NOW + 2),
    "Deactivation Date": st.integers(NOW - 2, NOW + 2),
    "Cryptographic Parameters": st.sampled_from([CBC, CBC_PADDED]),
    "x-Note": st.sampled_from([text("a"), date(NOW)]),
}
FILTERS = st.lists(
    st.one_of(
        *(st.tuples(st.just(title), values) for title, values in VALUES.items()),
        st.tuples(st.just("State"), st.sampled_from(State)),
        st.tuples(st.just("Object Type"), st.sampled_from([ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA])),
    ),
    max_size=4,
)
MANY = {"Name", "Object Group", "Cryptographic Parameters", "x-Note"}
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        title: st.lists(values, min_size=1, max_size=2, unique=True) if title in MANY else values
        for title, values in VALUES.items()
    },
)


def state_of(stored: State, held: dict[str, Any]) -> State:
    """The State that the dates make, in the words of the standard (KMIP 1.4, 3.22)."""
    if stored is State.PRE_ACTIVE and held.get("Activation Date", NOW + 1) <= NOW:
        stored = State.ACTIVE
    if stored is State.ACTIVE and held.get("Deactivation Date", NOW + 1) <= NOW:
        stored = State.DEACTIVATED
    return stored


def is_date(title: str, value: Any) -> bool:
    return title.endswith(" Date") or value == date(NOW)


def agrees(title: str, asked: Any, held: Any, others: list[Any]) -> bool:
    """One filter against one value, slowly and plainly; ``others`` are the dates asked for under the same title."""
    if is_date(title, asked):
        return is_date(title, held) and min(others) <= (held.value if title == "x-Note" else held) <= max(others)
    if title == "Cryptographic Usage Mask":
        return all(held & bit for bit in (1, 2, 4) if asked & bit)
    if title == "Cryptographic Parameters":
        return asked.padding_method is None or held.padding_method == asked.padding_method
    return bool(asked == held)


@given(held=OBJECTS, stored=st.sampled_from(State), filters=FILTERS)
def test_locate_agrees_with_a_plain_model(
    made: Made, held: dict[str, Any], stored: State, filters: list[tuple[str, Any]]
) -> None:
    """The matcher finds what a slow reading of KMIP 1.4, 4.9 finds, and the catalog's narrowing loses none of it."""
    key = made(held, state=stored)
    now_state = state_of(stored, held)
    dates = {
        title: [getattr(v, "value", v) for t, v in filters if t == title and is_date(t, v)] for title, _ in filters
    }
    if any(len(given) > 2 for given in dates.values()):
        with pytest.raises(InvalidField):
            found(key, *filters)
        return
    values = {"Cryptographic Usage Mask": 12} | held | {"State": now_state, "Object Type": key.object_type}
    expected = all(
        any(
            agrees(title, asked, each, dates[title])
            for each in (values[title] if isinstance(values[title], list) else [values[title]])
        )
        for title, asked in filters
        if title in values
    ) and all(title in values for title, _ in filters)
    if now_state >= State.DESTROYED and "State" not in dict(filters):
        expected = False

    assert expected == found(key, *filters)
    if expected:
        narrowing = search.candidates(filters)
        assert narrowing.object_type in (None, key.object_type)
        assert narrowing.state in (None, key.state)
        assert all(value in [each.value for each in key.attributes[title]] for title, value in narrowing.equal)
