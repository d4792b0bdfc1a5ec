"""What Key Protect's JSON tells, read into values; an answer that lacks what it must have is no answer."""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from keyrack.adapters.key_managers.ibm import plaintext
from keyrack.adapters.key_managers.ibm.answers import broken, content_of, text_of
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.ports.key_manager import KeyManagerRefused, Reason, RootKey, Unwrapped, Wrapped

ACTIVE, SUSPENDED, DEACTIVATED, DESTROYED = 1, 2, 3, 5
"""Key Protect's states of a key; 3 is one that has expired."""
MOST_KEYS: Final = 5000
"""Of one answer, the most that Key Protect gives."""
MOST_VALUES: Final = 400_000
"""Commas of one answer: whoever sends millions of tiny values would keep everything waiting while they are read."""
_IDENTIFIER: Final = re.compile(r"[\x21-\x7e]{1,255}")
"""Of a key or a version: in logs, on screens and in wrapped keys, whoever has given it."""
STATES: Final[Mapping[int, str]] = {
    0: "not active yet",
    ACTIVE: "active",
    SUSPENDED: "disabled",
    DEACTIVATED: "expired",
    DESTROYED: "deleted",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as Key Protect describes it."""

    identifier: str
    name: str
    state: int
    extractable: bool
    version: str
    """Identifier of the version that wraps; empty where it is not told."""
    created_at: int
    expires_at: int | None
    imported: bool
    ring: str
    payload: str | None = field(repr=False)
    """Base64; of standard keys that are not deleted, and only where the one key was asked for."""

    def root_key(self) -> RootKey:
        """The same as a root key; raises :class:`KeyManagerRefused` for a standard key."""
        if self.extractable:
            raise KeyManagerRefused(f"{self.identifier} is a standard key, and a root key is needed", Reason.REQUEST)
        return RootKey(self.identifier, self.name, self.state, self.version, self.created_at)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    keys: Sequence[KeyRecord]
    incomplete: bool
    """Whether a search has given up before it had seen every key."""
    length: int
    """How many there were before anything was left out."""


def keys_in(answer: Answer) -> Page:
    """The keys of a collection; raises :class:`KeyManagerUnavailable`."""
    if answer.body.count(b",") > MOST_VALUES:
        raise broken("a question for keys", "it has more values than keys can have")
    content = _object(content_of(answer, "a question for keys"))
    resources = content.get("resources", [])
    if not isinstance(resources, list):
        raise broken("a question for keys", "its resources are no list")
    if len(resources) > MOST_KEYS:
        raise broken("a question for keys", f"it has {len(resources)} of them")
    metadata = content.get("metadata")
    incomplete = isinstance(metadata, Mapping) and metadata.get("incompleteSearch") is True
    return Page([_key(_object(each)) for each in resources], incomplete, len(resources))


def key_in(answer: Answer) -> KeyRecord:
    """The one key of a collection; raises :class:`KeyManagerUnavailable`."""
    keys = keys_in(answer).keys
    if len(keys) != 1:
        raise broken("a question for a key", f"it tells of {len(keys)}")
    return keys[0]


def identifier_in(answer: Answer) -> str:
    """The identifier of the one key of a collection, of which nothing else need be told."""
    resources = _object(content_of(answer, "the creation of a key")).get("resources")
    if not isinstance(resources, list) or len(resources) != 1:
        raise broken("the creation of a key", "it does not tell of one key")
    return _identifier(resources[0])


def wrapped_in(answer: Answer) -> Wrapped:
    """What a wrap gives."""
    content = _object(content_of(answer, "a wrap"))
    return Wrapped(_ciphertext(content), _identifier(content.get("keyVersion")))


def rewrapped_in(answer: Answer) -> Wrapped:
    """What a rewrap gives."""
    return _rewrapped(_object(content_of(answer, "a rewrap")))


def unwrapped_in(answer: Answer) -> Unwrapped:
    """What an unwrap gives. The plaintext is taken out before anything else reads the answer."""
    try:
        secret = plaintext.take(answer.body, "plaintext")
    except plaintext.NoPlaintext as error:
        raise broken("an unwrap", str(error)) from None
    try:
        content = _object(content_of(answer, "an unwrap"))
        if str(content.get("plaintext")).strip():
            raise broken("an unwrap", "it has more than one plaintext")
        version = _identifier(content.get("keyVersion"))
        again = _rewrapped(content) if content.get("rewrappedKeyVersion") and content.get("ciphertext") else None
        return Unwrapped(secret, version, again)
    except BaseException:
        secret.wipe()
        raise


def object_in(answer: Answer) -> Mapping[str, Any]:
    """A JSON object; raises :class:`KeyManagerUnavailable`."""
    return _object(content_of(answer, "a question"))


def payload_of(record: KeyRecord) -> bytes:
    """The payload of a standard key, which is no secret: a wrapped key.

    Raises :class:`KeyManagerRefused` where it was deleted, and is none.
    """
    if record.state == DESTROYED:
        raise KeyManagerRefused(f"the standard key {record.identifier} was deleted", Reason.DELETED)
    if record.state != ACTIVE:
        told = f"the standard key {record.identifier} is {STATES.get(record.state, 'in an unknown state')}"
        raise KeyManagerRefused(told, Reason.STATE)
    if not record.extractable:
        raise KeyManagerRefused(f"{record.identifier} is a root key, whose material never leaves", Reason.REQUEST)
    if record.payload is None:
        raise broken("a question for a standard key", "it has no payload")
    try:
        return binascii.a2b_base64(record.payload, strict_mode=True)
    except ValueError:
        raise broken("a question for a standard key", "its payload is no base64") from None


def seconds_of(text: Any) -> int | None:
    """A date of RFC 3339, with ``Z`` or ``+0000``, as seconds since 1970; ``None`` where it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _key(resource: Mapping[str, Any]) -> KeyRecord:
    state = resource.get("state")
    if not isinstance(state, int):
        raise broken("a question for keys", "a key has no state")
    version, payload = resource.get("keyVersion"), resource.get("payload")
    return KeyRecord(
        identifier=_identifier(resource),
        # As it is: it is compared, and whoever prints it prints it plainly.
        name=str(resource.get("name", "")),
        state=DESTROYED if resource.get("deleted") is True else state,
        extractable=resource.get("extractable") is True,
        version=_identifier(version) if isinstance(version, Mapping) and version.get("id") else "",
        created_at=seconds_of(resource.get("creationDate")) or 0,
        expires_at=seconds_of(resource.get("expirationDate")),
        imported=resource.get("imported") is True,
        ring=text_of(resource.get("keyRingID")),
        payload=payload if isinstance(payload, str) else None,
    )


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise broken("what was asked", "it is no JSON object")
    return value


def _identifier(value: Any) -> str:
    identifier = _text(_object(value), "id")
    if not _IDENTIFIER.fullmatch(identifier):
        raise broken("what was asked", "its id is none")
    return identifier


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise broken("what was asked", f"it has no {name}")
    return value


def _ciphertext(content: Mapping[str, Any]) -> bytes:
    text = _text(content, "ciphertext")
    if not text.isascii():
        raise broken("what was asked", "its ciphertext is no base64")
    return text.encode()


def _rewrapped(content: Mapping[str, Any]) -> Wrapped:
    return Wrapped(_ciphertext(content), _identifier(content.get("rewrappedKeyVersion")))
