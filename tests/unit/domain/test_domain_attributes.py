"""The rules of attributes: what a client sees and may change (KMIP 1.4, 3, 4.12 to 4.16, 11.13 to 11.17)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.domain import attributes
from keyrack.domain.errors import KmipError, WrongState
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.spec.enumerations import (
    BlockCipherMode,
    DigitalSignatureAlgorithm,
    NameType,
    PaddingMethod,
    ResultReason,
    State,
    UsageLimitsUnit,
)
from keyrack.spec.structures import ApplicationSpecificInformation, CryptographicParameters, Name, UsageLimits
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_2, V1_4

Made = Callable[..., ManagedObject]

NOW = 5_000
TEXT = CustomValue(ItemType.TEXT_STRING, "VMware vSphere")
LIMITS = UsageLimits(usage_limits_total=1_000, usage_limits_unit=UsageLimitsUnit.BYTE)
USED = UsageLimits(usage_limits_total=1_000, usage_limits_count=500, usage_limits_unit=UsageLimitsUnit.BYTE)


def name(value: str) -> Name:
    return Name(name_value=value, name_type=NameType.UNINTERPRETED_TEXT_STRING)


def refusal(call: Callable[..., Any], *arguments: Any, **named: Any) -> ResultReason:
    with pytest.raises(KmipError) as caught:
        call(*arguments, **{"version": V1_4, "now": NOW} | named)
    return caught.value.reason


# Add Attribute


def test_a_vcenter_names_its_key(made: Made) -> None:
    """A custom attribute is added with index 0 and changes the object once (KMIP 1.4, 4.14)."""
    changed, instance = attributes.add(made(), "x-Product", TEXT, version=V1_1, now=NOW)

    assert (Indexed(0, TEXT), 2, NOW) == (instance, changed.version, changed.value("Last Change Date"))
    assert (instance,) == changed.attributes["x-Product"]


@pytest.mark.parametrize(
    ("title", "value", "expected"),
    [
        ("State", State.ACTIVE, ResultReason.PERMISSION_DENIED),
        ("Digest", None, ResultReason.PERMISSION_DENIED),
        ("Lease Time", 60, ResultReason.PERMISSION_DENIED),
        ("Initial Date", 1, ResultReason.PERMISSION_DENIED),
        ("y-server", TEXT, ResultReason.PERMISSION_DENIED),
        ("Certificate Type", 1, ResultReason.PERMISSION_DENIED),
        ("Favourite Colour", "blue", ResultReason.PERMISSION_DENIED),
        ("Cryptographic Usage Mask", 4, ResultReason.ILLEGAL_OPERATION),
        ("Usage Limits", USED, ResultReason.INVALID_FIELD),
        (
            "Usage Limits",
            UsageLimits(usage_limits_total=-1, usage_limits_unit=UsageLimitsUnit.BYTE),
            ResultReason.INVALID_FIELD,
        ),
        ("Name", name(""), ResultReason.INVALID_FIELD),
        ("Deactivation Date", 500, ResultReason.INVALID_FIELD),
        (
            "Application Specific Information",
            ApplicationSpecificInformation(application_namespace="ssl"),
            ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED,
        ),
    ],
)
def test_what_may_not_be_added_is_refused_for_its_own_reason(
    made: Made, title: str, value: Any, expected: ResultReason
) -> None:
    """Read-only, not of this object, already there, wrong, without data: KMIP 1.4, 11.15."""
    assert expected == refusal(attributes.add, made({"Activation Date": 9_000}), title, value)


def test_an_attribute_to_add_carries_no_index(made: Made) -> None:
    """The server gives the index: Invalid Field (KMIP 1.4, 11.15)."""
    assert ResultReason.INVALID_FIELD == refusal(attributes.add, made(), "x-Product", TEXT, index=0)


def test_a_name_of_another_object_is_not_added(made: Made) -> None:
    """Names are unique: Illegal Operation (KMIP 1.4, 11.15)."""
    assert ResultReason.ILLEGAL_OPERATION == refusal(attributes.add, made(), "Name", name("k"), taken={"k"})


def test_a_name_is_not_added_twice_to_one_object(made: Made) -> None:
    """The object itself is no exception (KMIP 1.4, 3.2)."""
    assert ResultReason.ILLEGAL_OPERATION == refusal(attributes.add, made({"Name": [name("k")]}), "Name", name("k"))


def test_there_is_an_end_of_instances(made: Made) -> None:
    """The server's limit on instances: Index Out Of Bounds (KMIP 1.4, 11.15)."""
    full = made({"Object Group": [f"group {number}" for number in range(attributes.MAX_INSTANCES)]})

    assert ResultReason.INDEX_OUT_OF_BOUNDS == refusal(attributes.add, full, "Object Group", "one more")


