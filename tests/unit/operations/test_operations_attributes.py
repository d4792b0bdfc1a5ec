"""Get Attributes, Get Attribute List, Add, Modify and Delete Attribute (KMIP 1.4, 4.12 to 4.16; 11.13 to 11.17)."""

from typing import Any

import pytest

from keyrack.spec.enumerations import (
    AlternativeNameType,
    BlockCipherMode,
    LinkType,
    ResultReason,
    RevocationReasonCode,
    State,
    UsageLimitsUnit,
)
from keyrack.spec.structures import (
    AlternativeName,
    ApplicationSpecificInformation,
    CryptographicParameters,
    Link,
    UsageLimits,
)
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_2, V1_4
from keyrack.testing.conversation import (
    Client,
    activate,
    add_attribute,
    create,
    delete_attribute,
    destroy,
    get_attribute_list,
    get_attributes,
    get_usage_allocation,
    modify_attribute,
    name,
    register_opaque,
    revoke,
)
from keyrack.testing.house import frame_of, read_items
from keyrack.wire.attributes import Attribute

CUSTOM = [
    CustomValue(ItemType.INTEGER, -5),
    CustomValue(ItemType.LONG_INTEGER, 2**40),
    CustomValue(ItemType.BIG_INTEGER, -(2**100)),
    CustomValue(ItemType.ENUMERATION, 0x80000007),
    CustomValue(ItemType.BOOLEAN, True),
    CustomValue(ItemType.TEXT_STRING, "größe"),
    CustomValue(ItemType.BYTE_STRING, b"\x00\xff"),
    CustomValue(ItemType.DATE_TIME, -1),
    CustomValue(ItemType.INTERVAL, 2**32 - 1),
    CustomValue(ItemType.STRUCTURE, bytes.fromhex("54000107000000016100000000000000")),
]


def text(value: str) -> CustomValue:
    """A custom Text String."""
    return CustomValue(ItemType.TEXT_STRING, value)


# --- reading ---


async def test_all_attributes_are_answered_where_none_is_named(each: Client) -> None:
    """As many as Get Attribute List names, and each of them once."""
    uid = await each.made(create({"Name": name("k"), "x-Color": text("red")}))

    listed = (await each(get_attribute_list(uid))).attribute_name

    assert sorted(listed) == sorted(await each.attributes(uid))
    assert len(listed) == len(set(listed))


ALWAYS = {
    "Unique Identifier",
    "Object Type",
    "Cryptographic Algorithm",
    "Cryptographic Length",
    "Cryptographic Usage Mask",
    "Digest",
    "State",
    "Initial Date",
    "Last Change Date",
    "Lease Time",
}


async def test_a_key_always_has_what_the_standard_says(each: Client) -> None:
    """The attributes that SHALL have a value, in each version those that it has."""
    newer = {"Fresh": V1_1, "Original Creation Date": V1_2, "Sensitive": V1_4, "Extractable": V1_4}
    found = set(await each.attributes(await each.made()))

    assert ALWAYS <= found
    assert {title for title, since in newer.items() if since <= each.version} == found & newer.keys()


async def test_an_attribute_that_is_not_there_is_left_out(each: Client) -> None:
    """A success without it: so a vCenter asks whether it has named a key yet."""
    uid = await each.made()

    answer = await each(get_attributes(uid, "x-Name", "Name", "No Such Thing"))

    assert (uid, ()) == (answer.unique_identifier, answer.attribute)


async def test_a_name_that_is_asked_twice_is_refused_from_1_1_on(each: Client) -> None:
    """Invalid Message; 1.0 has no such rule."""
    uid = await each.made()

    if each.version == V1_0:
        assert 1 == len((await each(get_attributes(uid, "State", "State"))).attribute)
    else:
        assert ResultReason.INVALID_MESSAGE == await each.refused(get_attributes(uid, "State", "State"))


async def test_a_value_that_a_version_has_no_word_for_is_left_out(client: Client) -> None:
    """A Parent Link came with 1.2, the mode AEAD with 1.4: an older client sees what it can read."""
    parent = Link(link_type=LinkType.PARENT_LINK, linked_object_identifier="p")
    replaced = Link(link_type=LinkType.REPLACED_OBJECT_LINK, linked_object_identifier="r")
    uid = await client.made(create({"Link": [parent, replaced]}))

    assert [parent, replaced] == await client.attribute(uid, "Link")
    assert replaced == await Client(client.house, V1_0).attribute(uid, "Link")


async def test_a_structure_loses_what_a_version_does_not_know(client: Client) -> None:
    """Of Cryptographic Parameters, a 1.0 client gets the fields of 1.0."""
    full = CryptographicParameters(block_cipher_mode=BlockCipherMode.GCM, random_iv=True, tag_length=128)
    uid = await client.made(create({"Cryptographic Parameters": full}))

    old = await Client(client.house, V1_0).attribute(uid, "Cryptographic Parameters")

    assert full == await client.attribute(uid, "Cryptographic Parameters")
    assert CryptographicParameters(block_cipher_mode=BlockCipherMode.GCM) == old


