"""A body on its way in: JSON whose key material is cut out of the raw bytes before anything parses them.

``json`` would make a ``str`` of it, which nothing can wipe. What uvicorn held before is beyond reach, best effort all
the same: the bytes that it handed over are overwritten.
"""

import binascii
import json
import re
import secrets
from typing import Any, Final

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from keyrack.domain.secret import Secret, overwrite, wipe
from keyrack.embedded.errors import BadBody, BodyTooLong, InvalidField

SECRET_NAMES: Final = ("payload", "plaintext")
"""Names, in any case, of fields that may hold key material."""
# Within a JSON string every quotation mark is escaped, so this never matches inside of one. A name or a value with
# escapes in it does not match either: it is parsed with the rest, and only more is left in memory for it.
_SECRET: Final = re.compile(rb'"(?i:' + "|".join(SECRET_NAMES).encode() + rb')"\s*:\s*"([^"\\\x00-\x1f]+)"')
# Bits that the last digit has beyond the last byte are zero: one text for each value, as every encoder writes it.
_BASE64: Final = re.compile(rb"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?")
_DEEPEST: Final = 32


def is_base64(digits: bytes | memoryview) -> bool:
    """Whether these are digits of base64, whole, in the one alphabet, and nothing else."""
    return _BASE64.fullmatch(digits) is not None


class Vault:
    """The key material of one request, by the mark that stands for it in the JSON."""

    def __init__(self) -> None:
        self._mark = secrets.token_hex(16)
        self._kept: list[Secret | None] = []

    def put(self, digits: memoryview) -> str:
        """Keep what the base64 says, or that it says nothing; the mark."""
        self._kept.append(_decoded(digits))
        return f"{self._mark}{len(self._kept) - 1}"

    def take(self, text: str) -> Secret:
        """What the mark stands for, or what ``text`` itself encodes; :class:`InvalidField` where it is no base64."""
        if text.startswith(self._mark):
            found = self._kept[int(text.removeprefix(self._mark))]
        else:
            found = _decoded(memoryview(text.encode("utf-8", "surrogatepass")))
            self._kept.append(found)
        if found is None:
            raise InvalidField("a base64 encoded key material")
        return found

    def wipe(self) -> None:
        """Forget it all."""
        for secret in self._kept:
            if secret is not None:
                secret.wipe()


async def received(receive: Receive, most: int) -> bytearray:
    """The whole body, in memory that can be wiped; raises :class:`BodyTooLong`."""
    body = bytearray()
    more = True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            wipe(body)
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) + len(chunk) > most:
            wipe(body)
            raise BodyTooLong(f"The body is longer than {most} bytes")
        body += chunk
        overwrite(chunk)
    return body


def parsed(body: bytearray, vault: Vault) -> Any:
    """The JSON of a body, marks in the place of key material; ``None`` for an empty body. Wipes ``body``.

    Raises :class:`BadBody`, whose text holds nothing of the body.
    """
    try:
        text = bytes(_without_secrets(body, vault))
    finally:
        wipe(body)
    if not text.strip(b" \t\r\n"):
        return None
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadBody(f"Invalid body data was passed: it is not JSON{where}") from None
    _check(value)
    return value


def _without_secrets(body: bytearray, vault: Vault) -> bytearray:
    kept = bytearray()
    end = 0
    with memoryview(body) as view:
        for match in _SECRET.finditer(body):
            start, stop = match.span(1)
            kept += view[end:start]
            kept += vault.put(view[start:stop]).encode()
            end = stop
        kept += view[end:]
    return kept


def _decoded(digits: memoryview) -> Secret | None:
    if not is_base64(digits):
        return None
    octets = binascii.a2b_base64(digits)
    secret = Secret(bytearray(octets))
    overwrite(octets)
    return secret


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _check(value: Any, depth: int = 0) -> None:
    """Refuse what is nested too deeply, and halves of surrogate pairs, which are no text."""
    if depth > _DEEPEST:
        raise BadBody("Invalid body data was passed: it is nested too deeply")
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadBody("Invalid body data was passed: a string is not Unicode text") from None
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth + 1)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)
