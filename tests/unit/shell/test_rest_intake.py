"""Bodies on their way in: key material is cut out of the raw bytes, and everything else is JSON as it stands."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect
from starlette.types import Message

from keyrack.embedded.errors import BadBody, BodyTooLong, InvalidField
from keyrack.shell.rest.key_protect.intake import SECRET_NAMES, Vault, parsed, received
from keyrack.shell.rest.key_protect.key_bodies import Unwrap

SECRET = b"\x00\x01canary\xff" * 3
DIGITS = base64.b64encode(SECRET).decode()

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    # Halves of surrogate pairs are refused, and what may be key material is cut out.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])).filter(lambda name: name.lower() not in SECRET_NAMES),
            inner,
        )
    ),
    max_leaves=20,
)


@given(plain, st.booleans())
def test_what_holds_no_key_material_is_read_as_json_reads_it(value: Any, ascii_alone: bool) -> None:
    body = bytearray(json.dumps(value, ensure_ascii=ascii_alone).encode())

    assert value == parsed(body, Vault())


@given(plain, st.binary(min_size=1), st.sampled_from(SECRET_NAMES), st.data())
def test_key_material_is_cut_out_wherever_it_stands(other: Any, secret: bytes, name: str, data: st.DataObject) -> None:
    """And what the JSON says in its place leads to it."""
    spelled = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in name)
    body = bytearray(json.dumps({"other": other, spelled: base64.b64encode(secret).decode()}).encode())
    vault = Vault()

    value = parsed(body, vault)

    assert (other, secret) == (value["other"], bytes(vault.take(value[spelled]).reveal()))
    assert base64.b64encode(secret).decode() != value[spelled]


@pytest.mark.parametrize(
    "written",
    [
        f'{{"payload" \t:\n "{DIGITS}"}}',
        f'{{"payload":"{DIGITS}"}}',
        f'{{"p\\u0061yload":"{DIGITS}"}}',
        f'{{"PayLoad":"{DIGITS}"}}',
        '{"payload":"' + DIGITS.replace("/", "\\/") + '"}',
        f'{{"description":"\\"payload\\":\\"AAAA\\"","payload":"{DIGITS}"}}',
    ],
)
def test_however_it_is_written_the_same_is_read(written: str) -> None:
    """Escapes are undone; what stands within another string is left alone."""
    vault = Vault()
    value = parsed(bytearray(written.encode()), vault)
    name = next(name for name in value if name.lower() == "payload")

    assert SECRET == vault.take(value[name]).reveal()
    assert value.get("description") in (None, '"payload":"AAAA"')


def test_a_body_is_wiped_once_it_is_parsed() -> None:
    body = bytearray(json.dumps({"plaintext": DIGITS}).encode())

    parsed(body, Vault())

    assert bytes(len(body)) == bytes(body)


def test_a_vault_forgets_what_it_kept() -> None:
    vault = Vault()
    secret = vault.take(parsed(bytearray(f'{{"payload":"{DIGITS}"}}'.encode()), vault)["payload"])
    escaped = vault.take(DIGITS)

    vault.wipe()

    assert (0, 0) == (len(secret), len(escaped))


@pytest.mark.parametrize("text", ["***", "QUJD=", "QUI", "QU JD", "QUJD\n", "ÄÖÜ", "=", "QUJ\x00", "QR==", "QUJ="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    vault = Vault()
    value = parsed(bytearray(json.dumps({"payload": text}).encode()), vault)

    with pytest.raises(InvalidField):
        vault.take(value["payload"])


def test_a_ciphertext_has_one_text() -> None:
    """Whoever knows ciphertexts by their text sees another one where a bit was changed, and so does this."""
    with pytest.raises(InvalidField):
        Unwrap.of({"ciphertext": "QR=="}, Vault())

    assert b"A" == Unwrap.of({"ciphertext": "QQ=="}, Vault()).ciphertext


def test_a_mark_cannot_be_guessed() -> None:
    """Nobody reaches the key material of another request by naming a mark of it."""
    vault = Vault()
    first = parsed(bytearray(f'{{"payload":"{DIGITS}"}}'.encode()), vault)["payload"]

    with pytest.raises(InvalidField):
        Vault().take(first)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a":1}x',
        b"\xff\xfe{}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b"[" * 100_000,
        b"[" * 40 + b"]" * 40,
        b"1" * 5000,
        b"{'a':1}",
    ],
)
def test_what_is_no_json_or_no_text_is_refused_without_being_repeated(body: bytes) -> None:
    with pytest.raises(BadBody) as refusal:
        parsed(bytearray(body), Vault())

    assert refusal.value.__cause__ is None
    assert len(str(refusal.value)) < 100


@pytest.mark.parametrize("body", [b"", b" \r\n\t", b"null"])
def test_nothing_is_read_as_nothing(body: bytes) -> None:
    assert parsed(bytearray(body), Vault()) is None


class Pieces:
    """A client that sends a body in pieces."""

    def __init__(self, pieces: Sequence[bytes], *, whole: bool = True) -> None:
        self._messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        end: Message = {"type": "http.request", "body": b"", "more_body": False}
        self._messages.append(end if whole else {"type": "http.disconnect"})

    async def __call__(self) -> Message:
        return self._messages.pop(0)


async def test_pieces_are_put_together_and_overwritten() -> None:
    pieces = [bytes([65 + number]) * 100 for number in range(3)]
    expected = b"".join(pieces)

    assert expected == await received(Pieces(pieces), 300)
    assert [bytes(100)] * 3 == pieces


async def test_a_body_beyond_the_bound_is_refused_before_it_is_whole() -> None:
    with pytest.raises(BodyTooLong):
        await received(Pieces([b"a" * 200, b"b" * 101, b"c"], whole=False), 300)


async def test_a_client_that_goes_away_is_no_body() -> None:
    with pytest.raises(ClientDisconnect):
        await received(Pieces([b"a" * 10], whole=False), 300)
