"""What may be asked for as a new key: the law of its name, its description, its tags and its payload."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from keyrack.domain.secret import Secret
from keyrack.embedded.alias_rules import MOST_OF_A_KEY, check_alias
from keyrack.embedded.errors import InvalidField, KeyExpired, KeyRootRequired
from keyrack.embedded.import_tokens import EncryptedImport
from keyrack.embedded.keys import RotationPolicy
from keyrack.embedded.new_versions import check_material
from keyrack.embedded.policy_attributes import require_months

MOST_PAYLOAD = 7500
"""Bytes of the longest payload of a standard key."""
NAME_LENGTHS = (2, 90)
DESCRIPTION_LENGTHS = (2, 240)
MOST_TAGS = 30
TAG_LENGTHS = (0, 30)
LATEST = 253_402_300_799
"""The last second of the year 9999: later RFC 3339 cannot write."""

_LINES = "\t\n\r"
"""Control characters that a description may have."""
_NO_TEXT = frozenset({"Cc", "Cs"})
"""Control characters and lone surrogates: JSON can write the latter, and no encoding can."""
_NOT_IN_TAGS = frozenset("<>,:&|")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NewKey:
    """What is wanted. The payload stays the caller's, who wipes it."""

    name: str
    extractable: bool
    """Whether it is to be a standard key."""
    description: str = ""
    tags: Sequence[str] = ()
    expires_at: int | None = None
    """Seconds since 1970."""
    payload: Secret | None = None
    """To import; without it the key manager makes 32 random bytes."""
    encrypted: EncryptedImport | None = None
    """What comes with a payload that is encrypted under the import token."""
    aliases: Sequence[str] = ()
    dual_auth_delete: bool | None = None
    rotation: RotationPolicy | None = None


def check_rotation(rotation: RotationPolicy, *, extractable: bool, imported: bool) -> None:
    """Return for a rotation policy that such a key may have; raises :class:`KeyRootRequired`, :class:`InvalidField`."""
    if extractable:
        raise KeyRootRequired("Rotation policy cannot be set on a standard key", target=("field", "rotation"))
    if imported:
        raise InvalidField(
            "A root key with imported material is rotated with new material alone, and not by a policy",
            target=("field", "rotation"),
        )
    require_months(rotation.months)


def check(wanted: NewKey, now: int) -> None:
    """Return for a key that could be made at ``now``, whoever asks; raises :class:`InvalidField` and others."""
    _check_text("name", wanted.name, NAME_LENGTHS)
    if wanted.description:
        _check_text("description", wanted.description, DESCRIPTION_LENGTHS, _LINES)
    _check_tags(wanted.tags)
    _check_aliases(wanted.aliases)
    _check_payload(wanted)
    if wanted.expires_at is None:
        return
    if wanted.expires_at > LATEST:
        raise InvalidField("The field `expirationDate` ends with the year 9999", target=("field", "expirationDate"))
    if wanted.expires_at <= now:
        raise KeyExpired("The field `expirationDate` must be in the future", target=("field", "expirationDate"))


def _check_text(field: str, text: str, lengths: tuple[int, int], free: str = "") -> None:
    least, most = lengths
    if not least <= len(text) <= most:
        raise InvalidField(f"The field `{field}` must be: {least} to {most} characters", target=("field", field))
    if any(unicodedata.category(each) in _NO_TEXT and each not in free for each in text):
        raise InvalidField(f"The field `{field}` must be: free of control characters", target=("field", field))


def _check_tags(tags: Sequence[str]) -> None:
    if len(tags) > MOST_TAGS:
        raise InvalidField(f"The field `tags` must be: at most {MOST_TAGS} tags", target=("field", "tags"))
    for tag in tags:
        _check_text("tags", tag, TAG_LENGTHS)
        if not _NOT_IN_TAGS.isdisjoint(tag):
            raise InvalidField("The field `tags` must be: free of < > , : & and |", target=("field", "tags"))


def _check_aliases(aliases: Sequence[str]) -> None:
    if len(aliases) > MOST_OF_A_KEY:
        raise InvalidField(f"The field `aliases` must be: at most {MOST_OF_A_KEY} aliases", target=("field", "aliases"))
    for alias in aliases:
        check_alias(alias)
    if len(set(aliases)) < len(aliases):
        raise InvalidField("The field `aliases` must be: each alias once", target=("field", "aliases"))


def _check_payload(wanted: NewKey) -> None:
    payload = wanted.payload
    if wanted.encrypted is not None and wanted.extractable:
        raise KeyRootRequired("Only root keys are imported with an import token", target=("field", "payload"))
    if wanted.encrypted is not None and payload is None:
        raise InvalidField("The field `payload` is missing: the encrypted key material", target=("field", "payload"))
    if payload is None or wanted.encrypted is not None:
        return
    if not wanted.extractable:
        check_material(payload)
    elif not 1 <= len(payload) <= MOST_PAYLOAD:
        raise InvalidField(f"The field `payload` must be: 1 to {MOST_PAYLOAD} bytes", target=("field", "payload"))
