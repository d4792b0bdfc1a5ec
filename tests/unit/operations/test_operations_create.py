"""Create (KMIP 1.4, 4.1), and how it fails (11.2)."""

from typing import Any

import pytest

from keyrack.spec.enumerations import (
    CryptographicAlgorithm,
    CryptographicUsageMask,
    ObjectType,
    Operation,
    ResultReason,
    State,
)
from keyrack.spec.structures import ApplicationSpecificInformation
from keyrack.spec.versions import V1_0
from keyrack.testing.conversation import ENCRYPT, Client, create, get, name, register
from keyrack.testing.house import House, frame_of, read_items
from keyrack.wire.attributes import Attribute
from keyrack.wire.objects import Template

MAC = CryptographicUsageMask.MAC_GENERATE | CryptographicUsageMask.MAC_VERIFY

KEYS = [
    (CryptographicAlgorithm.AES, 128, 16),
    (CryptographicAlgorithm.AES, 192, 24),
    (CryptographicAlgorithm.AES, 256, 32),
    (CryptographicAlgorithm.THREE_DES, 112, 16),
    (CryptographicAlgorithm.THREE_DES, 168, 24),
    (CryptographicAlgorithm.THREE_DES, 192, 24),
    (CryptographicAlgorithm.HMAC_SHA1, 160, 20),
    (CryptographicAlgorithm.HMAC_SHA256, 256, 32),
    (CryptographicAlgorithm.HMAC_SHA512, 512, 64),
]


@pytest.mark.parametrize(("algorithm", "length", "octets"), KEYS)
async def test_every_kind_of_key_has_the_length_that_was_asked_for(
    client: Client, algorithm: CryptographicAlgorithm, length: int, octets: int
) -> None:
    """AES, 3DES and HMAC keys: the material is as long as the Cryptographic Length says."""
    uid = await client.made(create({"Cryptographic Algorithm": algorithm, "Cryptographic Length": length}))

    block = (await client(get(uid))).object.key_block

    assert (algorithm, length, octets) == (
        block.cryptographic_algorithm,
        block.cryptographic_length,
        len(block.key_value.key_material),
    )


async def test_3des_keys_have_odd_parity(client: Client) -> None:
    """Each byte of a DES key has an odd number of ones."""
    uid = await client.made(create({"Cryptographic Algorithm": 2, "Cryptographic Length": 168}))

    assert all(octet.bit_count() % 2 for octet in await client.material(uid))


async def test_the_length_may_be_left_to_the_server(client: Client) -> None:
    """An AES key without a Cryptographic Length has 256 bits."""
    uid = await client.made(create({"Cryptographic Length": None}))

    assert 256 == await client.attribute(uid, "Cryptographic Length")


async def test_two_creates_make_two_keys(client: Client) -> None:
    """Asked twice alike, there are two identifiers and two materials."""
    first, second = await client.made(), await client.made()

    assert first != second
    assert await client.material(first) != await client.material(second)


async def test_the_answer_names_type_and_identifier(each: Client) -> None:
    """The Object Type that was asked for, and an identifier that Get understands, in every version."""
    answer = await each(create())

    assert ObjectType.SYMMETRIC_KEY == answer.object_type
    assert answer.unique_identifier == (await each(get(answer.unique_identifier))).unique_identifier


async def test_an_activation_date_that_has_come_makes_the_key_active(each: Client, house: House) -> None:
    """Now or in the past: Active; in the future: Pre-Active until then."""
    now = int(house.clock())
    active = await each.made(create({"Activation Date": now}))
    waiting = await each.made(create({"Activation Date": now + 60}))
    before = await each.attribute(waiting, "State")
    house.clock.now += 60

    assert State.ACTIVE == await each.attribute(active, "State")
    assert (State.PRE_ACTIVE, State.ACTIVE) == (before, await each.attribute(waiting, "State"))


def _template(title: str, given: dict[str, Any]) -> tuple[Operation, Any]:
    held = tuple(Attribute(attribute_name=each, attribute_value=value) for each, value in given.items())
    return register(ObjectType.TEMPLATE, Template(attribute=held), {"Name": name(title)})


