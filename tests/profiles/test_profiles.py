"""The mandatory parts of the KMIP server profiles, played in 1.0 to 1.4.

Each test is a conversation that a profile asks for: which operations in which order, which attributes are read, with
which values. The names in brackets are those of the profiles' own cases (KMIP Profiles 1.4, 5).
"""

import hashlib
from typing import Any

import pytest

from keyrack.operations.query import PROFILES
from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    CryptographicUsageMask,
    HashingAlgorithm,
    KeyFormatType,
    ObjectType,
    Operation,
    QueryFunction,
    ResultReason,
    ResultStatus,
    RevocationReasonCode,
    State,
)
from keyrack.spec.enumerations.profiles import ProfileName
from keyrack.spec.structures import ApplicationSpecificInformation, Digest
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_1, V1_2, V1_3, VERSIONS
from keyrack.testing.conversation import (
    AES,
    Client,
    activate,
    add_attribute,
    attributes,
    check,
    create,
    delete_attribute,
    destroy,
    discover_versions,
    get,
    get_attribute_list,
    get_attributes,
    key_block,
    locate,
    modify_attribute,
    name,
    query,
    register,
    register_opaque,
    revoke,
)
from keyrack.testing.house import House, memory_house
from keyrack.wire.objects import SecretData, Template

PROFILE_ATTRIBUTES = (
    "State",
    "Cryptographic Usage Mask",
    "Unique Identifier",
    "Object Type",
    "Cryptographic Algorithm",
    "Cryptographic Length",
    "Digest",
    "Initial Date",
    "Last Change Date",
    "Activation Date",
)


@pytest.fixture
async def house() -> House:
    """A house with one instance."""
    built = memory_house()
    await built.admit("a")
    return built


@pytest.fixture(params=VERSIONS, ids=str)
def client(request: pytest.FixtureRequest, house: House) -> Client:
    """A client in every version."""
    return Client(house, request.param)


def text(value: str) -> CustomValue:
    """A custom Text String."""
    return CustomValue(ItemType.TEXT_STRING, value)


async def digest_of(client: Client, uid: str) -> Digest:
    """The Digest that a key must have in this version."""
    return Digest(
        hashing_algorithm=HashingAlgorithm.SHA_256,
        digest_value=hashlib.sha256(await client.material(uid)).digest(),
        key_format_type=None if client.version == V1_0 else KeyFormatType.RAW,
    )


# --- Baseline Server ---

BASELINE_OPERATIONS = {
    Operation.LOCATE,
    Operation.CHECK,
    Operation.GET,
    Operation.GET_ATTRIBUTES,
    Operation.GET_ATTRIBUTE_LIST,
    Operation.ADD_ATTRIBUTE,
    Operation.MODIFY_ATTRIBUTE,
    Operation.DELETE_ATTRIBUTE,
    Operation.ACTIVATE,
    Operation.REVOKE,
    Operation.DESTROY,
    Operation.QUERY,
}


async def test_baseline_operations_are_there(client: Client) -> None:
    """Those that the profile lists, Discover Versions from 1.1 on among them."""
    wanted = BASELINE_OPERATIONS | ({Operation.DISCOVER_VERSIONS} if client.version >= V1_1 else set())

    assert wanted <= set((await client(query(QueryFunction.QUERY_OPERATIONS))).operation)


async def test_baseline_discovers_versions(client: Client) -> None:
    """The newest first."""
    if client.version == V1_0:
        pytest.skip("Discover Versions came with 1.1")

    found = (await client(discover_versions())).protocol_version

    assert [(each.major, each.minor) for each in VERSIONS] == [
        (each.protocol_version_major, each.protocol_version_minor) for each in found
    ]


async def test_baseline_attributes_live_with_the_object(client: Client) -> None:
    """Dates, states and reasons come as the object goes its way, and stay."""
    now = int(client.house.clock())
    uid = await client.made(create({"Name": name("k"), "Object Group": "g", "Activation Date": now}))
    await client(check(uid, cryptographic_usage_mask=CryptographicUsageMask.ENCRYPT))
    await client(revoke(uid, RevocationReasonCode.KEY_COMPROMISE, now - 5))
    await client(destroy(uid))

    found = await client.attributes(uid)
    assert (State.DESTROYED_COMPROMISED, now, now - 5, now) == (
        found["State"],
        found["Activation Date"],
        found["Compromise Occurrence Date"],
        found["Compromise Date"],
    )
    assert RevocationReasonCode.KEY_COMPROMISE == found["Revocation Reason"].revocation_reason_code
    assert (client.version >= V1_1) == ("Fresh" in found)
    assert (client.version >= V1_2) == ("Original Creation Date" in found)
    assert (client.version >= V1_3) == ("Random Number Generator" in found)


