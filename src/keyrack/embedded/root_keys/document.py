"""The keystore as a file: JSON that a person can read, with every key sealed in it and one MAC over the whole."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.keys import KeyState, KeyVersion, RootKeyRecord

FORMAT = 1
LARGEST = 64 * 2**20
"""Bytes of the longest keystore that is read: some 100,000 versions of root keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a keystore file says. Sealed values are nonce, ciphertext and tag; nothing here is secret by itself."""

    identifier: str
    created_at: int
    revision: int
    """Grows by one at each change."""
    unlock: Mapping[str, Any]
    """Kind of the master key, the parameters that derive it, and ``check``: which master key it is."""
    integrity_root: bytes
    root_keys: Mapping[str, RootKeyRecord] = field(default_factory=dict)
    material: Mapping[str, bytes] = field(default_factory=dict)
    """Sealed material by the identifier of the version."""


def write(document: Document, mac_key: Secret) -> bytes:
    """The file of a document."""
    content = _tree(document)
    content["mac"] = _mac(content, mac_key).hex()
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def read(text: bytes, mac_key: Callable[[Mapping[str, Any], str], Secret]) -> Document:
    """The document of a file, checked.

    ``mac_key`` derives the key from the unlock parameters and the identifier; it raises ``KeystoreLocked`` where the
    master key is another. Anything else that is wrong is :class:`KeystoreDamaged`.
    """
    content = _parse(text)
    try:
        mac = bytes.fromhex(content.pop("mac"))
        unlock, identifier = content["unlock"], content["id"]
        if type(unlock) is not dict or type(identifier) is not str:
            raise TypeError
    except (KeyError, TypeError, ValueError):
        raise KeystoreDamaged("it lacks its header: restore it from a backup") from None
    if not hmac.compare_digest(mac, _mac(content, mac_key(unlock, identifier))):
        raise KeystoreDamaged("it was changed by something else than keyrack: restore it from a backup")
    try:
        return _document(content)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KeystoreDamaged("it does not hold what a keystore holds, though its MAC fits: report this") from None


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


def _mac(content: Mapping[str, Any], key: Secret) -> bytes:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return hmac.digest(key.reveal(), canonical, hashlib.sha256)


def _tree(document: Document) -> dict[str, Any]:
    return {
        "keyrack_keystore": FORMAT,
        "id": document.identifier,
        "created_at": document.created_at,
        "revision": document.revision,
        "unlock": dict(document.unlock),
        "integrity_root": _text(document.integrity_root),
        "root_keys": [
            {
                "id": key.identifier,
                "name": key.name,
                "state": int(key.state),
                "created_at": key.created_at,
                "versions": [
                    {
                        "id": version.identifier,
                        "created_at": version.created_at,
                        "sealed": _text(document.material[version.identifier]),
                    }
                    for version in key.versions
                ],
            }
            for key in document.root_keys.values()
        ],
    }


def _document(content: Mapping[str, Any]) -> Document:
    records = [_record(entry) for entry in content["root_keys"]]
    return Document(
        identifier=content["id"],
        created_at=content["created_at"],
        revision=content["revision"],
        unlock=content["unlock"],
        integrity_root=_bytes(content["integrity_root"]),
        root_keys={record.identifier: record for record in records},
        material={
            version["id"]: _bytes(version["sealed"]) for entry in content["root_keys"] for version in entry["versions"]
        },
    )


def _record(entry: Mapping[str, Any]) -> RootKeyRecord:
    return RootKeyRecord(
        identifier=entry["id"],
        name=entry["name"],
        state=KeyState(entry["state"]),
        created_at=entry["created_at"],
        versions=tuple(
            KeyVersion(identifier=version["id"], created_at=version["created_at"]) for version in entry["versions"]
        ),
    )


def _text(sealed: bytes) -> str:
    return base64.b64encode(sealed).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
