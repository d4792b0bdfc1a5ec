"""PyKMIP's low-level client: what the high-level one has no word for."""

import os
import uuid

import pytest
from kmip.core import attributes, enums, objects, primitives
from kmip.core.factories.attributes import AttributeFactory
from kmip.core.messages import contents, payloads
from kmip.core.misc import KeyFormatType
from kmip.core.secrets import SymmetricKey
from kmip.services.kmip_client import KMIPProxy

FACTORY = AttributeFactory()
SUCCESS = enums.ResultStatus.SUCCESS


def template(name: str | None = None, **custom: str) -> objects.TemplateAttribute:
    kinds = [
        (enums.AttributeType.CRYPTOGRAPHIC_ALGORITHM, enums.CryptographicAlgorithm.AES),
        (enums.AttributeType.CRYPTOGRAPHIC_LENGTH, 256),
        (enums.AttributeType.CRYPTOGRAPHIC_USAGE_MASK, [enums.CryptographicUsageMask.ENCRYPT]),
    ]
    held = [FACTORY.create_attribute(kind, value) for kind, value in kinds]
    if name:
        held.append(FACTORY.create_attribute(enums.AttributeType.NAME, name))
    for key, value in custom.items():
        held.append(
            objects.Attribute(
                attribute_name=objects.Attribute.AttributeName(f"x-{key}"),
                attribute_value=primitives.TextString(value, tag=enums.Tags.ATTRIBUTE_VALUE),
            )
        )
    return objects.TemplateAttribute(attributes=held)


def created(low: KMIPProxy, **custom: str) -> str:
    result = low.create(enums.ObjectType.SYMMETRIC_KEY, template(str(uuid.uuid4()), **custom))
    assert SUCCESS == result.result_status.value
    uid: str = result.uuid
    return uid


def test_discover_versions_lists_newest_first(low: KMIPProxy, version: enums.KMIPVersion) -> None:
    """All that Keyrack speaks, 1.4 to 1.0; the operation itself is of 1.1."""
    if version is enums.KMIPVersion.KMIP_1_0:
        pytest.skip("Discover Versions is of 1.1")

    result = low.discover_versions()

    assert SUCCESS == result.result_status.value
    assert [(1, minor) for minor in (4, 3, 2, 1, 0)] == [(each.major, each.minor) for each in result.protocol_versions]


def test_discover_versions_answers_what_both_know(low: KMIPProxy, version: enums.KMIPVersion) -> None:
    """Of the client's list, in the client's order, what the server speaks too."""
    if version is enums.KMIPVersion.KMIP_1_0:
        pytest.skip("Discover Versions is of 1.1")
    asked = [contents.ProtocolVersion(*each) for each in [(9, 9), (1, 2), (1, 1)]]

    result = low.discover_versions(protocol_versions=asked)

    assert [(1, 2), (1, 1)] == [(each.major, each.minor) for each in result.protocol_versions]


def test_query_names_operations_and_object_types(low: KMIPProxy) -> None:
    """Query of what is there and of who serves."""
    functions = [
        enums.QueryFunction.QUERY_OPERATIONS,
        enums.QueryFunction.QUERY_OBJECTS,
        enums.QueryFunction.QUERY_SERVER_INFORMATION,
        enums.QueryFunction.QUERY_APPLICATION_NAMESPACES,
    ]

    result = low.query(query_functions=functions)

    assert SUCCESS == result.result_status.value
    assert {enums.Operation.CREATE, enums.Operation.GET, enums.Operation.LOCATE} <= set(result.operations)
    assert enums.ObjectType.SYMMETRIC_KEY in result.object_types
    assert "Keyrack" in result.vendor_identification


def test_query_names_no_operation_newer_than_the_version(low: KMIPProxy, version: enums.KMIPVersion) -> None:
    """A client of 1.0 is not told of Discover Versions."""
    result = low.query(query_functions=[enums.QueryFunction.QUERY_OPERATIONS])

    assert (version is not enums.KMIPVersion.KMIP_1_0) == (enums.Operation.DISCOVER_VERSIONS in result.operations)


