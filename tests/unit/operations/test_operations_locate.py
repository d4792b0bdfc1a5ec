"""Locate (KMIP 1.4, 4.9) by every kind of attribute, and how it fails (11.10)."""

from typing import Any

import pytest

from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    CryptographicUsageMask,
    LinkType,
    ObjectGroupMember,
    ObjectType,
    ResultReason,
    RevocationReasonCode,
    State,
    StorageStatusMask,
)
from keyrack.spec.structures import ApplicationSpecificInformation, Link
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_3
from keyrack.testing.conversation import (
    ENCRYPT,
    WRAP,
    Client,
    activate,
    create,
    destroy,
    get,
    locate,
    name,
    register_opaque,
    register_password,
    revoke,
)
from keyrack.testing.house import House, frame_of, read_items

REPLACED = Link(link_type=LinkType.REPLACED_OBJECT_LINK, linked_object_identifier="p")
INFORMATION = ApplicationSpecificInformation(application_namespace="ssl", application_data="www.example.com")

FILTERS: dict[str, Any] = {
    "Name": name("wanted"),
    "Cryptographic Length": 192,
    "Cryptographic Algorithm": CryptographicAlgorithm.THREE_DES,
    "Cryptographic Usage Mask": WRAP,
    "Object Group": "cluster 7",
    "Contact Information": "Ada",
    "Link": REPLACED,
    "Application Specific Information": INFORMATION,
    "Activation Date": 4_000_000_000,
    "x-Text": CustomValue(ItemType.TEXT_STRING, "one"),
    "x-Number": CustomValue(ItemType.INTEGER, 1),
    "x-Octets": CustomValue(ItemType.BYTE_STRING, b"\x01"),
    "x-Date": CustomValue(ItemType.DATE_TIME, 99),
}


@pytest.mark.parametrize("title", FILTERS)
async def test_an_object_is_found_by_any_attribute(each: Client, title: str) -> None:
    """The one that has the value, and not the other, though it has others of the name."""
    given = {title: FILTERS[title]} | ({"Cryptographic Algorithm": 2} if title == "Cryptographic Length" else {})
    given |= {"Cryptographic Length": 192} if title == "Cryptographic Algorithm" else {}
    uid = await each.made(create(given))
    await each.made(create({"Object Group": "cluster 8", "x-Text": CustomValue(ItemType.TEXT_STRING, "two")}))

    assert [uid] == await each.located({title: FILTERS[title]})


async def test_an_object_is_found_by_what_the_server_knows(each: Client) -> None:
    """Unique Identifier, Object Type, State, Initial Date, Digest."""
    uid = await each.made(register_password(b"one"))
    await each.made()
    await each(activate(uid))
    found = await each.attributes(uid, "Digest", "Initial Date")

    wanted: list[dict[str, Any]] = [
        {"Unique Identifier": uid},
        {"Object Type": ObjectType.SECRET_DATA},
        {"State": State.ACTIVE},
        {"Digest": found["Digest"]},
    ]
    assert [[uid]] * len(wanted) == [await each.located(given) for given in wanted]
    assert 2 == len(await each.located({"Initial Date": found["Initial Date"]}))


async def test_all_filters_must_match(each: Client) -> None:
    """Two attributes, two objects with one each, one with both."""
    await each.made(create({"Object Group": "g"}))
    await each.made(create({"Contact Information": "Ada"}))
    both = await each.made(create({"Object Group": ["other", "g"], "Contact Information": "Ada"}))

    assert [both] == await each.located({"Object Group": "g", "Contact Information": "Ada"})
    assert [both] == await each.located({"Object Group": ["g", "other"]})
    assert [] == await each.located({"Object Group": ["g", "nobody's"]})


async def test_dates_are_exact_or_a_range(each: Client, house: House) -> None:
    """One date is that second; two are from one to the other, in whatever order, the ends among them."""
    start = int(house.clock())
    made = []
    for _ in range(3):
        made.append(await each.made())
        house.clock.now += 10

    assert [made[1]] == await each.located({"Initial Date": start + 10})
    assert [made[1], made[0]] == await each.located({"Initial Date": [start, start + 10]})
    assert [made[2], made[1]] == await each.located({"Initial Date": [start + 25, start + 5]})
    assert ResultReason.INVALID_FIELD == await each.refused(locate({"Initial Date": [1, 2, 3]}))


async def test_a_mask_matches_where_all_its_bits_are(each: Client) -> None:
    """Other bits may be set besides (KMIP 1.4, 4.9)."""
    both = await each.made(create({"Cryptographic Usage Mask": ENCRYPT | WRAP}))
    await each.made(create({"Cryptographic Usage Mask": WRAP}))

    assert [both] == await each.located({"Cryptographic Usage Mask": CryptographicUsageMask.ENCRYPT})


async def test_the_newest_come_first_and_no_more_than_wanted(each: Client, house: House) -> None:
    """Maximum Items; the newest first; equals in the order they were made, newest first."""
    made = []
    for _ in range(4):
        made.append(await each.made())
        house.clock.now += 1

    assert made[::-1] == await each.located()
    assert made[:-3:-1] == await each.located(maximum_items=2)
    assert made[::-1] == await each.located(maximum_items=100)
    assert [] == await each.located(maximum_items=0)