# --- custom attributes ---


@pytest.mark.parametrize("value", CUSTOM, ids=lambda value: value.item_type.name)
async def test_a_custom_attribute_keeps_its_type_and_value(each: Client, value: CustomValue) -> None:
    """Whatever the TTLV type: at Create, added, and modified."""
    uid = await each.made(create({"x-One": value}))
    added = await each(add_attribute(uid, "x-Two", value))
    await each(add_attribute(uid, "x-Three", text("old")))
    await each(modify_attribute(uid, "x-Three", value))

    found = await each.attributes(uid, "x-One", "x-Two", "x-Three")

    assert {"x-One": value, "x-Two": value, "x-Three": value} == found
    assert value == added.attribute.attribute_value


async def test_instances_have_indices_that_stay(each: Client) -> None:
    """0, 1, 2; when 1 goes, 2 keeps its index, and the next one is 3; the first one's index is not written."""
    uid = await each.made()
    for colour in ("red", "green", "blue"):
        await each(add_attribute(uid, "x-Color", text(colour)))
    await each(delete_attribute(uid, "x-Color", 1))
    added = await each(add_attribute(uid, "x-Color", text("black")))

    answer = await each(get_attributes(uid, "x-Color"))

    assert [(None, "red"), (2, "blue"), (3, "black")] == [
        (each.attribute_index, each.attribute_value.value) for each in answer.attribute
    ]
    assert 3 == added.attribute.attribute_index


async def test_an_index_says_which_instance_is_modified(each: Client) -> None:
    """The others stay as they are."""
    uid = await each.made(create({"Object Group": ["one", "two"]}))

    answer = await each(modify_attribute(uid, "Object Group", "deux", 1))

    assert (1, "deux") == (answer.attribute.attribute_index, answer.attribute.attribute_value)
    assert ["one", "deux"] == await each.attribute(uid, "Object Group")


async def test_the_servers_own_attributes_are_not_the_clients(each: Client) -> None:
    """y- is the server's: Permission Denied."""
    uid = await each.made()

    assert ResultReason.PERMISSION_DENIED == await each.refused(add_attribute(uid, "y-Mine", text("no")))
    assert ResultReason.INVALID_FIELD == await each.refused(create({"y-Mine": text("no")}))


# --- what may be added, changed and taken away ---

ORDINARY: list[tuple[str, Any, Any]] = [
    ("Name", name("one"), name("two")),
    ("Contact Information", "Ada", "Grace"),
    ("Object Group", "one", "two"),
    (
        "Application Specific Information",
        ApplicationSpecificInformation(application_namespace="ssl", application_data="www"),
        ApplicationSpecificInformation(application_namespace="ssl", application_data="ftp"),
    ),
    (
        "Link",
        Link(link_type=LinkType.REPLACEMENT_OBJECT_LINK, linked_object_identifier="1"),
        Link(link_type=LinkType.REPLACEMENT_OBJECT_LINK, linked_object_identifier="2"),
    ),
    (
        "Cryptographic Parameters",
        CryptographicParameters(block_cipher_mode=BlockCipherMode.CBC),
        CryptographicParameters(block_cipher_mode=BlockCipherMode.ECB),
    ),
]