def test_there_is_an_end_of_attributes(made: Made) -> None:
    """So many different custom attributes and no more: Index Out Of Bounds (KMIP 1.4, 11.15)."""
    usual = len(made().attributes)
    full = made({f"x-{number}": TEXT for number in range(attributes.MAX_NAMES - usual)})

    assert ResultReason.INDEX_OUT_OF_BOUNDS == refusal(attributes.add, full, "x-more", TEXT)
    assert attributes.add(full, "x-0", TEXT, version=V1_4, now=NOW)[1].index == 1


def test_an_attribute_newer_than_the_version_is_not_supported(made: Made) -> None:
    """A 1.1 client cannot add a Description, which is of 1.4 (KMIP 1.4, 3.46)."""
    assert ResultReason.PERMISSION_DENIED == refusal(attributes.add, made(), "Description", "text", version=V1_1)


def test_adding_an_activation_date_of_the_past_activates(made: Made) -> None:
    """The state follows the date at once (KMIP 1.4, 3.22)."""
    changed, _ = attributes.add(made(), "Activation Date", NOW - 3_600, version=V1_0, now=NOW)

    assert (State.ACTIVE, 2) == (changed.state, changed.version)


def test_added_usage_limits_come_with_their_count(made: Made) -> None:
    """The server keeps the count, which begins at the total (KMIP 1.4, 3.21)."""
    _, instance = attributes.add(made(), "Usage Limits", LIMITS, version=V1_0, now=NOW)

    assert 1_000 == instance.value.usage_limits_count


def test_a_revoked_object_may_still_be_described(made: Made) -> None:
    """Its Deactivation Date may lie before a Process Start Date that never came; that is nobody's mistake now."""
    revoked = made({"Process Start Date": 9_000, "Deactivation Date": 4_000}, state=State.DEACTIVATED)

    changed, _ = attributes.add(revoked, "x-Why", TEXT, version=V1_4, now=NOW)

    assert TEXT == changed.value("x-Why")


def test_a_destroyed_object_may_still_be_described(made: Made) -> None:
    """Its attributes live on, and records are kept in them (KMIP 1.4, 4.21)."""
    changed, _ = attributes.add(made(state=State.DESTROYED), "x-Why", TEXT, version=V1_4, now=NOW)

    assert TEXT == changed.value("x-Why")


# Modify Attribute


def test_a_modified_attribute_keeps_its_index(made: Made) -> None:
    """Only the value is another (KMIP 1.4, 4.15)."""
    changed, instance = attributes.modify(
        made({"Object Group": ["a", "b"]}), "Object Group", "c", index=1, version=V1_4, now=NOW
    )

    assert (Indexed(0, "a"), Indexed(1, "c")) == changed.attributes["Object Group"]
    assert Indexed(1, "c") == instance


def test_without_an_index_the_first_instance_is_modified(made: Made) -> None:
    """A missing Attribute Index means 0 (KMIP 1.4, 2.1.1)."""
    changed, _ = attributes.modify(made({"Object Group": ["a", "b"]}), "Object Group", "c", version=V1_4, now=NOW)

    assert (Indexed(0, "c"), Indexed(1, "b")) == changed.attributes["Object Group"]


def test_index_0_means_the_instance_of_an_attribute_that_has_one_only(made: Made) -> None:
    """Contact Information is modified with Attribute Index 0 named (KMIP 1.4, 2.1.1)."""
    changed, _ = attributes.modify(
        made({"Contact Information": "admin"}), "Contact Information", "Donald", index=0, version=V1_2, now=NOW
    )

    assert "Donald" == changed.value("Contact Information")


@pytest.mark.parametrize(
    ("title", "value", "more", "expected"),
    [
        ("Contact Information", "Joe", {}, ResultReason.INVALID_FIELD),
        ("Favourite Colour", "blue", {}, ResultReason.INVALID_FIELD),
        ("Object Group", "c", {"index": 2}, ResultReason.ITEM_NOT_FOUND),
        ("State", State.ACTIVE, {}, ResultReason.PERMISSION_DENIED),
        ("Cryptographic Usage Mask", 4, {}, ResultReason.PERMISSION_DENIED),
        ("y-server", TEXT, {}, ResultReason.PERMISSION_DENIED),
        ("Name", name("k"), {"taken": {"k"}}, ResultReason.ILLEGAL_OPERATION),
        (
            "Application Specific Information",
            ApplicationSpecificInformation(application_namespace="ssl"),
            {},
            ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED,
        ),
    ],
)
def test_what_may_not_be_modified_is_refused_for_its_own_reason(
    made: Made, title: str, value: Any, more: dict[str, Any], expected: ResultReason
) -> None:
    """Not there, no such instance, read-only, taken, without data: KMIP 1.4, 11.16."""
    key = made(
        {
            "Object Group": ["a", "b"],
            "Name": [name("mine")],
            "y-server": TEXT,
            "Application Specific Information": [
                ApplicationSpecificInformation(application_namespace="ssl", application_data="here")
            ],
        }
    )

    assert expected == refusal(attributes.modify, key, title, value, **more)