async def test_offset_and_located_items_come_with_1_3(each: Client, house: House) -> None:
    """How many there are in all, and a page of them; older versions know neither."""
    made = []
    for _ in range(4):
        made.append(await each.made())
        house.clock.now += 1
    if each.version >= V1_3:
        answer = await each(locate(maximum_items=2, offset_items=1))
        assert (4, (made[2], made[1])) == (answer.located_items, answer.unique_identifier)
        beyond = await each(locate(offset_items=9))
        assert (4, ()) == (beyond.located_items, beyond.unique_identifier)
    else:
        assert None is (await each(locate())).located_items
        frame = frame_of([locate(offset_items=1)], claimed=each.version)
        (item,) = read_items(await house.said(frame, version=each.version))
        assert ResultReason.INVALID_FIELD == item.result_reason


async def test_negative_numbers_are_refused(each: Client) -> None:
    """Maximum Items and Offset Items count."""
    assert ResultReason.INVALID_FIELD == await each.refused(locate(maximum_items=-1))


async def test_nothing_is_ever_archived(each: Client) -> None:
    """On-line storage has them all, archival storage none."""
    uid = await each.made()

    masks = [StorageStatusMask.ON_LINE_STORAGE, StorageStatusMask.ARCHIVAL_STORAGE, StorageStatusMask(3)]

    assert [[uid], [], [uid]] == [await each.located(storage_status_mask=mask) for mask in masks]


async def test_fresh_members_of_a_group_are_those_nobody_has_got(house: House) -> None:
    """Object Group Member came with 1.1 (KMIP 1.4, 3.34)."""
    client = Client(house, V1_1)
    used, fresh, _ = [await client.made(create(given)) for given in ({"Object Group": "pool"},) * 2 + ({},)]
    await client(get(used))

    for member, expected in (
        (ObjectGroupMember.GROUP_MEMBER_FRESH, {fresh}),
        (ObjectGroupMember.GROUP_MEMBER_DEFAULT, {used, fresh}),
    ):
        assert expected == set(await client.located({"Object Group": "pool"}, object_group_member=member))
    assert ResultReason.INVALID_FIELD == await client.refused(locate(object_group_member=9))


async def test_a_destroyed_object_is_found_by_its_state(each: Client) -> None:
    """By those who ask for it; otherwise it is gone."""
    uid, other = await each.made(create({"Name": name("k")})), await each.made()
    await each(destroy(uid))
    await each(revoke(other, RevocationReasonCode.KEY_COMPROMISE))
    await each(destroy(other))

    assert [] == await each.located()
    assert [] == await each.located({"Name": name("k")})
    assert [uid] == await each.located({"State": State.DESTROYED})
    assert [other] == await each.located({"State": State.DESTROYED_COMPROMISED})


async def test_a_state_that_time_has_brought_is_found(each: Client, house: House) -> None:
    """Active since its Activation Date, though nobody has touched it since."""
    now = int(house.clock())
    uid = await each.made(create({"Activation Date": now + 5, "Deactivation Date": now + 9}))
    await each.made()
    seen = []
    for _ in range(3):
        seen.append([state for state in State if uid in await each.located({"State": state})])
        house.clock.now += 5

    assert [[State.PRE_ACTIVE], [State.ACTIVE], [State.DEACTIVATED]] == seen


async def test_another_instances_objects_are_not_found(each: Client, house: House) -> None:
    """By no filter at all, nor by their identifier, name or state."""
    stranger = Client(house, each.version, "b")
    uid = await each.made(create({"Name": name("mine"), "Activation Date": 1}))

    filters: list[dict[str, Any]] = [{}, {"Unique Identifier": uid}, {"Name": name("mine")}, {"State": State.ACTIVE}]
    for given in filters:
        assert [] == await stranger.located(given)
        assert [uid] == await each.located(given)


async def test_templates_and_opaque_objects_have_no_state_to_be_found_by(each: Client) -> None:
    """But a type."""
    uid = await each.made(register_opaque(b"1"))

    assert [uid] == await each.located({"Object Type": ObjectType.OPAQUE_OBJECT})
    assert [] == await each.located({"State": State.PRE_ACTIVE})


async def test_an_attribute_that_the_version_does_not_know_is_refused(house: House) -> None:
    """Invalid Field, the one failure of table 11.10: Description came with 1.4."""
    frame = frame_of([locate({"Description": "v"})], claimed=V1_0)

    (item,) = read_items(await house.said(frame, version=V1_0))

    assert ResultReason.INVALID_FIELD == item.result_reason


async def test_no_such_attribute_is_refused(house: House) -> None:
    """Neither the standard's nor a custom one."""
    frame = frame_of([locate({"x-Something": CustomValue(ItemType.TEXT_STRING, "v")})])
    frame = frame.replace(b"x-Something", b"No Such One")

    (item,) = read_items(await house.said(frame))

    assert ResultReason.INVALID_FIELD == item.result_reason


async def test_a_long_name_is_found_whole(each: Client) -> None:
    """Names of 10,000 characters that differ in the last one are two names."""
    first, second = "k" * 9999 + "1", "k" * 9999 + "2"
    uid = await each.made(create({"Name": name(first)}))
    await each.made(create({"Name": name(second)}))

    assert [uid] == await each.located({"Name": name(first)})


async def test_names_are_any_text(each: Client) -> None:
    """Umlauts, emoji, the empty-looking; case matters."""
    uid = await each.made(create({"Name": name("Schlüssel 🔑 ﷽")}))

    assert [uid] == await each.located({"Name": name("Schlüssel 🔑 ﷽")})
    assert [] == await each.located({"Name": name("schlüssel 🔑 ﷽")})