def test_two_operations_in_one_message(low: KMIPProxy, version: enums.KMIPVersion) -> None:
    """A batch of Query and Discover Versions is answered item by item."""
    if version is enums.KMIPVersion.KMIP_1_0:
        pytest.skip("Discover Versions is of 1.1")
    low.query(batch=True, query_functions=[enums.QueryFunction.QUERY_OBJECTS])

    results = low.discover_versions()

    answered = results if isinstance(results, list) else [results]
    assert [SUCCESS] * len(answered) == [each.result_status.value for each in answered]


def test_custom_attributes_come_back(low: KMIPProxy) -> None:
    """What a client writes under x-, it reads under x-."""
    uid = created(low, Component="Virtual Machine", Name="vm-01")

    result = low.get_attributes(uid, ["x-Component", "x-Name"])

    got = {each.attribute_name.value: each.attribute_value.value for each in result.attributes}
    assert {"x-Component": "Virtual Machine", "x-Name": "vm-01"} == got


def test_get_asks_for_raw(low: KMIPProxy) -> None:
    """Key Format Type Raw, named in the request."""
    uid = created(low)

    result = low.get(uid, key_format_type=KeyFormatType(enums.KeyFormatType.RAW))

    assert SUCCESS == result.result_status.value
    assert enums.KeyFormatType.RAW == result.secret.key_block.key_format_type.value


def test_get_of_a_transparent_key(low: KMIPProxy) -> None:
    """Key Format Type Transparent Symmetric Key is answered, as far as PyKMIP can read it."""
    uid = created(low)

    try:
        result = low.get(uid, key_format_type=KeyFormatType(enums.KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))
    except (TypeError, ValueError, NotImplementedError) as error:
        pytest.skip(f"PyKMIP cannot read the structure: {error}")

    assert SUCCESS == result.result_status.value


def test_get_of_an_impossible_format_is_refused(low: KMIPProxy) -> None:
    """A symmetric key is not given as PKCS #8."""
    uid = created(low)

    result = low.get(uid, key_format_type=KeyFormatType(enums.KeyFormatType.PKCS_8))

    assert enums.ResultReason.KEY_FORMAT_TYPE_NOT_SUPPORTED == result.result_reason.value


def test_register_names_the_object(low: KMIPProxy) -> None:
    """Register through the low-level client; the identifier is that of a later Get."""
    block = objects.KeyBlock(
        key_format_type=KeyFormatType(enums.KeyFormatType.RAW),
        key_value=objects.KeyValue(objects.KeyMaterial(os.urandom(32))),
        cryptographic_algorithm=attributes.CryptographicAlgorithm(enums.CryptographicAlgorithm.AES),
        cryptographic_length=attributes.CryptographicLength(256),
    )
    result = low.register(enums.ObjectType.SYMMETRIC_KEY, template(str(uuid.uuid4())), SymmetricKey(block))

    assert SUCCESS == result.result_status.value
    assert result.uuid == low.get(result.uuid).uuid


def test_the_last_object_of_a_connection_is_not_remembered(low: KMIPProxy) -> None:
    """The ID Placeholder lives in one message: a later one without an identifier finds nothing."""
    created(low)

    result = low.get()

    assert enums.ResultStatus.OPERATION_FAILED == result.result_status.value


def test_a_payload_of_its_own_is_answered(low: KMIPProxy) -> None:
    """PyKMIP's generic way to send a payload: Delete Attribute of a custom attribute."""
    uid = created(low, Temporary="yes")
    payload = payloads.DeleteAttributeRequestPayload(
        unique_identifier=uid, attribute_name="x-Temporary", attribute_index=0
    )

    answer = low.send_request_payload(enums.Operation.DELETE_ATTRIBUTE, payload)

    assert (uid, "x-Temporary") == (answer.unique_identifier, answer.attribute.attribute_name.value)
