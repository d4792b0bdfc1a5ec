"""One snapshot of the database, read: every record is checked against its MAC before anybody believes it."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keyrack.embedded.call import Call
from keyrack.embedded.errors import NO_ACCESS, InvalidInstance, KeyNotFound, KeystoreDamaged, Unauthorised
from keyrack.embedded.iam.records import ServiceId
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import KeyManagerInstance
from keyrack.embedded.keys import Key
from keyrack.embedded.store.rows import Rows

KEY_COLUMNS = (
    "id, instance, ring, name, extractable, imported, state, created_at, updated_at, rotated_at, deleted_at, expires_at"
)
_READ_KEY = f"SELECT {KEY_COLUMNS}, revision, record, mac FROM keys"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A record of the key manager's journal, as it is chained."""

    number: int
    text: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """Where the journal ends, as the database's MAC vouches for it."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What cannot be used any more since a revision: identifiers of root keys, and names of standard keys."""

    revision: int
    """Ask from here the next time."""
    root_keys: Sequence[str]
    standard_keys: Sequence[str]


class Reading:
    """What a use case may look up. It lives as long as its transaction; one thread uses it."""

    def __init__(self, connection: sqlite3.Connection, rows: Rows, revision: int, journal_end: JournalEnd) -> None:
        self._connection = connection
        self._rows = rows
        self.revision = revision
        """How many changes the database has seen."""
        self.journal_end = journal_end
        """The last record of the journal, whatever the table of records says."""

    def instances(self) -> list[KeyManagerInstance]:
        """Every key manager instance, oldest first."""
        rows = self._connection.execute("SELECT id, revision, record, mac FROM instances")
        found = [self._rows.believed("instances", KeyManagerInstance, *row) for row in rows]
        return sorted(found, key=lambda instance: (instance.created_at, instance.identifier))

    def instance(self, identifier: str) -> KeyManagerInstance:
        """One of them; raises :class:`InvalidInstance`."""
        row = self._connection.execute(
            "SELECT id, revision, record, mac FROM instances WHERE id = ?", (identifier,)
        ).fetchone()
        if row is None:
            raise InvalidInstance(f"there is no key manager instance {identifier}")
        return self._rows.remembered("instances", KeyManagerInstance, *row)

    def key(self, instance: str, name: str) -> Key:
        """The key of this identifier or alias in an instance, in whatever state; raises :class:`KeyNotFound`."""
        key = None
        if name.isascii():  # As every identifier and alias is; half a character could not even be asked for.
            key = self._key_by_id(name) or self._key_by_alias(instance, name)
        if key is None or key.instance != instance:
            raise KeyNotFound(f"there is no key {name!r} in this instance")
        return key

    def key_for(self, call: Call, name: str, right: Right) -> Key:
        """The key that a caller names, if the caller has the right over it.

        Raises :class:`Unauthorised`, also for a key that is not there where the caller could not have used it, and
        :class:`KeyNotFound`, also for a key that is in another ring than the one that was named.
        """
        try:
            key = self.key(call.instance, name)
        except KeyNotFound:
            self.allow(call, right)
            raise
        self.allow(call, right, ring=key.ring, key=key.identifier)
        if call.ring not in (None, key.ring):
            raise KeyNotFound(f"there is no key {name!r} in the key ring {call.ring!r}")
        return key

    def allow(self, call: Call, right: Right, *, ring: str | None = None, key: str | None = None) -> None:
        """Return when the caller has the right, as the database says now; raises :class:`Unauthorised`.

        Without ``ring`` and ``key`` only a grant over the whole instance counts.
        """
        caller = call.caller
        if caller.service_id is None:
            return
        service_id = self.service_id(caller.service_id)
        if service_id is None or all(each.identifier != caller.api_key for each in service_id.api_keys):
            raise Unauthorised("The API key of this token was removed")
        if not service_id.may(right, call.instance, ring, key):
            raise Unauthorised(NO_ACCESS)

    def select(
        self, where: str, parameters: Sequence[Any], *, order: str = "id", limit: int = -1, offset: int = 0
    ) -> list[Key]:
        """Keys by a condition over the columns of ``keys``, which the caller has made of constant text.

        It may use ``folded(text)``: the text without the difference between capital and small letters.
        """
        rows = self._connection.execute(
            f"{_READ_KEY} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?", (*parameters, limit, offset)
        )
        return [_key(self._rows.believed, row) for row in rows]

    def count(self, where: str, parameters: Sequence[Any], *, most: int | None = None) -> int:
        """How many keys meet such a condition; with ``most`` it does not count further than that."""
        # Below a limit SQLite counts more slowly, so it is there only where it is asked for.
        counted = f"keys WHERE {where}" if most is None else f"(SELECT 1 FROM keys WHERE {where} LIMIT {most:d})"
        row = self._connection.execute(f"SELECT count(*) FROM {counted}", tuple(parameters)).fetchone()
        return int(row[0])

    def aliases(self, instance: str) -> int:
        """How many aliases the keys of an instance have."""
        row = self._connection.execute("SELECT count(*) FROM aliases WHERE instance = ?", (instance,)).fetchone()
        return int(row[0])

    def service_ids(self) -> list[ServiceId]:
        """Every service ID, oldest first."""
        rows = self._connection.execute("SELECT id, revision, record, mac FROM service_ids")
        found = [self._rows.believed("service_ids", ServiceId, *row) for row in rows]
        return sorted(found, key=lambda each: (each.created_at, each.identifier))

    def service_id(self, identifier: str) -> ServiceId | None:
        """One of them."""
        row = self._connection.execute(
            "SELECT id, revision, record, mac FROM service_ids WHERE id = ?", (identifier,)
        ).fetchone()
        return None if row is None else self._rows.remembered("service_ids", ServiceId, *row)

    def owner_of(self, api_key_hash: bytes) -> ServiceId | None:
        """The service ID that has an API key of this hash."""
        row = self._connection.execute("SELECT service_id FROM api_keys WHERE hash = ?", (api_key_hash,)).fetchone()
        owner = None if row is None else self.service_id(row[0])
        return owner if owner and any(key.hash == api_key_hash for key in owner.api_keys) else None

    def sealed_value(self, name: str) -> bytes | None:
        """A value that somebody has sealed and authenticated before giving it to keep."""
        row = self._connection.execute("SELECT value FROM sealed_values WHERE name = ?", (name,)).fetchone()
        if row is not None and type(row[0]) is not bytes:
            raise KeystoreDamaged(f"the value {name!r} was changed: restore the database from a backup")
        return None if row is None else row[0]

    def withdrawn(self, since: int) -> Withdrawn:
        """Keys that were disabled or deleted since a revision, in whatever instance."""
        keys = self.select("revision > ? AND state IN (2, 5)", (since,))
        return Withdrawn(
            self.revision,
            [key.identifier for key in keys if not key.extractable],
            [key.name for key in keys if key.extractable],
        )

    def journal(self, after: int = 0, limit: int = 500) -> Iterator[JournalLine]:
        """Records of the journal in the order they were written."""
        rows = self._connection.execute(
            "SELECT number, text, hash FROM journal WHERE number > ? ORDER BY number LIMIT ?", (after, limit)
        )
        return (_line(row) for row in rows)

    def _key_by_id(self, identifier: str) -> Key | None:
        row = self._connection.execute(f"{_READ_KEY} WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else _key(self._rows.remembered, row)

    def _key_by_alias(self, instance: str, alias: str) -> Key | None:
        row = self._connection.execute(
            "SELECT key FROM aliases WHERE instance = ? AND alias = ?", (instance, alias)
        ).fetchone()
        key = None if row is None else self._key_by_id(row[0])
        return key if key is not None and any(each.name == alias for each in key.aliases) else None


def _key(believe: Callable[..., Key], row: tuple[Any, ...]) -> Key:
    key = believe("keys", Key, row[0], *row[-3:])
    if columns_of(key) != row[:-3]:
        raise KeystoreDamaged(f"the row of the key {row[0]!r} was changed: restore the database from a backup")
    return key


def _line(row: tuple[int, str, bytes]) -> JournalLine:
    if [type(cell) for cell in row] != [int, str, bytes]:
        raise KeystoreDamaged("a record of the journal was changed: look at it with 'keyrack audit verify'")
    return JournalLine(*row)


def columns_of(key: Key) -> tuple[Any, ...]:
    """What the columns of ``keys`` say of a key, in the order of ``KEY_COLUMNS``."""
    return (
        key.identifier,
        key.instance,
        key.ring,
        key.name,
        int(key.extractable),
        int(key.imported),
        int(key.state),
        key.created_at,
        key.updated_at,
        key.rotated_at,
        key.deleted_at,
        key.expires_at,
    )