# --- Symmetric Key Lifecycle Server ---


async def test_lifecycle_create_read_destroy(client: Client) -> None:
    """[SKLC-M-1] Pre-Active, with every attribute but an Activation Date; then destroyed. [SKLC-O-1] And readable."""
    now = int(client.house.clock())
    uid = await client.made(create({"Name": name("SKLC-1")}))
    before = await client.attributes(uid, *PROFILE_ATTRIBUTES)
    digest = await digest_of(client, uid)
    await client(destroy(uid))
    after = await client.attributes(uid)

    assert {
        "State": State.PRE_ACTIVE,
        "Cryptographic Usage Mask": AES["Cryptographic Usage Mask"],
        "Unique Identifier": uid,
        "Object Type": ObjectType.SYMMETRIC_KEY,
        "Cryptographic Algorithm": CryptographicAlgorithm.AES,
        "Cryptographic Length": 256,
        "Digest": digest,
        "Initial Date": now,
        "Last Change Date": now,
    } == before
    assert (State.DESTROYED, now, digest, 3600, name("SKLC-1")) == (
        after["State"],
        after["Destroy Date"],
        after["Digest"],
        after["Lease Time"],
        after["Name"],
    )


async def test_lifecycle_an_active_key_is_not_destroyed_before_it_is_revoked(client: Client) -> None:
    """[SKLC-M-2] Create, Activate, Destroy refused, Revoke as compromised, Destroy."""
    uid = await client.made(create({"Name": name("SKLC-2")}))
    await client(activate(uid))
    active = await client.attributes(uid, "State", "Activation Date", "Deactivation Date")
    refused = await client.refused(destroy(uid))
    await client(revoke(uid, RevocationReasonCode.KEY_COMPROMISE, 6))
    compromised = await client.attributes(uid, "State")
    await client(destroy(uid))

    assert {"State": State.ACTIVE, "Activation Date": int(client.house.clock())} == active
    assert ResultReason.PERMISSION_DENIED == refused
    assert {"State": State.COMPROMISED} == compromised


async def test_lifecycle_an_activation_date_that_was_reached_stays(client: Client) -> None:
    """[SKLC-M-3] Modify Attribute of the Activation Date of an Active key: Permission Denied."""
    uid = await client.made(create({"Name": name("SKLC-3")}))
    await client(activate(uid))
    refused = await client.refused(modify_attribute(uid, "Activation Date", int(client.house.clock())))
    await client(revoke(uid, RevocationReasonCode.KEY_COMPROMISE, 6))
    state = await client.attribute(uid, "State")
    await client(destroy(uid))

    assert (ResultReason.PERMISSION_DENIED, State.COMPROMISED) == (refused, state)


async def test_lifecycle_formats(client: Client) -> None:
    """Raw and Transparent Symmetric Key are the profile's formats."""
    uid = await client.made()

    raw = (await client(get(uid, key_format_type=KeyFormatType.RAW))).object.key_block
    other = (await client(get(uid, key_format_type=KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))).object.key_block

    assert raw.key_value.key_material == other.key_value.key_material.key


# --- Symmetric Key Foundry Server ---

FOUNDRY = [
    (CryptographicAlgorithm.AES, 128, 16),
    (CryptographicAlgorithm.AES, 192, 24),
    (CryptographicAlgorithm.AES, 256, 32),
    (CryptographicAlgorithm.THREE_DES, 168, 24),
]
CAST = pytest.mark.parametrize(("algorithm", "length", "octets"), FOUNDRY)


def cast(algorithm: CryptographicAlgorithm, length: int, **more: Any) -> Any:
    """Create a key of that kind."""
    return create({"Cryptographic Algorithm": algorithm, "Cryptographic Length": length, **more})


@CAST
async def test_foundry_basic(client: Client, algorithm: CryptographicAlgorithm, length: int, octets: int) -> None:
    """[SKFF-M-1 to 4] Create and Destroy."""
    uid = await client.made(cast(algorithm, length))

    assert uid == (await client(destroy(uid))).unique_identifier
    assert octets


@CAST
async def test_foundry_intermediate(
    client: Client, algorithm: CryptographicAlgorithm, length: int, octets: int
) -> None:
    """[SKFF-M-5 to 8] Create, Locate by type and name, Get, Destroy; a Locate for its identifier finds nothing then."""
    uid = await client.made(cast(algorithm, length, Name=name("SKFF"), **{"Contact Information": "Joe"}))
    found = await client.located({"Object Type": ObjectType.SYMMETRIC_KEY, "Name": name("SKFF")})
    block = (await client(get(uid))).object.key_block
    await client(destroy(uid))

    assert [uid] == found
    assert (KeyFormatType.RAW, octets, algorithm, length) == (
        block.key_format_type,
        len(block.key_value.key_material),
        block.cryptographic_algorithm,
        block.cryptographic_length,
    )
    assert [] == await client.located({"Unique Identifier": uid})


