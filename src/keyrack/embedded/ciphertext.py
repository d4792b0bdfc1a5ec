"""What a root key gives when it wraps: Key Protect's JSON of four fields. Opaque to whoever keeps it.

``handle`` is the version of the root key that has wrapped. Beside the caller's strings the version, its key and its
instance are bound in, so a ciphertext opens under its own version alone, whatever the material. (Key Protect binds to
the material: there two keys with the same imported material open for each other. Here they do not.)
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

from keyrack.embedded.errors import InvalidField, UnprocessableCiphertext
from keyrack.embedded.root_keys.port import Enciphered

MOST_AAD_STRINGS = 126
MOST_AAD_LENGTH = 255
LONGEST = 16_384
"""Bytes of the longest ciphertext that is read."""
_VERSION = "4.0.0"


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """A ciphertext, read: which version has made it, and what that version's keeper has enciphered."""

    version: str
    enciphered: Enciphered


def written(ciphertext: Ciphertext) -> bytes:
    """The ciphertext as its keeper stores it: ASCII, one form for each."""
    return (
        f'{{"ciphertext":"{_text(ciphertext.enciphered.ciphertext)}","iv":"{_text(ciphertext.enciphered.iv)}",'
        f'"version":"{_VERSION}","handle":"{ciphertext.version}"}}'
    ).encode("ascii")


def read(octets: bytes) -> Ciphertext:
    """The reverse; raises :class:`UnprocessableCiphertext` for anything that :func:`written` would not give."""
    try:
        if len(octets) > LONGEST:
            raise ValueError
        told = json.loads(octets)
        found = Ciphertext(told["handle"], Enciphered(_bytes(told["iv"]), _bytes(told["ciphertext"])))
        if written(found) != octets:
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise UnprocessableCiphertext(
            "The ciphertext is not one that a root key of this key manager has made"
        ) from None
    return found


def bound_by(aad: Sequence[str]) -> bytes:
    """The strings as bytes that no other sequence of strings gives: the length of each, a colon, then all of them."""
    lengths = [len(string) for string in aad]
    if len(lengths) > MOST_AAD_STRINGS or max(lengths, default=0) > MOST_AAD_LENGTH:
        raise InvalidField(
            f"At most {MOST_AAD_STRINGS} strings of {MOST_AAD_LENGTH} characters bind a ciphertext",
            target=("field", "aad"),
        )
    try:
        return f"{','.join(map(str, lengths))}:{''.join(aad)}".encode()
    except UnicodeEncodeError:
        raise InvalidField("A string of the aad is no text in UTF-8", target=("field", "aad")) from None


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
