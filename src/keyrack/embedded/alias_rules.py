"""The law of aliases: what one may look like, and how many there may be (Key Protect's rules)."""

import re
from collections.abc import Sequence

from keyrack.embedded.errors import AliasQuota, AliasTaken, InvalidField, KeyNotFound
from keyrack.embedded.store.reading import Reading

MOST_OF_A_KEY = 5
MOST_IN_AN_INSTANCE = 1000
RESERVED = frozenset(
    ("allowed_ip", "key", "keys", "metadata", "policy", "policies", "registration", "registrations", "ring", "rings")
    + ("rotate", "wrap", "unwrap", "rewrap", "version", "versions")
)
"""What stands for something else in the path of a request."""

_FORM = re.compile(r"[A-Za-z0-9_-]{2,90}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FIELD = ("field", "alias")


def check_alias(alias: str) -> None:
    """Return for what may be an alias; raises :class:`InvalidField`."""
    if not _FORM.fullmatch(alias):
        raise InvalidField("An alias has 2 to 90 characters: letters, digits, hyphens and underscores", target=_FIELD)
    if _UUID.fullmatch(alias):
        raise InvalidField(f"The alias {alias} looks like the identifier of a key: choose another one", target=_FIELD)
    if alias.lower() in RESERVED:
        raise InvalidField(f"The alias {alias!r} is a reserved word: choose another one", target=_FIELD)


def require_room(reading: Reading, instance: str, wanted: Sequence[str], *, has: int = 0) -> None:
    """Return when a key that ``has`` so many aliases may get those that are ``wanted`` too.

    Raises :class:`AliasQuota` and :class:`AliasTaken`. Ask in the transaction that writes them.
    """
    if not wanted:
        return
    if has + len(wanted) > MOST_OF_A_KEY:
        raise AliasQuota(f"A key has at most {MOST_OF_A_KEY} aliases: remove one first", target=_FIELD)
    if reading.aliases(instance) + len(wanted) > MOST_IN_AN_INSTANCE:
        raise AliasQuota(f"An instance has at most {MOST_IN_AN_INSTANCE} aliases: remove one first", target=_FIELD)
    for alias in wanted:
        _require_free(reading, instance, alias)


def _require_free(reading: Reading, instance: str, alias: str) -> None:
    try:
        reading.key(instance, alias)
    except KeyNotFound:
        return
    raise AliasTaken(f"A key of this instance has the alias {alias} already: choose another one", target=_FIELD)
