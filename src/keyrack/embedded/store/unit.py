"""One change of the database: whatever is put, removed and noted is kept whole or not at all."""

import base64
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keyrack.domain.journal import Entry
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.iam.records import ServiceId
from keyrack.embedded.instances import KeyManagerInstance
from keyrack.embedded.keys import Key
from keyrack.embedded.store.codec import encode
from keyrack.embedded.store.reading import KEY_COLUMNS, JournalEnd, Reading, columns_of
from keyrack.embedded.store.rows import Rows
from keyrack.embedded.store.tally import Tally

CHAIN = "key-manager"
"""The name that the key manager's journal begins with."""
EMPTY = JournalEnd(0, genesis(CHAIN))
"""The end of a journal without a record."""
_KEY_FIELDS = f"{KEY_COLUMNS}, revision, record, mac"
_WRITE_KEY = (
    f"INSERT INTO keys ({_KEY_FIELDS}) VALUES ({', '.join('?' * len(_KEY_FIELDS.split(',')))})"
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _KEY_FIELDS.split(', '))}"
)
"""A key that is replaced keeps its rowid: the order of creation."""


class Act(StrEnum):
    """What a unit does to the records, as another node is told of it."""

    PUT_KEY = "put key"
    REMOVE_KEY = "remove key"
    PUT_INSTANCE = "put instance"
    PUT_SERVICE_ID = "put service ID"
    REMOVE_SERVICE_ID = "remove service ID"
    PUT_SEALED_VALUE = "put sealed value"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Meta:
    """What the database says of itself, under a MAC."""

    revision: int
    journal_end: JournalEnd
    tally: bytes


class Unit(Reading):
    """A writing transaction; what it has read cannot change before it commits. ``revision`` is the one it makes.

    Of a database that is ``shared`` among nodes the records are everybody's, and a revision counts their changes alone;
    a journal is each node's own, so a unit that only notes leaves the revision as it is.
    """

    touched = False
    """Whether anything was written: a unit that has written nothing is no change."""

    def __init__(
        self, connection: sqlite3.Connection, rows: Rows, meta: Meta, tally: Tally, *, shared: bool = False
    ) -> None:
        """``meta`` is what the last change has left."""
        super().__init__(connection, rows, meta.revision + 1, meta.journal_end)
        self._tally = tally
        self._count = tally.open(meta.tally, meta.revision)
        self._before = meta
        self._shared = shared
        self.acts: list[tuple[str, ...]] = []
        """What was done, for other nodes to do as well."""
        self.came_to = self.comes_to

    @property
    def meta(self) -> Meta:
        """What the database is to say of itself after this change."""
        if self._shared and not self.changes_records:
            return Meta(self._before.revision, self.journal_end, self._before.tally)
        return Meta(self.revision, self.journal_end, self._tally.seal(self._count, self.revision))

    @property
    def changes_records(self) -> bool:
        """Whether it has put or removed anything; else it has noted at most."""
        return any(act != Act.NOTE for act, *_ in self.acts)

    @property
    def comes_to(self) -> str:
        """What all records come to now, in hexadecimal digits: to be told to nobody who has no keystore."""
        return f"{self._count:064x}"

    def put_key(self, key: Key) -> None:
        """Insert the key, or replace it whole, with its aliases."""
        text = encode(key)
        mac = self._rows.mac("keys", key.identifier, self.revision, text)
        self._write("DELETE FROM aliases WHERE instance = ? AND key = ?", key.instance, key.identifier)
        self._recount("keys", key.identifier, mac)
        self._write(_WRITE_KEY, *columns_of(key), self.revision, text, mac)
        for alias in key.aliases:
            self._write("INSERT INTO aliases VALUES (?, ?, ?)", key.instance, alias.name, key.identifier)
        self.acts.append((Act.PUT_KEY, text))

    def remove_key(self, key: Key) -> None:
        """Forget the key and its aliases for ever."""
        self._write("DELETE FROM aliases WHERE instance = ? AND key = ?", key.instance, key.identifier)
        self._recount("keys", key.identifier)
        self._write("DELETE FROM keys WHERE id = ?", key.identifier)
        self.acts.append((Act.REMOVE_KEY, key.identifier))

    def put_instance(self, instance: KeyManagerInstance) -> None:
        """Insert the key manager instance, or replace it."""
        self._put(Act.PUT_INSTANCE, "instances", instance.identifier, encode(instance))

    def put_service_id(self, service_id: ServiceId) -> None:
        """Insert the service ID, or replace it, with its API keys."""
        self._put(Act.PUT_SERVICE_ID, "service_ids", service_id.identifier, encode(service_id))
        self._write("DELETE FROM api_keys WHERE service_id = ?", service_id.identifier)
        for key in service_id.api_keys:
            self._write("INSERT INTO api_keys VALUES (?, ?)", key.hash, service_id.identifier)

    def remove_service_id(self, identifier: str) -> None:
        """Forget a service ID, its grants and its API keys."""
        self._write("DELETE FROM api_keys WHERE service_id = ?", identifier)
        self._recount("service_ids", identifier)
        self._write("DELETE FROM service_ids WHERE id = ?", identifier)
        self.acts.append((Act.REMOVE_SERVICE_ID, identifier))

    def put_sealed_value(self, name: str, value: bytes) -> None:
        """Keep a value that the caller has sealed, bound to its name."""
        before = self.sealed_value(name)
        if before is not None:
            self._count ^= self._tally.share_of_value(name, before)
        self._count ^= self._tally.share_of_value(name, value)
        self._write("INSERT OR REPLACE INTO sealed_values VALUES (?, ?)", name, value)
        self.acts.append((Act.PUT_SEALED_VALUE, name, base64.b64encode(value).decode()))

    def note(self, entry: Entry) -> None:
        """Write an entry into the journal, behind its authenticated end: a journal that was cut off stays so."""
        self.note_text(canonical(entry))

    def note_text(self, text: str) -> None:
        """The same, for an entry as it is chained."""
        end = JournalEnd(self.journal_end.number + 1, link(self.journal_end.hash, text))
        try:
            self._write("INSERT INTO journal VALUES (?, ?, ?)", end.number, text, end.hash)
        except sqlite3.IntegrityError:
            raise KeystoreDamaged(
                f"the key manager's journal has a record {end.number} that keyrack has not written: look at it with "
                "'keyrack audit verify', and restore the database from a backup"
            ) from None
        self.journal_end = end
        self.acts.append((Act.NOTE, text))

    def _put(self, act: Act, table: str, identifier: str, text: str) -> None:
        mac = self._rows.mac(table, identifier, self.revision, text)
        self._recount(table, identifier, mac)
        self._write(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?)", identifier, self.revision, text, mac)
        self.acts.append((act, text))

    def _recount(self, table: str, identifier: str, mac: bytes | None = None) -> None:
        """The row that is there goes out of the count, and the one that replaces it comes in."""
        row = self._connection.execute(f"SELECT mac FROM {table} WHERE id = ?", (identifier,)).fetchone()
        for each in (row[0] if row else None, mac):
            if each is not None:
                self._count ^= self._tally.share(each)

    def _write(self, statement: str, *parameters: Any) -> None:
        self._connection.execute(statement, parameters)
        self.touched = True