async def test_a_template_gives_its_attributes(each: Client) -> None:
    """What the template says, the key gets, but for what the request says itself."""
    await each(_template("mould", {"Cryptographic Length": 128, "Contact Information": "Ada"}))

    uid = await each.made(create({"Cryptographic Length": None}, templates=["mould"]))

    found = await each.attributes(uid, "Cryptographic Length", "Contact Information")
    assert {"Cryptographic Length": 128, "Contact Information": "Ada"} == found


async def test_the_request_wins_over_the_template(client: Client) -> None:
    """An attribute of one instance that both name is the request's."""
    await client(_template("mould", {"Cryptographic Length": 128}))

    uid = await client.made(create({"Cryptographic Length": 192}, templates=["mould"]))

    assert 192 == await client.attribute(uid, "Cryptographic Length")


REFUSED = {
    "no symmetric key": (create(object_type=ObjectType.PRIVATE_KEY), ResultReason.INVALID_FIELD),
    "an unknown type": (create(object_type=0x77), ResultReason.INVALID_FIELD),
    "no such template": (create(templates=["nobody"]), ResultReason.ITEM_NOT_FOUND),
    "no algorithm": (create({"Cryptographic Algorithm": None}), ResultReason.INVALID_FIELD),
    "no usage mask": (create({"Cryptographic Usage Mask": None}), ResultReason.INVALID_FIELD),
    "a length that AES has not": (create({"Cryptographic Length": 255}), ResultReason.INVALID_FIELD),
    "an algorithm for pairs": (create({"Cryptographic Algorithm": 4}), ResultReason.INVALID_FIELD),
    "a read-only attribute": (create({"Initial Date": 1}), ResultReason.INVALID_FIELD),
    "a single attribute twice": (create({"Cryptographic Length": [256, 128]}), ResultReason.INVALID_FIELD),
    "dates out of order": (create({"Activation Date": 9, "Deactivation Date": 8}), ResultReason.INVALID_FIELD),
    "too many instances": (
        create({"Object Group": [str(number) for number in range(257)]}),
        ResultReason.INDEX_OUT_OF_BOUNDS,
    ),
    "data for a namespace": (
        create({"Application Specific Information": ApplicationSpecificInformation(application_namespace="ssl")}),
        ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED,
    ),
}


@pytest.mark.parametrize("why", REFUSED)
async def test_a_create_that_makes_no_sense_is_refused(client: Client, why: str) -> None:
    """Each failure of table 11.2, with its Result Reason, and nothing is made."""
    item, reason = REFUSED[why]

    assert reason == await client.refused(item)
    assert [] == await client.located()


async def test_application_data_left_out_is_refused_in_every_version(each: Client) -> None:
    """The Application Namespace Not Supported of 11.2; before 1.3 the data may not be left out at all."""
    given = {"Application Specific Information": ApplicationSpecificInformation(application_namespace="ssl")}

    refused = await each.refused(create(given))

    assert ResultReason.APPLICATION_NAMESPACE_NOT_SUPPORTED == refused


async def test_a_name_belongs_to_one_object(each: Client, house: House) -> None:
    """A second object of the name is refused; another instance has its own names; a destroyed one gives it up."""
    uid = await each.made(create({"Name": name("only")}))
    stranger = Client(house, each.version, "b")

    assert ResultReason.INVALID_FIELD == await each.refused(create({"Name": name("only")}))
    assert ResultReason.INVALID_FIELD == await each.refused(create({"Name": [name("x"), name("x")]}))
    assert uid != await stranger.made(create({"Name": name("only")}))


async def test_an_attribute_of_a_newer_version_is_refused(house: House) -> None:
    """Description came with 1.4; in 1.0 it is no attribute."""
    frame = frame_of([create({"Description": "for the backups"})], claimed=V1_0)

    (item,) = read_items(await house.said(frame, version=V1_0))

    assert ResultReason.INVALID_FIELD == item.result_reason


@pytest.mark.parametrize("title", ["Sensitive", "Extractable", "Description", "Key Value Location"])
async def test_what_a_newer_version_adds_stays_hidden_from_an_older_one(client: Client, title: str) -> None:
    """A key made in 1.4 shows a 1.0 client the attributes of 1.0 alone."""
    uid = await client.made(create({"Cryptographic Usage Mask": ENCRYPT}))

    assert title not in await Client(client.house, V1_0).attributes(uid)
