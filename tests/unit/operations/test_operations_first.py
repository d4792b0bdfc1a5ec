"""The way of a vCenter through the desk, in every protocol version."""

from pathlib import Path

import pytest

from keyrack.operations.activate import ActivateRequest
from keyrack.operations.create import CreateRequest
from keyrack.operations.get import GetRequest
from keyrack.operations.get_attributes import GetAttributesRequest
from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType, Operation, State
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing.house import open_house
from keyrack.wire.attributes import Attribute
from keyrack.wire.objects import TemplateAttribute

AES_256 = CreateRequest(
    object_type=ObjectType.SYMMETRIC_KEY,
    template_attribute=TemplateAttribute(
        attribute=(
            Attribute(attribute_name="Cryptographic Algorithm", attribute_value=CryptographicAlgorithm.AES),
            Attribute(attribute_name="Cryptographic Usage Mask", attribute_value=12),
            Attribute(attribute_name="Cryptographic Length", attribute_value=256),
        )
    ),
)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
async def test_a_key_is_made_fetched_and_activated(tmp_path: Path, version: ProtocolVersion) -> None:
    """Create, Get before Activate, Activate, Get again: the same 32 bytes, and the state is Active."""
    async with open_house(tmp_path) as house:
        await house.admit("a")
        made = await house.ask(Operation.CREATE, AES_256, version=version)
        uid = made.unique_identifier
        first = await house.ask(Operation.GET, GetRequest(unique_identifier=uid), version=version)
        await house.ask(Operation.ACTIVATE, ActivateRequest(unique_identifier=uid), version=version)
        again = await house.ask(Operation.GET, GetRequest(unique_identifier=uid), version=version)
        state = await house.ask(
            Operation.GET_ATTRIBUTES,
            GetAttributesRequest(unique_identifier=uid, attribute_name=("State",)),
            version=version,
        )

    assert 32 == len(first.object.key_block.key_value.key_material)
    assert first.object == again.object
    assert [State.ACTIVE] == [each.attribute_value for each in state.attribute]
