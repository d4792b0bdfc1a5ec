"""Key material inside JSON: base64 from and to memory that can be wiped, without a copy that cannot.

``binascii`` and ``json`` make immutable copies, and leave others on the stack. What is done here goes digit by digit
through integers below 4096, of which nothing stays that tells a key. A key is short: 48 bytes take 10 microseconds.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from keyrack.domain.secret import Secret

DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NO_DIGIT: Final = 64
_VALUES: Final = bytes(DIGITS.index(octet) if octet in DIGITS else _NO_DIGIT for octet in range(256))
_PADDING: Final = ord("=")
_QUOTE, _BACKSLASH, _SPACE = ord('"'), ord("\\"), ord(" ")
_BLANKS: Final = b" \t\r\n"


class NoPlaintext(ValueError):
    """The answer does not hold a piece of base64 where it should. The text tells nothing of what it holds."""


def json_with(fields: Mapping[str, Any], name: str, secret: Secret) -> bytearray:
    """The JSON object of ``fields`` and, under ``name``, the base64 of ``secret``; whoever sends it wipes it."""
    before = json.dumps(dict(fields), separators=(",", ":")).encode()[:-1]
    before += (b"," if fields else b"") + json.dumps(name).encode() + b':"'
    digits = 4 * ((len(secret) + 2) // 3)
    # Of its final size at once: a buffer that grows leaves copies of what it held behind.
    body = bytearray(len(before) + digits + 2)
    body[: len(before)] = before
    write_digits(secret.reveal(), body, len(before))
    body[-2:] = b'"}'
    return body


def write_digits(octets: bytearray, target: bytearray, at: int) -> None:
    """Write the base64 of ``octets`` into ``target`` from ``at`` on; there must be room for it."""
    whole = len(octets) - len(octets) % 3
    for first in range(0, whole, 3):
        one, two, three = octets[first], octets[first + 1], octets[first + 2]
        target[at] = DIGITS[one >> 2]
        target[at + 1] = DIGITS[(one & 3) << 4 | two >> 4]
        target[at + 2] = DIGITS[(two & 15) << 2 | three >> 6]
        target[at + 3] = DIGITS[three & 63]
        at += 4
    if whole == len(octets):
        return
    one, two = octets[whole], octets[whole + 1] if whole + 1 < len(octets) else 0
    target[at] = DIGITS[one >> 2]
    target[at + 1] = DIGITS[(one & 3) << 4 | two >> 4]
    target[at + 2] = DIGITS[(two & 15) << 2] if whole + 1 < len(octets) else _PADDING
    target[at + 3] = _PADDING


def read_digits(source: bytearray, start: int, end: int) -> Secret:
    """The bytes whose base64 stands in ``source``; raises :class:`NoPlaintext` unless it is in its one right form."""
    length = end - start
    padding = sum(source[place] == _PADDING for place in range(max(end - 2, start), end))
    if length % 4 or (padding == 2 and source[end - 2] != _PADDING) or (padding == 1 and source[end - 1] != _PADDING):
        raise NoPlaintext("what should be base64 is not")
    secret = Secret(bytearray(length // 4 * 3 - padding))
    try:
        _fill(secret.reveal(), source, start)
    except NoPlaintext:
        secret.wipe()
        raise
    return secret


def _fill(octets: bytearray, source: bytearray, at: int) -> None:
    """Read as many digits as fill ``octets``."""
    for place in range(0, len(octets), 3):
        left = len(octets) - place
        one, two = _VALUES[source[at]], _VALUES[source[at + 1]]
        three = _VALUES[source[at + 2]] if left > 1 else 0
        four = _VALUES[source[at + 3]] if left > 2 else 0
        spare = (two & 15) if left == 1 else (three & 3) if left == 2 else 0
        if (one | two | three | four) >= _NO_DIGIT or spare:
            raise NoPlaintext("what should be base64 is not")
        octets[place] = one << 2 | two >> 4
        if left > 1:
            octets[place + 1] = (two & 15) << 4 | three >> 2
        if left > 2:
            octets[place + 2] = (three & 3) << 6 | four
        at += 4


def take(body: bytearray, name: str) -> Secret:
    """Take the base64 under ``name`` out of a JSON object: what was there is blanks afterwards.

    The caller parses the rest with ``json``, and finds an empty text under the name. Raises :class:`NoPlaintext`.
    """
    start, end = _text_of(body, name)
    try:
        return read_digits(body, start, _unescaped(body, start, end))
    finally:
        for place in range(start, end):
            body[place] = _SPACE


def _text_of(body: bytearray, name: str) -> tuple[int, int]:
    """Where the text under ``name`` begins and ends, without its quotes."""
    quoted = json.dumps(name).encode()
    found = body.find(quoted)
    while found >= 0:
        at = _beyond_blanks(body, found + len(quoted))
        if body[at : at + 1] == b":":
            at = _beyond_blanks(body, at + 1)
            end = body.find(b'"', at + 1)
            if body[at : at + 1] == b'"' and end > at:
                return at + 1, end
            break
        found = body.find(quoted, found + 1)
    raise NoPlaintext(f"the answer has no text {name!r}")


def _beyond_blanks(body: bytearray, at: int) -> int:
    while at < len(body) and body[at] in _BLANKS:
        at += 1
    return at


def _unescaped(body: bytearray, start: int, end: int) -> int:
    r"""Write ``\/`` and ``\u002b``, as some encoders escape base64, as what they mean, in place; the end then."""
    if body.find(b"\\", start, end) < 0:
        return end
    target = start
    while start < end:
        octet = body[start]
        start += 1
        if octet == _BACKSLASH:
            octet, start = _escape(body, start, end)
        body[target] = octet
        target += 1
    for place in range(target, end):
        body[place] = _SPACE
    return target


def _escape(body: bytearray, at: int, end: int) -> tuple[int, int]:
    if body[at : at + 1] == b"/":
        return body[at], at + 1
    escaped = bytes(body[at + 1 : at + 5])
    if body[at : at + 1] != b"u" or at + 5 > end or not escaped.startswith(b"00"):
        raise NoPlaintext("what should be base64 is not")
    try:
        return int(escaped, 16), at + 5
    except ValueError:
        raise NoPlaintext("what should be base64 is not") from None
