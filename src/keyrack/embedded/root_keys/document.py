"""The keystore as a file: JSON that a person can read, with one sealed key in it and a MAC over the whole."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keyrack.embedded.errors import KeystoreDamaged

FORMAT = 2
LARGEST = 2**16
"""Bytes of the longest keystore that is read; one is written with some 500."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a keystore file says; nothing here is secret by itself."""

    identifier: str
    created_at: int
    """Seconds since 1970, UTC."""
    unlock: Mapping[str, Any]
    """Kind of the unlock, what it notes to find its master key, and ``check``: which master key it is."""
    sealed: bytes = b""
    """The keystore's key, sealed under the master key: nonce, ciphertext and tag."""
    mac: bytes = b""

    @property
    def header(self) -> str:
        """What the sealed key is bound to: all but itself and the MAC."""
        return _canonical(replace(self, sealed=b"", mac=b""))

    @property
    def authenticated(self) -> bytes:
        """What the MAC covers: all but itself."""
        return _canonical(replace(self, mac=b"")).encode()


def write(document: Document) -> bytes:
    """The file of a document."""
    return json.dumps(_tree(document), indent=1).encode() + b"\n"


def read(text: bytes) -> Document:
    """The document of a file, not yet authenticated; raises :class:`KeystoreDamaged`.

    One document has one writing: a file that says the same in other words is refused as well, so that every changed
    byte is a changed keystore.
    """
    content = _parse(text)
    try:
        document = Document(
            identifier=str(uuid.UUID(content["id"])),
            created_at=_of(int, content["created_at"]),
            unlock=_of(dict, content["unlock"]),
            sealed=base64.b64decode(content["sealed"], validate=True),
            mac=bytes.fromhex(content["mac"]),
        )
        _of(str, document.unlock["kind"])
        same = write(document) == text
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KeystoreDamaged("it does not say what a keystore says: restore it from a backup") from None
    if not same:
        raise KeystoreDamaged("it was changed by something else than keyrack: restore it from a backup")
    return document


def _parse(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise KeystoreDamaged("it is not a keystore, or it was cut off: restore it from a backup") from None
    if type(content) is not dict or "keyrack_keystore" not in content:
        raise KeystoreDamaged("it is not a keystore: correct the path, or restore it from a backup")
    if content["keyrack_keystore"] != FORMAT:
        raise KeystoreDamaged("it was written by another version of keyrack, in a format that this one does not know")
    return content


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _canonical(document: Document) -> str:
    return json.dumps(_tree(document), sort_keys=True, separators=(",", ":"))


def _tree(document: Document) -> dict[str, Any]:
    return {
        "keyrack_keystore": FORMAT,
        "id": document.identifier,
        "created_at": document.created_at,
        "unlock": dict(document.unlock),
        "sealed": base64.b64encode(document.sealed).decode(),
        "mac": document.mac.hex(),
    }
