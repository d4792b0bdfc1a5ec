"""Key material inside JSON: in and out as base64, without anything of it staying behind."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from keyrack.adapters.key_managers.ibm.plaintext import NoPlaintext, json_with, read_digits, take
from keyrack.domain.secret import Secret


@given(some.binary(max_size=200), some.dictionaries(some.text(), some.lists(some.text()), max_size=3))
def test_what_goes_in_comes_out_and_leaves_blanks(material: bytes, fields: dict[str, list[str]]) -> None:
    """Python's own decoder agrees, the other fields are untouched, and where the plaintext was there is nothing."""
    fields.pop("plaintext", None)
    body = json_with(fields, "plaintext", Secret(bytearray(material)))
    assert {**fields, "plaintext": base64.b64encode(material).decode()} == json.loads(body)

    taken = take(body, "plaintext")

    assert taken.reveal() == material
    told = json.loads(body)
    assert told.pop("plaintext").strip() == ""
    assert fields == told


@given(some.binary(max_size=64))
def test_base64_is_read_in_its_one_form(text: bytes) -> None:
    """Whatever is not exactly what an encoder writes is refused; nothing else happens."""
    body = bytearray(text)
    try:
        secret = read_digits(body, 0, len(body))
    except NoPlaintext:
        return
    assert base64.b64encode(secret.reveal()) == text


@pytest.mark.parametrize("text", ["QQ=", "QQ", "Q===", "QR==", "QUJ=", "QU=B", "=QUJ", "QUI\u0000", "QUJD\n", "QUJ-"])
def test_what_is_no_base64_is_refused_and_blanked(text: str) -> None:
    """And its text is not told."""
    body = bytearray(json.dumps({"plaintext": text}).encode())

    with pytest.raises(NoPlaintext) as caught:
        take(body, "plaintext")

    assert text not in str(caught.value)
    assert "" == json.loads(body)["plaintext"].strip()


@pytest.mark.parametrize(
    "body",
    [
        '{"plaintext":"QUJD"}',
        '{"a":"plaintext","plaintext" :\n "QUJD","z":1}',
        '{"errorMsg":"the \\"plaintext\\": is","plaintext":"QUJD"}',
        '{"ciphertext":"eA==","keyVersion":{"id":"plaintext"},"plaintext":"\\u0051UJD"}',
    ],
)
def test_it_is_found_wherever_it_stands(body: str) -> None:
    """Between other fields, after its own name in a text, and with letters escaped as JSON allows."""
    assert take(bytearray(body.encode()), "plaintext").reveal() == b"ABC"


def test_slashes_and_plus_signs_may_be_escaped() -> None:
    """Some encoders of JSON do so."""
    material = bytes([251, 255, 254] * 6)
    text = base64.b64encode(material).decode().replace("/", "\\/").replace("+", "\\u002B")
    body = bytearray(f'{{"plaintext":"{text}"}}'.encode())

    assert take(body, "plaintext").reveal() == material
    assert {"plaintext": ""} == {name: value.strip() for name, value in json.loads(body).items()}


@pytest.mark.parametrize("body", ["", "{}", '{"plaintext":1}', '{"plaintext":"', '["plaintext"]', '{"plaintext":null}'])
def test_an_answer_without_a_plaintext_is_none(body: str) -> None:
    """However it is cut off."""
    with pytest.raises(NoPlaintext):
        take(bytearray(body.encode()), "plaintext")