@pytest.mark.parametrize(
    ("title", "first", "second"), ORDINARY, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_an_ordinary_attribute_comes_changes_and_goes(each: Client, title: str, first: Any, second: Any) -> None:
    """Add, Modify, Delete; each answer carries the attribute as it is, or was."""
    uid = await each.made()

    added = await each(add_attribute(uid, title, first))
    modified = await each(modify_attribute(uid, title, second))
    deleted = await each(delete_attribute(uid, title))

    assert [first, second, second] == [each.attribute.attribute_value for each in (added, modified, deleted)]
    assert None is await each.attribute(uid, title)


async def test_alternative_name_and_others_are_ordinary_since_their_version(client: Client) -> None:
    """Alternative Name (1.2), Description and Comment (1.4)."""
    uid = await client.made()
    alternative = AlternativeName(alternative_name_value="k@h", alternative_name_type=AlternativeNameType.EMAIL_ADDRESS)
    await client(add_attribute(uid, "Alternative Name", alternative))
    await client(add_attribute(uid, "Description", "for the backups"))

    assert alternative == await Client(client.house, V1_2).attribute(uid, "Alternative Name")
    assert "Description" not in await Client(client.house, V1_2).attributes(uid)


async def test_every_change_moves_the_last_change_date(each: Client) -> None:
    """Add, Modify and Delete; reading does not."""
    uid = await each.made()
    dates = []
    for item in (
        add_attribute(uid, "Contact Information", "Ada"),
        modify_attribute(uid, "Contact Information", "Grace"),
        delete_attribute(uid, "Contact Information"),
        get_attributes(uid),
    ):
        each.house.clock.now += 10
        await each(item)
        dates.append(await each.attribute(uid, "Last Change Date"))

    start = await each.attribute(uid, "Initial Date")
    assert [start + 10, start + 20, start + 30, start + 30] == dates


async def test_an_activation_date_that_has_come_activates(each: Client) -> None:
    """Set by Modify or Add Attribute, it makes a Pre-Active key Active at once (KMIP 1.4, 3.22)."""
    uid = await each.made()
    await each(add_attribute(uid, "Activation Date", int(each.house.clock())))

    assert State.ACTIVE == await each.attribute(uid, "State")


LIMITS = UsageLimits(usage_limits_total=10, usage_limits_unit=UsageLimitsUnit.OBJECT)


async def test_usage_limits_are_the_clients_until_they_are_used(each: Client) -> None:
    """Modify and Delete are refused once something was allocated (KMIP 1.4, 3.21)."""
    uid = await each.made(create({"Usage Limits": LIMITS}))
    more = UsageLimits(usage_limits_total=20, usage_limits_unit=UsageLimitsUnit.OBJECT)
    await each(modify_attribute(uid, "Usage Limits", more))
    await each(activate(uid))
    await each(get_usage_allocation(uid, 5))

    assert 15 == (await each.attribute(uid, "Usage Limits")).usage_limits_count
    assert ResultReason.PERMISSION_DENIED == await each.refused(modify_attribute(uid, "Usage Limits", LIMITS))
    assert ResultReason.PERMISSION_DENIED == await each.refused(delete_attribute(uid, "Usage Limits"))


# --- how it fails ---


@pytest.mark.parametrize(
    "item",
    [
        get_attributes("nobody"),
        get_attribute_list("nobody"),
        add_attribute("nobody", "Contact Information", "Ada"),
        modify_attribute("nobody", "Contact Information", "Ada"),
        delete_attribute("nobody", "Contact Information"),
    ],
    ids=lambda item: item[0].name,
)
async def test_absent_and_foreign_objects_are_not_found(each: Client, item: Any) -> None:
    """Item Not Found, in every version."""
    assert ResultReason.ITEM_NOT_FOUND == await each.refused(item)


async def test_an_add_that_is_not_allowed_is_refused(each: Client) -> None:
    """Table 11.15: read-only, not of this object, there already, with an index, a name that is taken."""
    uid = await each.made(create({"Name": name("mine"), "Contact Information": "Ada"}))
    await each.made(create({"Name": name("taken")}))
    opaque = await each.made(register_opaque(b"1"))

    refusals = [
        await each.refused(add_attribute(uid, "Initial Date", 1)),
        await each.refused(add_attribute(uid, "State", State.ACTIVE)),
        await each.refused(add_attribute(opaque, "Usage Limits", LIMITS)),
        await each.refused(add_attribute(uid, "Contact Information", "Grace")),
        await each.refused(add_attribute(uid, "x-New", text("a"), 0)),
        await each.refused(add_attribute(uid, "Name", name("taken"))),
        await each.refused(
            add_attribute(
                uid, "Application Specific Information", ApplicationSpecificInformation(application_namespace="n")
            )
        ),
    ]

    assert [
        ResultReason.PERMISSION_DENIED,
        ResultReason.PERMISSION_DENIED,
        ResultReason.PERMISSION_DENIED,
        ResultReason.ILLEGAL_OPERATION,
        ResultReason.INVALID_FIELD,
        ResultReason.ILLEGAL_OPERATION,
        ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED,
    ] == refusals


async def test_instances_have_an_end(client: Client) -> None:
    """The 257th: Index Out of Bounds."""
    uid = await client.made(create({"Object Group": [str(number) for number in range(256)]}))

    assert ResultReason.INDEX_OUT_OF_BOUNDS == await client.refused(add_attribute(uid, "Object Group", "one more"))


async def test_a_modify_that_is_not_allowed_is_refused(each: Client) -> None:
    """Table 11.16: not there yet, no such instance, read-only, a name that is taken."""
    uid = await each.made(create({"Name": name("mine"), "Object Group": "one"}))
    await each.made(create({"Name": name("taken")}))

    refusals = [
        await each.refused(modify_attribute(uid, "Contact Information", "Ada")),
        await each.refused(modify_attribute(uid, "Object Group", "two", 5)),
        await each.refused(modify_attribute(uid, "Initial Date", 1)),
        await each.refused(modify_attribute(uid, "Name", name("taken"))),
        await each.refused(modify_attribute(uid, "Cryptographic Length", 128)),
    ]

    assert [
        ResultReason.INVALID_FIELD,
        ResultReason.ITEM_NOT_FOUND,
        ResultReason.PERMISSION_DENIED,
        ResultReason.ILLEGAL_OPERATION,
        ResultReason.PERMISSION_DENIED,
    ] == refusals


async def test_a_name_may_be_modified_to_itself(each: Client) -> None:
    """It is no other object's."""
    uid = await each.made(create({"Name": name("mine")}))
    await each(modify_attribute(uid, "Name", name("mine")))

    assert name("mine") == await each.attribute(uid, "Name")


async def test_a_delete_that_is_not_allowed_is_refused(each: Client) -> None:
    """Table 11.17: read-only or required, no such instance, no such attribute."""
    uid = await each.made(create({"Object Group": "one"}))

    refusals = [
        await each.refused(delete_attribute(uid, "State")),
        await each.refused(delete_attribute(uid, "Digest")),
        await each.refused(delete_attribute(uid, "Cryptographic Usage Mask")),
        await each.refused(delete_attribute(uid, "Object Group", 7)),
        await each.refused(delete_attribute(uid, "Contact Information")),
        await each.refused(delete_attribute(uid, "No Such Thing")),
    ]

    assert [ResultReason.PERMISSION_DENIED] * 3 + [ResultReason.ITEM_NOT_FOUND] * 3 == refusals


async def test_1_0_wants_the_index_of_one_of_several(client: Client) -> None:
    """Invalid Field there; later versions mean the first. And an index for a single one is Item Not Found there."""
    old = Client(client.house, V1_0)
    uid = await client.made(create({"Object Group": ["one", "two"], "Contact Information": "Ada"}))

    assert ResultReason.INVALID_FIELD == await old.refused(delete_attribute(uid, "Object Group"))
    assert ResultReason.ITEM_NOT_FOUND == await old.refused(delete_attribute(uid, "Contact Information", 0))
    await client(delete_attribute(uid, "Object Group"))
    assert "two" == await client.attribute(uid, "Object Group")


async def test_a_destroyed_objects_dates_are_settled(each: Client) -> None:
    """Its attributes can be read, named and annotated, but no date can be set."""
    uid = await each.made()
    await each(destroy(uid))

    assert ResultReason.PERMISSION_DENIED == await each.refused(add_attribute(uid, "Activation Date", 1))
    assert State.DESTROYED == await each.attribute(uid, "State")


async def test_a_deactivated_keys_dates_are_settled(each: Client) -> None:
    """What has been deactivated is not activated by a date."""
    uid = await each.made()
    await each(activate(uid))
    await each(revoke(uid, RevocationReasonCode.SUPERSEDED))

    assert ResultReason.PERMISSION_DENIED == await each.refused(modify_attribute(uid, "Activation Date", 1))


@pytest.mark.parametrize("title", ["Description", "Alternative Name", "No Such Thing"])
async def test_a_name_that_the_version_does_not_know_is_refused(client: Client, title: str) -> None:
    """Neither the standard's nor custom: Invalid Field, and the next item is answered."""
    uid = await client.made()
    value: Any = text("v") if title == "No Such Thing" else "v"
    if title == "Alternative Name":
        value = AlternativeName(alternative_name_value="v", alternative_name_type=AlternativeNameType.URI)
    placeholder = "x-" + title[2:] if title == "No Such Thing" else title
    frame = frame_of([add_attribute(uid, placeholder, value)], version=V1_4, claimed=V1_0)
    if title == "No Such Thing":
        frame = frame.replace(placeholder.encode(), title.encode())

    (item,) = read_items(await client.house.said(frame, version=V1_0))

    assert ResultReason.INVALID_FIELD == item.result_reason


async def test_a_word_of_a_newer_version_is_refused(client: Client) -> None:
    """A Parent Link in a message of 1.0."""
    uid = await client.made()
    parent = Link(link_type=LinkType.PARENT_LINK, linked_object_identifier="p")
    frame = frame_of([add_attribute(uid, "Link", parent)], claimed=V1_0)

    (item,) = read_items(await client.house.said(frame, version=V1_0))

    assert ResultReason.INVALID_FIELD == item.result_reason


async def test_an_index_that_the_client_gives_at_creation_is_the_servers_to_give(each: Client) -> None:
    """Instances of a new object are counted from 0 in the order given."""
    operation, payload = create({"Object Group": ["one", "two"]})
    assert isinstance(payload.template_attribute.attribute[0], Attribute)

    uid = await each.made((operation, payload))
    found = (await each(get_attributes(uid, "Object Group"))).attribute

    assert [(None, "one"), (1, "two")] == [(each.attribute_index, each.attribute_value) for each in found]
