"""Standard keys: named bytes in an SQLite file of the embedded key manager's own, durable before anyone is told."""

import os
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keyrack.embedded.errors import InvalidField, KeyDeleted, KeyNotFound
from keyrack.embedded.keys import KeyState

MOST_PAYLOAD = 7500
"""Bytes of the longest payload of a standard key, as in Key Protect."""
LONGEST_NAME = 90
SHORTEST_NAME = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS standard_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    state INTEGER NOT NULL,
    payload BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS standard_keys_by_name ON standard_keys (name);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardKeyRecord:
    """A standard key as it is kept."""

    identifier: str
    name: str
    state: KeyState
    payload: bytes
    created_at: int
    """Seconds since 1970, UTC."""


class StandardKeys:
    """The store. Its methods wait for the disk; one thread at a time may use it. May raise ``sqlite3.Error``."""

    def __init__(self, path: Path) -> None:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    def put(self, keys: Sequence[tuple[str, bytes]], *, at: int) -> list[str]:
        """Keep names and payloads, all in one transaction, and answer their identifiers in the same order."""
        for name, payload in keys:
            _check(name, payload)
        rows = [(str(uuid.uuid4()), name, KeyState.ACTIVE.value, payload, at) for name, payload in keys]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("INSERT INTO standard_keys VALUES (?, ?, ?, ?, ?, NULL)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        return [row[0] for row in rows]

    def get(self, identifier: str) -> StandardKeyRecord:
        """One key; raises :class:`KeyNotFound` or :class:`KeyDeleted`."""
        row = self._database.execute(
            "SELECT id, name, state, payload, created_at FROM standard_keys WHERE id = ?", (identifier,)
        ).fetchone()
        if row is None:
            raise KeyNotFound(f"there is no standard key {identifier}")
        if row[2] == KeyState.DESTROYED:
            raise KeyDeleted(f"the standard key {identifier} has been deleted and is no longer available")
        return _record(row)

    def page(self, prefix: str, after: str = "", limit: int = 500) -> list[StandardKeyRecord]:
        """Keys that are not deleted and whose names begin with ``prefix``, by identifier, without their payloads."""
        rows = self._database.execute(
            "SELECT id, name, state, x'', created_at FROM standard_keys"
            " WHERE name >= ?1 AND name < ?1 || char(0x10FFFF) AND state <> ?2 AND id > ?3 ORDER BY id LIMIT ?4",
            (prefix, KeyState.DESTROYED.value, after, limit),
        )
        return [_record(row) for row in rows]

    def delete(self, identifier: str, *, at: int) -> None:
        """Delete one; its payload is kept, as Key Protect keeps it for a restore. Harmless when repeated."""
        self._database.execute(
            "UPDATE standard_keys SET state = ?, deleted_at = ? WHERE id = ? AND state <> ?",
            (KeyState.DESTROYED.value, at, identifier, KeyState.DESTROYED.value),
        )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _check(name: str, payload: bytes) -> None:
    if not SHORTEST_NAME <= len(name) <= LONGEST_NAME:
        raise InvalidField(f"the name of a key has {SHORTEST_NAME} to {LONGEST_NAME} characters")
    if len(payload) > MOST_PAYLOAD:
        raise InvalidField(f"the payload of a standard key has at most {MOST_PAYLOAD} bytes")


def _record(row: tuple[str, str, int, bytes, int]) -> StandardKeyRecord:
    identifier, name, state, payload, created_at = row
    return StandardKeyRecord(
        identifier=identifier, name=name, state=KeyState(state), payload=payload, created_at=created_at
    )