def test_a_name_may_be_modified_to_itself(made: Made) -> None:
    """The value that is replaced does not stand in its own way."""
    changed, _ = attributes.modify(made({"Name": [name("k")]}), "Name", name("k"), version=V1_4, now=NOW)

    assert name("k") == changed.value("Name")


@pytest.mark.parametrize(
    ("title", "state", "held", "expected"),
    [
        ("Activation Date", State.ACTIVE, 2_000, True),
        ("Activation Date", State.PRE_ACTIVE, 9_000, False),
        ("Deactivation Date", State.ACTIVE, 9_000, False),
        ("Deactivation Date", State.PRE_ACTIVE, 2_000, False),
        ("Deactivation Date", State.DEACTIVATED, 2_000, True),
        ("Deactivation Date", State.COMPROMISED, 9_000, True),
        ("Process Start Date", State.ACTIVE, 9_000, False),
        ("Process Start Date", State.ACTIVE, NOW, True),
        ("Protect Stop Date", State.ACTIVE, 9_000, False),
        ("Protect Stop Date", State.ACTIVE, NOW, True),
        ("Protect Stop Date", State.DEACTIVATED, 9_000, True),
    ],
)
def test_dates_can_be_changed_only_as_long_as_they_are_ahead(
    made: Made, title: str, state: State, held: int, expected: bool
) -> None:
    """The states in which each date may be modified (KMIP 1.4, 3.24 to 3.27): Permission Denied otherwise."""
    try:
        attributes.modify(made({title: held}, state=state), title, 9_500, version=V1_4, now=NOW)
        refused = False
    except WrongState:
        refused = True

    assert expected == refused


def test_usage_limits_are_fixed_once_some_were_allocated(made: Made) -> None:
    """Total and unit may change only before the first Get Usage Allocation (KMIP 1.4, 3.21)."""
    assert ResultReason.PERMISSION_DENIED == refusal(
        attributes.modify, made({"Usage Limits": USED}), "Usage Limits", LIMITS
    )
    assert ResultReason.PERMISSION_DENIED == refusal(attributes.delete, made({"Usage Limits": USED}), "Usage Limits")


def test_once_not_sensitive_is_never_always_sensitive(made: Made) -> None:
    """Always Sensitive remembers (KMIP 1.4, 3.49)."""
    key = made({"Sensitive": True, "Always Sensitive": True, "Extractable": False, "Never Extractable": True})

    for title, there, back in (("Sensitive", False, True), ("Extractable", True, False)):
        key, _ = attributes.modify(key, title, there, version=V1_4, now=NOW)
        key, _ = attributes.modify(key, title, back, version=V1_4, now=NOW)

    assert (True, False, False, False) == tuple(
        key.value(title) for title in ("Sensitive", "Always Sensitive", "Extractable", "Never Extractable")
    )


# Delete Attribute


def test_deleting_leaves_the_other_indices_alone(made: Made) -> None:
    """An Attribute Index stays with its instance (KMIP 1.4, 2.1.1)."""
    changed, gone = attributes.delete(
        made({"Object Group": ["a", "b", "c"]}), "Object Group", index=1, version=V1_4, now=NOW
    )

    assert Indexed(1, "b") == gone
    assert (Indexed(0, "a"), Indexed(2, "c")) == changed.attributes["Object Group"]


def test_the_last_instance_takes_the_attribute_with_it(made: Made) -> None:
    """An attribute without instances is not there any more (KMIP 1.4, 4.16)."""
    changed, _ = attributes.delete(made({"x-Note": TEXT}), "x-Note", version=V1_4, now=NOW)

    assert "x-Note" not in changed.attributes