COMPROMISED_HAS = {
    "Unique Identifier",
    "Object Type",
    "Cryptographic Algorithm",
    "Cryptographic Length",
    "Activation Date",
    "Compromise Date",
    "Compromise Occurrence Date",
    "Cryptographic Usage Mask",
    "Digest",
    "Initial Date",
    "Last Change Date",
    "Lease Time",
    "Name",
    "Revocation Reason",
    "State",
}


@CAST
async def test_foundry_advanced(client: Client, algorithm: CryptographicAlgorithm, length: int, octets: int) -> None:
    """[SKFF-M-9 to 12] The whole life, with batches of two Add, Modify and Delete Attributes on the compromised key."""
    uid = await client.made(cast(algorithm, length, Name=name("SKFF"), **{"Cryptographic Usage Mask": 4}))
    states = [await client.attribute(uid, "State")]
    await client(activate(uid))
    states.append(await client.attribute(uid, "State"))
    found = await client.located({"Object Type": ObjectType.SYMMETRIC_KEY, "Name": name("SKFF")})
    material = await client.material(uid)
    await client(revoke(uid, RevocationReasonCode.KEY_COMPROMISE, 6))
    states.append(await client.attribute(uid, "State"))
    names = set((await client(get_attribute_list(uid))).attribute_name)
    custom = [("x-attribute1", "1"), ("x-attribute2", "2")]
    said = [
        await client.batch(*[add_attribute(uid, title, text(value)) for title, value in custom]),
        await client.batch(*[modify_attribute(uid, title, text(f"new {value}")) for title, value in custom]),
        await client.batch(*[delete_attribute(uid, title) for title, _ in custom]),
    ]

    assert [State.PRE_ACTIVE, State.ACTIVE, State.COMPROMISED] == states
    assert ([uid], octets) == (found, len(material))
    assert COMPROMISED_HAS <= names
    assert [["1", "2"], ["new 1", "new 2"], ["new 1", "new 2"]] == [
        [item.response_payload.attribute.attribute_value.value for item in items] for items in said
    ]
    assert material == await client.material(uid)
    assert uid == (await client(destroy(uid))).unique_identifier


# --- Opaque Managed Object Store Server ---


@pytest.mark.parametrize("size", [14, 64 * 1024], ids=["small", "big"])
async def test_opaque_objects_are_stored(client: Client, size: int) -> None:
    """[OMOS-M-1, OMOS-O-1] Register, of a vendor's type, and Destroy; and it is the same in between."""
    uid = await client.made(register_opaque(b"S" * size, {"Name": name("OMOS")}))
    answer = await client(get(uid))

    assert (0x80000001, b"S" * size) == (answer.object.opaque_data_type, bytes(answer.object.opaque_data_value))
    assert uid == (await client(destroy(uid))).unique_identifier


# --- Storage Array with Self-Encrypting Drives Server ---


async def test_storage_array_configuration(client: Client) -> None:
    """[SASED-M-1] What the array asks for first."""
    answer = await client(query(1, 2, 3))

    assert {
        Operation.QUERY,
        Operation.LOCATE,
        Operation.DESTROY,
        Operation.GET,
        Operation.REGISTER,
        Operation.GET_ATTRIBUTES,
        Operation.GET_ATTRIBUTE_LIST,
        Operation.ADD_ATTRIBUTE,
    } <= set(answer.operation)
    assert {ObjectType.SECRET_DATA, ObjectType.TEMPLATE} <= set(answer.object_type)
    assert answer.vendor_identification


GROUP = {"Object Group": "drives", "x-CustomAttribute1": text("1"), "x-CustomAttribute2": text("2")}
OWN = {"x-CustomAttribute3": text("3"), "x-CustomAttribute4": text("4"), "Name": name("SASED")}


async def _template(client: Client) -> str:
    """The template of the cases of 1.0 to 1.2, which later versions do without; 1.0 puts the name inside."""
    inside = GROUP | ({"Name": name("drive template")} if client.version == V1_0 else {})
    outside = {} if client.version == V1_0 else {"Name": name("drive template")}
    return await client.made(register(ObjectType.TEMPLATE, Template(attribute=attributes(inside)), outside))


