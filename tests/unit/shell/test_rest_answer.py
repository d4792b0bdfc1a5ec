"""Answers on their way out: JSON with key material in it, from one buffer that is wiped."""

import base64
import json
import os
from typing import Any

import pytest
from starlette.types import Message

from keyrack.domain.secret import Secret
from keyrack.shell.rest.key_protect.answer import Answer, encoded
from keyrack.shell.rest.key_protect.envelope import collection, error


@pytest.mark.parametrize("length", [0, 1, 2, 3, 31, 32, 33, 7500])
def test_a_secret_is_told_in_base64_and_wiped(length: int) -> None:
    material = os.urandom(length)
    secret = Secret(bytearray(material))

    told = json.loads(encoded({"before": "ä", "payload": secret, "after": [1, None]}))

    assert {"before": "ä", "payload": base64.b64encode(material).decode(), "after": [1, None]} == told
    assert 0 == len(secret)


def test_several_secrets_stand_each_in_its_place() -> None:
    first, second = os.urandom(16), os.urandom(24)

    told = json.loads(encoded([{"a": Secret(bytearray(first))}, Secret(bytearray(second)), "x"]))

    assert [{"a": base64.b64encode(first).decode()}, base64.b64encode(second).decode(), "x"] == told


def test_what_has_no_json_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError):
        encoded({"key": object()})


async def test_an_answer_is_wiped_once_it_is_sent() -> None:
    answer = Answer({"plaintext": Secret(bytearray(b"0123456789abcdef"))})
    seen: list[bytes] = []

    async def send(message: Message) -> None:
        if "body" in message:
            seen.append(bytes(message["body"]))

    await answer({"type": "http", "method": "GET"}, _nothing, send)

    assert b"MDEyMzQ1Njc4OWFiY2RlZg==" in seen[0]
    assert bytes(len(seen[0])) == bytes(answer.body)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize(("status", "length"), [(204, None), (201, "0"), (200, "0")])
def test_an_answer_without_a_body_has_no_media_type(status: int, length: str | None) -> None:
    answer = Answer(status=status)

    assert (None, length) == (answer.headers.get("content-type"), answer.headers.get("content-length"))


def test_an_empty_collection_leaves_the_resources_out() -> None:
    assert {"metadata": {"collectionType": "application/vnd.ibm.kms.key+json", "collectionTotal": 0}} == collection(
        "key", []
    )
    assert 7 == collection("key", [], total=7)["metadata"]["totalCount"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "Bad Request: Key could not be read: Please see `reasons` for more details (SOME_ERR)"),
        (401, "Unauthorized: no"),
        (404, "Not Found: no"),
        (410, "Gone: no"),
        (422, "Unprocessable Entity: Key could not be read: Please see `reasons` for more details (SOME_ERR)"),
    ],
)
def test_an_error_says_what_failed_and_leads_to_the_reasons(status: int, expected: str) -> None:
    told: Any = error(status, "no", code="SOME_ERR", failure="Key could not be read", target=("field", "name"))

    (resource,) = told["resources"]
    assert expected.split(":")[1:] == resource["errorMsg"].split(":")[1:]
    (reason,) = resource["reasons"]
    assert ("SOME_ERR", "no", status, {"type": "field", "name": "name"}) == (
        reason["code"],
        reason["message"],
        reason["status"],
        reason["target"],
    )