@pytest.mark.parametrize(
    ("title", "more", "expected"),
    [
        ("State", {}, ResultReason.PERMISSION_DENIED),
        ("Cryptographic Length", {}, ResultReason.PERMISSION_DENIED),
        ("y-server", {}, ResultReason.PERMISSION_DENIED),
        ("Object Group", {"index": 7}, ResultReason.ITEM_NOT_FOUND),
        ("Contact Information", {}, ResultReason.ITEM_NOT_FOUND),
        ("Activation Date", {}, ResultReason.ITEM_NOT_FOUND),
        ("Favourite Colour", {}, ResultReason.ITEM_NOT_FOUND),
        ("Object Group", {"version": V1_0}, ResultReason.INVALID_FIELD),
        ("Description", {"version": V1_0, "index": 0}, ResultReason.ITEM_NOT_FOUND),
    ],
)
def test_what_may_not_be_deleted_is_refused_for_its_own_reason(
    made: Made, title: str, more: dict[str, Any], expected: ResultReason
) -> None:
    """Read-only or required, no such instance, no such attribute: KMIP 1.4, 11.17; several without an index: 1.0."""
    key = made({"Object Group": ["a", "b"], "y-server": TEXT, "Description": "mine"})

    assert expected == refusal(attributes.delete, key, title, **more)


def test_in_1_0_an_only_instance_needs_no_index(made: Made) -> None:
    """The index is wanted where there are several, and not before (KMIP 1.0, 11.16)."""
    changed, _ = attributes.delete(made({"x-Note": TEXT}), "x-Note", version=V1_0, now=NOW)

    assert "x-Note" not in changed.attributes


def test_in_1_0_an_attribute_of_one_instance_takes_no_index(made: Made) -> None:
    """Item Not Found, as the table of 1.0 says; later versions take 0 for what it is (KMIP 1.0, 11.16)."""
    key = made({"Contact Information": "Joe"})

    assert ResultReason.ITEM_NOT_FOUND == refusal(attributes.delete, key, "Contact Information", index=0, version=V1_0)
    assert "Joe" == attributes.delete(key, "Contact Information", index=0, version=V1_1, now=NOW)[1].value


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.text(max_size=3)),
        st.tuples(st.just("modify"), st.integers(0, 6)),
        st.tuples(st.just("delete"), st.integers(0, 6)),
    ),
    max_size=25,
)


@given(steps=STEPS)
def test_an_index_means_the_same_instance_for_ever(made: Made, steps: list[tuple[str, Any]]) -> None:
    """Against a plain dictionary: whatever is added, changed and deleted, the others keep index and value (2.1.1)."""
    key, model = made(), dict[int, str]()
    for step, argument in steps:
        before = key
        try:
            if step == "add":
                key, instance = attributes.add(key, "Object Group", argument, version=V1_4, now=NOW)
                assert instance.index == max(model, default=-1) + 1
                model[instance.index] = argument
            elif step == "modify":
                key, _ = attributes.modify(key, "Object Group", "new", index=argument, version=V1_4, now=NOW)
                model[argument] = "new"
            else:
                key, _ = attributes.delete(key, "Object Group", index=argument, version=V1_4, now=NOW)
                del model[argument]
            assert before.version + 1 == key.version
        except KmipError:
            assert argument not in model or step == "add"
        assert model == {each.index: each.value for each in key.attributes.get("Object Group", ())}


def test_a_custom_attribute_may_have_several_instances(made: Made) -> None:
    """A client adds, changes and deletes its own as it likes (KMIP 1.4, 3.39)."""
    key, second = attributes.add(made({"x-Note": TEXT}), "x-Note", TEXT, version=V1_4, now=NOW)
    key, _ = attributes.modify(key, "x-Note", CustomValue(ItemType.INTEGER, 1), index=1, version=V1_4, now=NOW)
    key, gone = attributes.delete(key, "x-Note", index=0, version=V1_4, now=NOW)

    assert (Indexed(1, TEXT), Indexed(0, TEXT)) == (second, gone)
    assert (Indexed(1, CustomValue(ItemType.INTEGER, 1)),) == key.attributes["x-Note"]


PADDED = CryptographicParameters(block_cipher_mode=BlockCipherMode.CBC, padding_method=PaddingMethod.PKCS5)
SIGNED = CryptographicParameters(
    digital_signature_algorithm=DigitalSignatureAlgorithm.SHA_256_WITH_RSA_ENCRYPTION_PKCS1_V1_5
)


def test_a_client_cannot_say_a_word_that_its_version_does_not_have(made: Made) -> None:
    """A value of a later version is an Invalid Field, also inside a structure (KMIP 1.4, 9.1.3)."""
    attributes.add(made(), "Cryptographic Parameters", PADDED, version=V1_0, now=NOW)

    assert ResultReason.INVALID_FIELD == refusal(
        attributes.add, made(), "Cryptographic Parameters", SIGNED, version=V1_0
    )