async def test_storage_array_registers_and_retrieves_its_key(client: Client) -> None:
    """[SASED-M-2, SASED-M-3] A password of 32 bytes, of a group, found and read later, and destroyed."""
    block = key_block(b"*" * 32, algorithm=None, key_format_type=KeyFormatType.OPAQUE)
    secret = SecretData(secret_data_type=1, key_block=block)
    template = None
    if client.version < V1_3:
        by_name = {"Name": name("drive template"), "Object Type": ObjectType.TEMPLATE}
        assert [] == await client.located(by_name)
        template = await _template(client)
        uid = await client.made(register(ObjectType.SECRET_DATA, secret, OWN, templates=["drive template"]))
        assert [template] == await client.located(by_name)
    else:
        assert [] == await client.located({"Name": name("SASED"), "Object Type": ObjectType.SECRET_DATA})
        uid = await client.made(register(ObjectType.SECRET_DATA, secret, GROUP | OWN))

    assert [uid] == await client.located({"Object Group": "drives", "Object Type": ObjectType.SECRET_DATA})
    assert [text("4"), text("3"), text("1")] == [
        await client.attribute(uid, f"x-CustomAttribute{number}") for number in (4, 3, 1)
    ]
    assert secret == (await client(get(uid))).object
    for each in (uid, template):
        assert each is None or each == (await client(destroy(each))).unique_identifier


# --- Tape Library Server ---

TAPE = ApplicationSpecificInformation(
    application_namespace="LIBRARY-LTO",
    application_data="123456789ABCDEF123456789123456789ABCDEF123456789ABCDEF1234000000",
)
BY_TAPE = {"Object Type": ObjectType.SYMMETRIC_KEY, "Application Specific Information": TAPE}
WRITTEN = {
    "x-ID": text("TL-M-2"),
    "Name": name("AAAAAAA1A1AA12345678901234567"),
    "Application Specific Information": TAPE,
    "x-Barcode": text("XXA012A1"),
    "x-VendorAttribute1": text("XXA012A1"),
    "x-VendorAttribute2": CustomValue(ItemType.INTEGER, 0),
    "x-VendorAttribute3": CustomValue(ItemType.DATE_TIME, 1_349_474_899),
}


async def test_tape_library_configuration(client: Client) -> None:
    """[TL-M-1] The operations and objects that a library needs; the batch item's identifier comes back."""
    (item,) = await client.batch(query(1, 2, 3, 4))

    answer = item.response_payload
    assert bytes(7) + b"\x01" == item.unique_batch_item_id
    assert BASELINE_OPERATIONS | {Operation.CREATE, Operation.REGISTER} <= set(answer.operation)
    assert {ObjectType.SYMMETRIC_KEY, ObjectType.TEMPLATE} <= set(answer.object_type)


async def test_tape_library_writes_and_reads_a_tape(client: Client) -> None:
    """[TL-M-2, TL-M-3] Create and Get in one batch; later, found by its namespace, Get, list, read and annotate."""
    made, got = await client.batch(create(WRITTEN), get(), batch_order_option=True)
    uid = made.response_payload.unique_identifier
    found, again = await client.batch(locate(BY_TAPE), get(), batch_order_option=True)
    _, listed = await client.batch(locate(BY_TAPE), get_attribute_list(), batch_order_option=True)
    _, read = await client.batch(locate(BY_TAPE), get_attributes(), batch_order_option=True)
    changed = await client.batch(
        locate(BY_TAPE),
        modify_attribute(None, "x-VendorAttribute2", CustomValue(ItemType.DATE_TIME, 1_349_476_026)),
        modify_attribute(None, "x-VendorAttribute3", CustomValue(ItemType.INTEGER, 1)),
        batch_order_option=True,
    )

    assert (uid,) == found.response_payload.unique_identifier
    assert got.response_payload == again.response_payload
    assert {*WRITTEN, "Digest", "Initial Date", "Last Change Date", "Lease Time", "State"} <= set(
        listed.response_payload.attribute_name
    )
    values = {each.attribute_name: each.attribute_value for each in read.response_payload.attribute}
    assert WRITTEN == {title: values[title] for title in WRITTEN}
    assert [ResultStatus.SUCCESS] * 3 == [item.result_status for item in changed]
    assert CustomValue(ItemType.INTEGER, 1) == await client.attribute(uid, "x-VendorAttribute3")
    assert uid == (await client(destroy(uid))).unique_identifier


# --- what Query says of it ---


async def test_query_names_the_profiles_that_hold(client: Client) -> None:
    """From 1.3 on, which has the function; no profile of a newer version than the request's."""
    if client.version < V1_3:
        assert all(profile.since > client.version for profile in PROFILES)
        return

    found = (await client(query(QueryFunction.QUERY_PROFILES))).profile_information

    claimed = [ProfileName(each.profile_name).title for each in found]
    assert sorted(each.title for each in PROFILES if each.since <= client.version) == sorted(claimed)
    assert "Symmetric Key Lifecycle Server KMIP v1.3" in claimed
    assert (client.version > V1_3) == ("Tape Library Server KMIP v1.4" in claimed)
